"""What a reader is warned of: by the spec before any work, by the outcome afterwards, and where it is written."""

import html
import json
from pathlib import Path

import pytest

from negmerge.spec import caveats
from negmerge.spec.job import parse
from tests.support import local_job, results
from tests.support.results import document

pytestmark = pytest.mark.slow

ONE = {"points": [{"learning_rate": 1e-3, "epochs": 2, "batch_size": 16}]}


@pytest.fixture(scope="module")
def one_point(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The artifacts of a job whose sweep is a single point."""
    folder = tmp_path_factory.mktemp("one")
    local_job.run(folder, sweep=ONE)
    return folder / "out"


def test_where_all_went_well_there_is_nothing_to_warn_of() -> None:
    assert caveats.of_result(document()) == []


def test_points_that_were_left_out_are_listed() -> None:
    assert caveats.of_result(document(left_out=[2])) == ["1 of 4 points diverged and were left out: 2."]


def test_a_pool_that_shrank_to_one_point_is_said_aloud() -> None:
    assert caveats.ONE_POINT in caveats.of_result(document(left_out=[0, 2, 3]))


def test_points_that_train_one_model_are_named() -> None:
    grid = {"learning_rate": [1e-5, 1e-5], "epochs": [1, 2]}
    found = caveats.of_spec(parse(results.SPEC | {"sweep": {"grid": grid}}))
    assert [text.split(" are")[0] for text in found] == ["Points 0, 1", "Points 2, 3"]


def test_points_with_seeds_of_their_own_are_not_the_same() -> None:
    grid = {"learning_rate": [1e-5], "seed": [1, 2]}
    assert caveats.of_spec(parse(results.SPEC | {"sweep": {"grid": grid}})) == []


@pytest.mark.parametrize(
    ("select", "search", "limit", "warned"),
    [
        ({"classes": ["seven"]}, {}, 0.05, 0),
        ({"ids": ["a"]}, {}, 0.05, 1),
        ({"ids": ["a"]}, {}, None, 0),
        ({"ids": ["a"]}, {}, 1.0, 0),
        ({"ids": ["a"]}, {"rule": "lowest_forget"}, 0.05, 0),
        ({"ids": ["a"]}, {"rule": "target", "target": 0.05}, 0.05, 0),
        ({"classes": ["seven"]}, {"rule": "target", "target": 0.06}, 0.05, 1),
    ],
)
def test_a_gate_below_what_the_scale_is_chosen_for_is_warned_of(
    select: dict[str, list[str]], search: dict[str, object], limit: float | None, warned: int
) -> None:
    require = {} if limit is None else {"require": {"forget_max": limit}}
    given = {"forget": {"dataset": "ds_1", "select": select}, "scale_search": search}
    found = caveats.of_spec(parse(results.SPEC | given | require))
    assert len([text for text in found if "the gate require.forget_max" in text]) == warned


@pytest.mark.parametrize(("lost", "warned"), [(0.1, 0), (0.11, 1)])
def test_a_change_that_rounding_took_is_said_aloud(lost: float, warned: int) -> None:
    found = caveats.of_result(document(rounded_away=lost))
    assert sum("% of the change was lost in rounding" in text for text in found) == warned


@pytest.mark.parametrize(("lowest", "warned"), [(0.1, True), (0.11, False)])
def test_a_base_model_that_may_be_guessing_is_said_aloud(lowest: float, warned: bool) -> None:
    known = results.figure(16, 100, lowest, 0.25)
    found = caveats.of_result(document(methods={"base": results.base(known)}))
    assert [text.split(",")[0] for text in found] == (
        ["The base model is right on 16 of 100 kept validation samples"] if warned else []
    )


def test_a_picture_on_both_sides_is_named() -> None:
    twice = {"count": 1, "examples": [{"forget": "f/a.png", "retain": "k/b.png"}]}
    (found,) = caveats.of_result(document(duplicates=twice))
    assert found.startswith("1 kept image is pixel for pixel also among the forgotten ones, first k/b.png as f/a.png:")


@pytest.mark.parametrize("left_out", [[0, 1], [3, 4], [0, 3, 4]])
def test_a_pool_that_shrank_to_one_point_in_one_repeat_of_two_is_said_once(left_out: list[int]) -> None:
    """Points 0 to 2 are the first repeat's, 3 to 5 the second's."""
    assert caveats.of_result(document(points=6, repeats=2, left_out=left_out)).count(caveats.ONE_POINT) == 1


def test_a_point_left_out_in_each_of_two_repeats_leaves_two_in_both() -> None:
    found = caveats.of_result(document(points=6, repeats=2, left_out=[2, 3]))
    assert found == ["2 of 6 points diverged and were left out: 2, 3."]


def test_repeats_do_not_make_a_pool_of_one_larger() -> None:
    assert caveats.of_result(document(points=2, repeats=2)) == [caveats.ONE_POINT]


@pytest.mark.parametrize(("rates", "warned"), [([1e-3], [caveats.ONE_POINT]), ([1e-3, 1e-4], [])])
def test_a_pool_of_one_is_warned_of_before_any_work_and_a_pool_of_two_is_not(
    rates: list[float], warned: list[str]
) -> None:
    spec = {
        "base_model": {"family": "open_clip", "weights": "mdl_1"},
        "forget": {"dataset": "ds_1", "select": {"classes": ["three"]}},
        "retain": {"dataset": "ds_1"},
        "sweep": {"grid": {"learning_rate": rates}},
    }
    assert caveats.of_spec(parse(spec)) == warned


def test_a_pool_of_one_is_told_once_in_the_result(one_point: Path) -> None:
    assert json.loads((one_point / "result.json").read_text())["warnings"].count(caveats.ONE_POINT) == 1


@pytest.mark.parametrize("page", ["report.html", "MODEL_CARD.md"])
def test_a_pool_of_one_is_told_in_what_people_read(one_point: Path, page: str) -> None:
    assert caveats.ONE_POINT in html.unescape((one_point / page).read_text())
