#!/usr/bin/env bash
# `make check-extras`: environments from nothing, for the base alone, with each extra of a command, for the API's image and the worker's.
# tests/deployment shows the same with links to what is installed already, in seconds and without an index.
set -euo pipefail
uv=$1
room=$(mktemp -d)
trap 'rm -rf "$room"' EXIT

environment() { # NAME: its packages follow, as arguments of uv pip install
  local python="$room/$1"
  "$uv" venv --quiet "$python"
  "$uv" pip install --quiet --python "$python" "${@:2}"
  "$uv" pip list --quiet --python "$python" > "$python/packages"
  echo "$1: $(tail -n +3 "$python/packages" | wc -l) packages, $(du -sh "$python" | cut -f1)"
}

lacks() { # NAME PATTERN
  if grep -iE "^($2)" "$room/$1/packages"; then
    echo "$1 has what it should not have" >&2
    exit 1
  fi
}

environment base --constraints requirements/dev.lock .
lacks base 'alembic|celery|fastapi|mlflow|onnx|psycopg|redis|sqlalchemy|uvicorn'
(cd "$room" && base/bin/python "$OLDPWD/tests/deployment/small_job.py")
negmerge() { # NAME ARGUMENTS: the command line of an environment, beside the small job
  (cd "$room" && "$room/$1/bin/negmerge" "${@:2}")
}
negmerge base merge --base base.safetensors --tuned a.safetensors b.safetensors --out out.safetensors
negmerge base inspect out.safetensors
negmerge base convert checkpoint.pth --architecture resnet18 --out model
negmerge base run job.json --out job || [ $? = 4 ] # a model that knows nothing has nothing to forget
refused() { # WORDS COMMAND…: it fails, and says so
  local said
  ! said=$("${@:2}" 2>&1) && grep --fixed-strings "$1" <<< "$said"
}
refused 'nobody is logged in to the hub' negmerge base push job me/model

environment onnx --constraints requirements/dev.lock '.[onnx]'
lacks onnx 'alembic|celery|fastapi|mlflow|psycopg|redis|sqlalchemy|uvicorn'
negmerge onnx export job --onnx model.onnx

environment mlflow --constraints requirements/dev.lock '.[mlflow]'
lacks mlflow 'alembic|celery|flask|onnx|psycopg|redis|sqlalchemy'
MLFLOW_ALLOW_FILE_STORE=true MLFLOW_TRACKING_URI=file://$room/runs negmerge mlflow track job --register small

refused "pip install 'negmerge[onnx]'" negmerge base export job --onnx other.onnx
refused "pip install 'negmerge[mlflow]'" negmerge base track job
refused "pip install 'negmerge[service]'" "$room/base/bin/python" -m app up
refused "pip install 'negmerge[worker]'" "$room/base/bin/python" -m worker

"$uv" build --quiet --wheel --require-hashes --build-constraints requirements/dev.lock --out-dir "$room/wheels"
for image in api=api worker=runtime; do
  name=${image%=*}
  environment "$name" --no-deps --require-hashes --requirements "requirements/${image#*=}.lock"
  "$uv" pip install --quiet --python "$room/$name" --no-deps "$room"/wheels/*.whl
done
lacks api 'torch|triton|nvidia|cuda|scikit-learn|matplotlib'
lacks worker 'fastapi|uvicorn'
(cd "$room" && worker/bin/python -m worker --help > /dev/null && echo "worker: starts")

export NEGMERGE_DATA_DIR=$room/data NEGMERGE_PORT
NEGMERGE_PORT=$("$room/api/bin/python" -c 'import socket; s = socket.create_server(("127.0.0.1", 0)); print(s.getsockname()[1])')
cd "$room"
api/bin/python -m app migrate
api/bin/python -m app serve & server=$!
trap 'kill "$server"; wait "$server" || true; rm -rf "$room"' EXIT
api/bin/python - <<'PYTHON'
import os, time, urllib.request

for _ in range(300):
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{os.environ['NEGMERGE_PORT']}/healthz", timeout=1) as answer:
            print("api:", answer.read().decode())
        break
    except OSError:
        time.sleep(0.1)
else:
    raise SystemExit("the API does not answer")
PYTHON
