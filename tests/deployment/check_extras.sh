#!/usr/bin/env bash
# `make check-extras`: environments from nothing, for the base alone, for the API's image and for the worker's.
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
"$room/base/bin/python" - "$room" <<'PYTHON'
import sys
import torch
from safetensors.torch import save_file

for name, values in {"base": [1.0, 1.0], "a": [1.5, 0.5], "b": [1.5, 1.5]}.items():
    save_file({"w": torch.tensor(values)}, f"{sys.argv[1]}/{name}.safetensors")
PYTHON
"$room/base/bin/negmerge" merge --base "$room/base.safetensors" \
  --tuned "$room/a.safetensors" "$room/b.safetensors" --out "$room/out.safetensors"
"$room/base/bin/negmerge" inspect "$room/out.safetensors"

environment commands --constraints requirements/dev.lock '.[onnx,mlflow]'
lacks commands 'alembic|celery|flask|psycopg|redis|sqlalchemy'
"$room/commands/bin/python" -c 'import mlflow, onnx, onnxruntime, onnxscript'

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
