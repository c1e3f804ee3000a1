"""A result tracked over HTTP: by the packages of the base and the extra alone, into a real server of MLflow's."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import mlflow
import pytest
from mlflow import MlflowClient

from negmerge.checkpoints.files import file_digest
from tests.support import mlflow_server, pico, results
from tests.support.deployment import ROOT
from tests.support.sites import closure, link, requirements, run_module

pytestmark = [pytest.mark.slow, pytest.mark.server]

WEIGHTS = "open_clip_model.safetensors"


@dataclass(frozen=True)
class Room:
    """A job's folder, a server, and where the command finds the packages of an installation with the extra."""

    job: Path
    url: str
    site: str


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Room]:
    folder = tmp_path_factory.mktemp("job")
    pico.write_folder(folder / "unlearned")
    (folder / "report.html").write_text("the report")
    document = results.measured().as_json()
    document["digests"]["unlearned"] = file_digest(folder / "unlearned" / WEIGHTS)
    (folder / "result.json").write_text(json.dumps(document))
    site = link(closure(requirements("mlflow")), tmp_path_factory.mktemp("site"))
    with mlflow_server.serving(tmp_path_factory.mktemp("mlflow")) as url:
        yield Room(folder, url, f"{ROOT}:{site}")


def test_weights_that_were_registered_over_http_are_fetched_by_mlflow_with_the_results_digest(
    room: Room, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ["negmerge", "track", ".", "--experiment", "erasures", "--register", "digits"]
    done = run_module(room.site, words, room.job, MLFLOW_TRACKING_URI=room.url)
    assert done.returncode == 0, done.stderr
    assert done.stdout.endswith(", digits version 1\n")
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    client = MlflowClient(room.url)
    version = client.get_model_version("digits", "1")
    mlflow.set_tracking_uri(room.url)
    copy = Path(mlflow.artifacts.download_artifacts("models:/digits/1", dst_path=str(tmp_path / "model")))
    assert file_digest(copy / WEIGHTS) == version.tags["negmerge.digest.unlearned"]
    assert file_digest(copy / WEIGHTS) == json.loads((room.job / "result.json").read_bytes())["digests"]["unlearned"]
    for name in ("result.json", "report.html"):
        fetched = client.download_artifacts(str(version.run_id), name, str(tmp_path))
        assert Path(fetched).read_bytes() == (room.job / name).read_bytes()
    assert client.get_run(str(version.run_id)).data.metrics["forget_accuracy"] == 0.2
