"""The sweep ``auto`` on this machine: a job that chooses its own points, and the same again from its result."""

import json
from pathlib import Path

import pytest

from negmerge.errors import SpecError
from negmerge.models.loading import load_model
from negmerge.pipeline.local import open_datasets, open_model
from negmerge.pipeline.run_local import run_local
from negmerge.pipeline.sweep import with_sweep
from negmerge.spec import auto
from negmerge.spec.job import parse
from negmerge.spec.result import ResultDocument
from negmerge.spec.sweep import ChosenFor
from tests.support import local_job, pico


@pytest.mark.slow
def test_a_job_with_auto_unlearns_tells_why_and_repeats_from_its_result_to_the_bit(tmp_path: Path) -> None:
    def run(spec: dict[str, object], name: str) -> ResultDocument:
        return run_local(spec, tmp_path / name, device="cpu", class_names=pico.CLASS_WORDS, templates=pico.TEMPLATES)

    first = run(local_job.spec_document(tmp_path, sweep="auto"), "first")
    written = json.loads((tmp_path / "first" / "result.json").read_text())
    again = run(written["spec"], "again")

    assert first.sweep_chosen is not None
    assert written["sweep_chosen"]["points"] == len(first.points) == 12
    assert written["sweep_chosen"]["steps"] == sum(point.steps or 0 for point in first.points)
    assert first.sweep_chosen.why in (tmp_path / "first" / "report.html").read_text().replace("&#39;", "'")
    base, merged = (first.methods[name].figure("test", "forget") for name in ("base", "negmerge"))
    assert base is not None
    assert merged is not None
    assert merged.correct < base.correct
    assert (again.digests, again.sweep_chosen) == (first.digests, first.sweep_chosen)


def test_points_are_chosen_for_the_samples_that_are_trained_on(tmp_path: Path) -> None:
    """Of the 100 images of a class 80 are trained on; 10 are for validation and 10 for test."""
    spec = parse(local_job.spec_document(tmp_path, sweep="auto"))
    chosen = with_sweep(spec, open_model(spec, "cpu"), *open_datasets(spec, pico.CLASS_WORDS, pico.TEMPLATES))
    assert chosen.sweep.auto == ChosenFor(samples=80, selected="classes", parameters=pico_size(tmp_path))


def pico_size(folder: Path) -> int:
    model = load_model(folder / "model", "cpu")
    return sum(parameter.numel() for parameter in model.parameters())


def test_a_spec_that_brings_points_of_other_data_is_refused(tmp_path: Path) -> None:
    spec = parse(local_job.spec_document(tmp_path, sweep="auto"))
    other = auto.resolved(spec, 79, pico_size(tmp_path))
    with pytest.raises(SpecError, match="leave auto away"):
        with_sweep(other, open_model(spec, "cpu"), *open_datasets(spec, pico.CLASS_WORDS, pico.TEMPLATES))
