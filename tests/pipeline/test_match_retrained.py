"""λ matched to the retrained model: trained before any point, written once, and what the choice is nearest to."""

import json
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from negmerge.cli.main import app
from negmerge.errors import DivergedError
from negmerge.evaluation.prepared import Prepared
from negmerge.pipeline import run as pipeline
from negmerge.pipeline.local import open_datasets, open_model
from negmerge.pipeline.prepare import prepare
from negmerge.pipeline.run_local import run_local
from negmerge.pipeline.unfinished import kept, unfinished
from negmerge.progress import OnStep, ignore
from negmerge.spec.job import parse
from tests.pipeline.test_unfinished import Stopped, stages_of, stopping_at
from tests.support import pico, pico_timm

pytestmark = pytest.mark.slow

RETRAIN = {"epochs": 4, "batch_size": 16, "learning_rate": 0.05, "crop_flip": False}
"""Short, so that it is right on some of the samples that it never saw, and wrong on others."""
GOAL = "retrain, for λ to match it"
POINT = {"epochs": 4, "batch_size": 8, "optimizer": "adamw", "weight_decay": 0.1}


def spec_document(folder: Path, **changes: Any) -> dict[str, Any]:
    """A job that forgets a fifth of the training samples, twice; makes the classifier and the archive."""
    archive = str(pico.make_archive(folder / "digits.zip", per_class=60))
    document: dict[str, Any] = {
        "base_model": {"family": "timm", "weights": str(pico_timm.make_model(folder / "model"))},
        "forget": {"uri": archive, "select": {"fraction": 0.2}},
        "retain": {"uri": archive},
        "sweep": {"points": [POINT | {"learning_rate": rate} for rate in (1e-3, 3e-3)]},
        "scale_search": {"rule": "match_retrained", "keep": 0.0},  # whatever it costs, for nearness alone to decide
        "compare": ["retrain"],
        "rivals": {"retrain": RETRAIN},
        "repeats": 2,
    }
    return document | changes


@dataclass(frozen=True)
class Done:
    """The result of the job, and the stages that it was told of."""

    result: dict[str, Any]
    stages: list[str]


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Done:
    folder = tmp_path_factory.mktemp("matched")
    spec = parse(spec_document(folder))
    stages: list[str] = []

    def on_stage(name: str) -> OnStep:
        stages.append(name)
        return ignore

    with unfinished(folder / "out") as folder_of_done:
        result = pipeline.run(spec, open_model(spec, "cpu"), *open_datasets(spec), folder_of_done, on_stage)
    return Done(result.as_json(), stages)


def accuracy(count: dict[str, Any]) -> Fraction:
    return Fraction(count["correct"], count["count"])


def test_the_scale_is_that_of_the_curve_whose_forget_accuracy_is_nearest_to_the_retrained_models(done: Done) -> None:
    """Of equally near ones the smaller; read off the result document alone."""
    merged, goal = done.result["methods"]["negmerge"], accuracy(done.result["methods"]["retrain"]["train"]["forget"])
    off = {point["scale"]: abs(accuracy(point["forget"]) - goal) for point in merged["curve"]}
    assert done.result["rule"] == "match_retrained"
    assert done.result["scale"] == merged["scale"] == min(off, key=lambda scale: (off[scale], scale))


def test_another_rule_would_have_chosen_another_scale(done: Done) -> None:
    """Else the test above says little: the goal is neither what the base model scores nor the lowest of the curve."""
    merged, goal = done.result["methods"]["negmerge"], accuracy(done.result["methods"]["retrain"]["train"]["forget"])
    along = [accuracy(point["forget"]) for point in merged["curve"]]
    assert min(along) < goal < along[0]
    assert 0 < merged["scale"] < merged["curve"][-1]["scale"]


def test_the_first_retrained_model_is_trained_before_the_points_and_never_again(done: Done) -> None:
    points = [f"point {number}/4" for number in (1, 2, 3, 4)]
    assert done.stages == ["prepare", GOAL, *points, "retrain, repeat 2", "conclude"]


def test_a_run_that_was_stopped_trains_no_retrained_model_again(tmp_path: Path, done: Done) -> None:
    document, out = spec_document(tmp_path), tmp_path / "out"
    all_done = "the retrained model, 4 points and 1 rival"
    for stage, left in ((GOAL, ""), ("point 1/4", "the retrained model"), ("conclude", all_done)):
        with pytest.raises(Stopped):
            run_local(document, out, device="cpu", on_stage=stopping_at(stage))
        assert kept(out) == left
    worked: list[str] = []
    result = run_local(document, out, device="cpu", on_stage=stages_of(worked))
    assert worked == ["prepare", "conclude"]
    assert result.as_json()["digests"] == done.result["digests"]
    assert result.scale == done.result["scale"]


def test_the_retrained_model_is_in_the_result_once_for_each_repeat(done: Done) -> None:
    rows = {row["method"]: row for row in done.result["table"]}
    assert [row["method"] for row in done.result["table"]] == ["base", "negmerge", "retrain"]
    assert rows["retrain"]["forget"]["repeats"] == rows["negmerge"]["gap"]["repeats"] == 2
    first, second = (repeat["retrain"] for repeat in done.result["repeats"])
    assert first["train"]["forget"]["correct"] == done.result["methods"]["retrain"]["train"]["forget"]["correct"]
    assert first != second


def test_the_retrained_model_comes_back_with_the_prepared_job(tmp_path: Path) -> None:
    spec = parse(spec_document(tmp_path))
    prepared = prepare(spec, open_model(spec, "cpu"), *open_datasets(spec))
    assert prepared.retrained is not None

    prepared.save(tmp_path / "prepared.safetensors")
    again = Prepared.load(tmp_path / "prepared.safetensors")

    assert again.retrained == prepared.retrained
    assert again.reference == prepared.reference
    assert again.reference is not None
    figure = prepared.retrained.figure("train", "forget")
    assert figure is not None
    assert (again.reference.correct, again.reference.count) == (figure.correct, figure.count)


def test_a_job_whose_goal_diverges_ends_there(tmp_path: Path) -> None:
    spec = parse(spec_document(tmp_path, rivals={"retrain": RETRAIN | {"learning_rate": 1e30}}))
    with pytest.raises(DivergedError, match="which λ is to match, diverged"):
        prepare(spec, open_model(spec, "cpu"), *open_datasets(spec))


def test_evaluating_a_model_trains_no_retrained_one(tmp_path: Path) -> None:
    """It would diverge: see above."""
    document = spec_document(tmp_path, rivals={"retrain": RETRAIN | {"learning_rate": 1e30}})
    (tmp_path / "job.json").write_text(json.dumps(document))
    found = CliRunner().invoke(app, ["evaluate", str(tmp_path / "model"), str(tmp_path / "job.json")])
    assert found.exit_code == 0, found.output
    assert "forget" in json.loads(found.stdout)["train"]
