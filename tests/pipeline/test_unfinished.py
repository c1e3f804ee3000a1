"""Runs that were stopped in the middle and go on: to the same bits, and only where they are the same run."""

import json
from pathlib import Path
from typing import Any

import pytest

from negmerge.checkpoints.files import file_digest
from negmerge.errors import CheckpointError
from negmerge.models import precision
from negmerge.models.precision import bfloat16_by
from negmerge.pipeline.run_local import run_local
from negmerge.pipeline.unfinished import kept, unfinished
from negmerge.progress import OnStage, OnStep, ignore
from negmerge.spec.result import ResultDocument
from tests.support import local_job, pico

pytestmark = pytest.mark.slow

COMPARED = ["task_arithmetic", "ties"]
"""Methods that keep something of their own in the sums: the best point, and sums of trimmed vectors."""


class Stopped(BaseException):
    """As Ctrl-C: no error of the job."""


def stopping_at(stage: str) -> OnStage:
    """An OnStage that stops the run in the first step of a stage."""

    def stop(step: int, total: int, loss: float | None) -> None:
        raise Stopped

    return lambda name: stop if name == stage else ignore


def run(document: dict[str, Any], out: Path, on_stage: OnStage, **options: Any) -> ResultDocument:
    return run_local(document, out, device="cpu", templates=pico.TEMPLATES, on_stage=on_stage, **options)


def stopped(document: dict[str, Any], out: Path, stage: str) -> None:
    with pytest.raises(Stopped):
        run(document, out, stopping_at(stage))
    assert not out.exists()


def stages_of(steps: list[str]) -> OnStage:
    """An OnStage that notes the stages that are worked on: those done before are told as done at once."""

    def on_stage(name: str) -> OnStep:
        def on_step(step: int, total: int, loss: float | None) -> None:
            if (step, total) != (1, 1) and name not in steps:
                steps.append(name)

        return on_step

    return on_stage


def weights(out: Path) -> str:
    return file_digest(out / "unlearned" / "open_clip_model.safetensors")


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], ResultDocument, str]:
    """A job with four points, its result when nobody stops it, and the digest of its weights."""
    folder = tmp_path_factory.mktemp("whole")
    document = local_job.spec_document(folder, compare=COMPARED, keep_task_vectors=True)
    result = run(document, folder / "out", lambda _stage: ignore)
    return document, result, weights(folder / "out")


@pytest.mark.parametrize("stages", [["point 2/4"], ["point 2/4", "point 4/4"], ["point 3/4", "conclude"]])
def test_a_run_that_was_stopped_ends_as_one_that_was_not(
    whole: tuple[dict[str, Any], ResultDocument, str], tmp_path: Path, stages: list[str]
) -> None:
    document, unbroken, digest = whole
    for stage in stages:
        stopped(document, tmp_path / "out", stage)
    worked: list[str] = []
    result = run(document, tmp_path / "out", stages_of(worked))
    assert result.digests == unbroken.digests
    assert weights(tmp_path / "out") == digest
    assert [row.digest for row in result.points] == [row.digest for row in unbroken.points]
    assert [(row.method, row.scale, row.forget) for row in result.table] == [
        (row.method, row.scale, row.forget) for row in unbroken.table
    ]
    assert "point 1/4" not in worked
    assert "conclude" in worked
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert len(list((tmp_path / "out" / "points").iterdir())) == 4


@pytest.mark.parametrize("other", ["spec", "base model", "data", "precision"])
def test_points_of_another_run_are_not_gone_on_with(
    tmp_path: Path, other: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    document = local_job.spec_document(tmp_path)
    stopped(document, tmp_path / "out", "point 2/4")
    if other == "spec":
        document["scale_search"] = {"keep": 0.5}
    elif other == "base model":
        pico.write_folder(tmp_path / "model")  # the same shapes, untrained
    elif other == "precision":  # ``auto`` on another machine
        other_cpu = tmp_path / "cpuinfo"
        other_cpu.write_text("flags: amx_bf16" if bfloat16_by("cpu") == "emulated" else "flags: fpu")
        monkeypatch.setattr(precision, "_CPU_INFO", other_cpu)
    else:
        pico.make_archive(tmp_path / "digits.zip", per_class=99)
    with pytest.raises(CheckpointError, match=f"1 point of a run with another {other}"):
        run(document, tmp_path / "out", lambda _stage: ignore)
    assert kept(tmp_path / "out") == "1 point"


def test_a_restart_begins_anew(tmp_path: Path) -> None:
    document = local_job.spec_document(tmp_path)
    stopped(document, tmp_path / "out", "point 3/4")
    worked: list[str] = []
    run(document | {"scale_search": {"keep": 0.5}}, tmp_path / "out", stages_of(worked), restart=True)
    assert {f"point {n}/4" for n in range(1, 5)} <= set(worked)


def test_a_run_that_was_stopped_before_its_first_point_leaves_nothing(tmp_path: Path) -> None:
    document = local_job.spec_document(tmp_path)
    before = set(tmp_path.iterdir())
    stopped(document, tmp_path / "out", "point 1/4")
    assert set(tmp_path.iterdir()) == before


def test_two_runs_do_not_make_the_same_folder(tmp_path: Path) -> None:
    with unfinished(tmp_path / "out") as first:
        first.result.mkdir()
        with pytest.raises(CheckpointError, match="another run makes"), unfinished(tmp_path / "out"):
            pass
    assert (tmp_path / "out").is_dir()


def test_what_is_kept_is_small_and_says_what_it_is(tmp_path: Path) -> None:
    """One file of sums however many points are in it, and the rows; nothing of the files of earlier points."""
    document = local_job.spec_document(tmp_path)
    stopped(document, tmp_path / "out", "point 4/4")
    kept = tmp_path / ".out.unfinished"
    assert len(list(kept.glob("partial-*"))) == 1
    assert [row["index"] for row in json.loads((kept / "done.json").read_text())["points"]] == [0, 1, 2]
