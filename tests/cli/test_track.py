"""A result in MLflow: its own client and its SQL store, on a file of SQLite, with the artifacts beside it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import mlflow
import pytest
from mlflow import MlflowClient
from mlflow.entities import Run

from negmerge.checkpoints.files import file_digest
from negmerge.publishing.tracking import parameters
from negmerge.spec.figures import CountRecord, Sides
from negmerge.spec.job import parse
from negmerge.spec.result import CurveRow, MethodRow
from tests.support import pico, results
from tests.support.command_line import Command, Done, assert_refused

pytestmark = [
    pytest.mark.slow,
    # MLflow's own tables use what SQLAlchemy 2.1 deprecates
    pytest.mark.filterwarnings("ignore:The ``noload`` loader strategy:DeprecationWarning"),
]


@pytest.fixture(scope="module")
def room(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the store's file lies, and what it puts beside it."""
    return tmp_path_factory.mktemp("mlflow")


@pytest.fixture
def client(room: Path, monkeypatch: pytest.MonkeyPatch) -> MlflowClient:
    """The store's client, which the command is led to by the environment; nothing is told to MLflow's makers."""
    monkeypatch.chdir(room)
    monkeypatch.setenv("MLFLOW_DISABLE_TELEMETRY", "true")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{room / 'mlflow.db'}")
    return MlflowClient(f"sqlite:///{room / 'mlflow.db'}")


@pytest.fixture
def job(tmp_path: Path) -> Path:
    """A finished job's folder: 2 of 10 forgotten digits are still known, 85 of 100 others; two scales were tried."""
    folder = tmp_path / "job"
    pico.write_folder(folder / "unlearned")
    for name in ("report.html", "MODEL_CARD.md"):
        (folder / name).write_text(name)
    curve = [
        CurveRow(scale=scale, forget=counted(forget, 10), retain=counted(retain, 100))
        for scale, forget, retain in ((0.0, 10, 91), (1.0, 1, 86))
    ]
    measured = results.measured()
    methods = measured.methods | {
        "negmerge": measured.methods["negmerge"].model_copy(update={"curve": curve}),
        "uniform": MethodRow(test=Sides(forget=results.figure(3, 10), retain=results.figure(80, 100))),
    }
    document = measured.model_copy(update={"methods": methods}).as_json()
    document["digests"]["unlearned"] = file_digest(folder / "unlearned" / "open_clip_model.safetensors")
    (folder / "result.json").write_text(json.dumps(document))
    return folder


Track = Callable[..., Done]


@pytest.fixture
def track(negmerge: Command, client: MlflowClient, request: pytest.FixtureRequest) -> Track:
    """The command, in an experiment that has the test's name."""
    return lambda folder, *arguments: negmerge("track", folder, "--experiment", request.node.name, *arguments)


@pytest.fixture
def runs(client: MlflowClient, request: pytest.FixtureRequest) -> Callable[[], list[Run]]:
    def find() -> list[Run]:
        experiment = client.get_experiment_by_name(request.node.name)
        return [] if experiment is None else list(client.search_runs([experiment.experiment_id]))

    return find


def counted(correct: int, count: int) -> CountRecord:
    return CountRecord(accuracy=correct / count, correct=correct, count=count)


def files(client: MlflowClient, run: Run, folder: str = "") -> set[str]:
    return {one.path for one in client.list_artifacts(run.info.run_id, folder or None)}


def test_a_result_is_one_run_with_what_was_asked_and_what_came_out(
    track: Track, runs: Callable[[], list[Run]], job: Path
) -> None:
    done = track(job)
    assert done.returncode == 0, done.stderr
    [run] = runs()
    assert done.stdout == f"run {run.info.run_id}\n"
    assert run.info.status == "FINISHED"
    assert run.info.end_time - run.info.start_time == 10 * 60 * 1000
    assert run.data.params["base_model.family"] == "open_clip"
    assert run.data.params["forget.select.classes"] == '["three"]'
    figures = {name: value for name, value in run.data.metrics.items() if not name.startswith("curve.")}
    assert figures == {
        "scale": 1.0,
        "consensus": 0.5,
        "rounded_away": 0.0,
        "forget_accuracy": 0.2,
        "forget_accuracy_before": 1.0,
        "forget_accuracy.uniform": 0.3,
        "retain_accuracy": 0.85,
        "retain_accuracy_before": 0.9,
        "retain_accuracy.uniform": 0.8,
    }
    assert run.data.tags["negmerge.outcome"] == "unlearned"
    assert run.data.tags["negmerge.digest.base"] == results.DIGEST


def test_the_curve_has_a_step_for_each_scale(
    track: Track, runs: Callable[[], list[Run]], client: MlflowClient, job: Path
) -> None:
    track(job)
    [run] = runs()
    read = {
        name: [(one.step, one.value) for one in client.get_metric_history(run.info.run_id, f"curve.{name}")]
        for name in ("scale", "forget_accuracy", "retain_accuracy")
    }
    assert read == {
        "scale": [(0, 0.0), (1, 1.0)],
        "forget_accuracy": [(0, 1.0), (1, 0.1)],
        "retain_accuracy": [(0, 0.91), (1, 0.86)],
    }


def test_the_files_of_the_job_lie_in_the_run(
    track: Track, runs: Callable[[], list[Run]], client: MlflowClient, job: Path
) -> None:
    (job / "unlearned" / "notes.txt").write_text("who asked for it")
    track(job)
    [run] = runs()
    assert files(client, run) == {"result.json", "report.html", "MODEL_CARD.md", "unlearned"}
    assert files(client, run, "unlearned") == {
        "unlearned/open_clip_config.json",
        "unlearned/open_clip_model.safetensors",
    }


def test_registered_weights_are_a_version_that_is_downloaded_to_the_bit(
    track: Track, client: MlflowClient, job: Path, tmp_path: Path
) -> None:
    done = track(job, "--register", "digits, it's")
    assert done.stdout.endswith(", digits, it's version 1\n")
    version = client.get_model_version("digits, it's", "1")
    assert version.tags["negmerge.outcome"] == "unlearned"
    mlflow.set_tracking_uri(client.tracking_uri)
    copy = mlflow.artifacts.download_artifacts("models:/digits, it's/1", dst_path=str(tmp_path))
    weights = "open_clip_model.safetensors"
    assert file_digest(Path(copy) / weights) == version.tags["negmerge.digest.unlearned"]


def test_the_same_result_again_is_the_same_run_and_version(
    track: Track, runs: Callable[[], list[Run]], job: Path
) -> None:
    first = track(job, "--register", "once")
    again = track(job, "--register", "once")
    assert (again.stdout, "nothing was logged again" in again.stderr) == (first.stdout, True)
    assert len(runs()) == 1
    told = json.loads(track(job, "--register", "once", "--json").stdout)
    assert first.stdout == f"run {told['run']}, once version {told['version']}\n"


def test_a_run_that_broke_off_is_no_result(
    track: Track, runs: Callable[[], list[Run]], job: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(MlflowClient, "log_artifact", full)
        assert_refused(track(job), "MLflow did not take the result", "No space left")
    assert [run.info.status for run in runs()] == ["FAILED"]
    assert track(job).returncode == 0
    assert sorted(run.info.status for run in runs()) == ["FAILED", "FINISHED"]


def test_a_long_list_of_ids_is_said_by_its_length() -> None:
    select = {"ids": [f"three/{number:04}.png" for number in range(1000)]}
    spec = parse(results.SPEC | {"forget": {"uri": "digits.zip", "select": select}, "metadata": {"a:b c/é": "x"}})
    told = parameters(results.document().model_copy(update={"spec": spec}))
    assert told["forget.select.ids"] == "1000 entries, in result.json"
    assert told["metadata"] == '{"a:b c/é": "x"}'


@pytest.mark.parametrize("name", ["a/b", "a:b", " ", "a\u202eb", "m" * 251])
def test_a_name_that_the_registry_refuses_is_refused_before_anything_is_logged(
    track: Track, runs: Callable[[], list[Run]], job: Path, name: str
) -> None:
    assert_refused(track(job, "--register", name), "cannot be the name of MLflow's registered model")
    assert runs() == []


def test_a_name_of_an_experiment_may_not_be_endless(negmerge: Command, client: MlflowClient, job: Path) -> None:
    assert_refused(negmerge("track", job, "--experiment", "e" * 501), "name of MLflow's experiment", "1 to 500")


def test_a_model_without_a_result_is_refused(track: Track, job: Path) -> None:
    assert_refused(track(job / "unlearned"), "there is no result.json")


def test_a_server_has_to_be_named(negmerge: Command, job: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert_refused(negmerge("track", job), "MLFLOW_TRACKING_URI is not set")


def test_a_server_that_is_not_there_is_told(
    negmerge: Command, client: MlflowClient, job: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:1")
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    assert_refused(negmerge("track", job), "MLflow did not take the result", "127.0.0.1")


def test_a_uri_that_mlflow_does_not_know_is_told(
    negmerge: Command, client: MlflowClient, job: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "ftp://example.org")
    assert_refused(negmerge("track", job), "MLflow did not take the result")


def test_artifacts_in_a_cloud_whose_client_is_not_installed_are_told(
    track: Track, client: MlflowClient, job: Path, request: pytest.FixtureRequest
) -> None:
    client.create_experiment(request.node.name, artifact_location="s3://bucket/runs")
    assert_refused(track(job), "MLflow needs boto3", "pip install boto3")
