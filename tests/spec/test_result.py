"""The typed result: every document comes back to the byte, and only what was given is written."""

import json
from pathlib import Path

import pytest
from pydantic import ValidationError

from negmerge.errors import DataError
from negmerge.spec.result import MethodRow, PointOutcome, PointRow, ResultDocument, load_result
from negmerge.spec.sweep import HyperParameters, Point, of_repeat
from tests.support import local_job, pico
from tests.support.results import document, figure

POINT = Point(3, HyperParameters(epochs=2), seed=7)


@pytest.mark.slow
@pytest.mark.parametrize(
    "changes",
    [
        {"compare": ["task_arithmetic", "uniform"]},
        {"repeats": 2, "sweep": {"grid": {"epochs": [1, 2], "warmup_steps": [None, 1]}}},
        {"forget": {"uri": "", "select": {"fraction": 0.2, "seed": 3}}, "scale_search": {"rule": "fixed", "scale": 1}},
    ],
    ids=["singles", "repeats", "samples"],
)
def test_a_result_comes_back_to_the_byte(tmp_path: Path, changes: dict[str, object]) -> None:
    if "forget" in changes:
        archive = str(pico.make_archive(tmp_path / "digits.zip", per_class=100))
        changes = changes | {"forget": {**dict(changes["forget"]), "uri": archive}}  # type: ignore[call-overload]
    local_job.run(tmp_path, **changes)
    text = (tmp_path / "out" / "result.json").read_text()
    read = load_result(tmp_path / "out")
    assert json.dumps(read.as_json(), indent=2) + "\n" == text


def test_what_was_not_given_is_not_written() -> None:
    row = PointRow.folded(POINT, PointOutcome(loss=0.5, seconds=1.0))
    assert list(row.as_json()) == ["index", "hyper_parameters", "seed", "state", "loss", "seconds"]


def test_a_row_has_all_hyper_parameters_those_left_at_their_defaults_too() -> None:
    assert (
        PointRow.diverged(POINT, "loss is nan").as_json()["hyper_parameters"] == HyperParameters(epochs=2).model_dump()
    )


def test_figures_stand_between_what_a_point_was_searched_by_and_its_seconds() -> None:
    outcome = PointOutcome.model_validate(
        {"seconds": 2.0, "rank": [0, 1.0], "test": {"forget": figure(1, 2)}, "loss": 0.5}
    )
    assert list(outcome.as_json()) == ["loss", "rank", "test", "seconds"]


def test_a_known_nothing_is_null_and_an_unknown_one_is_absent() -> None:
    assert MethodRow(scale=None).as_json() == {"scale": None}
    assert MethodRow().as_json() == {}


def test_the_points_of_a_repeat_are_those_that_the_sweep_numbers_so() -> None:
    result = document(points=6, repeats=2)
    assert [point.index for point in result.points_of(1)] == [3, 4, 5]
    assert of_repeat("abcdef", 0, 3) == "ab"


@pytest.mark.parametrize("field", ["extra", "scale"])
def test_a_field_too_many_or_too_few_is_an_error(field: str) -> None:
    read = document().as_json()
    if field in read:
        del read[field]
    else:
        read[field] = 1
    with pytest.raises(ValidationError, match=field):
        ResultDocument.model_validate(read)


@pytest.mark.parametrize("text", ["", "[]", "{}", "nonsense"])
def test_what_is_no_result_is_refused_by_its_name(tmp_path: Path, text: str) -> None:
    (tmp_path / "result.json").write_text(text)
    with pytest.raises(DataError, match=r"result\.json is no result of this version"):
        load_result(tmp_path)


def test_a_result_is_read_from_the_folder_or_the_file(tmp_path: Path) -> None:
    (tmp_path / "result.json").write_text(json.dumps(document().as_json()))
    assert load_result(tmp_path) == load_result(str(tmp_path / "result.json")) == document()


def test_a_result_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"result\.json cannot be read: No such file"):
        load_result(tmp_path)
