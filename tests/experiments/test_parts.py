"""The experiments' own arithmetic: subsets and the curve over N, the choice of a rival's value, the page's tables."""

import json
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest

from experiments import pictures, results
from experiments.choosing import Trial, choose
from experiments.subsets import SUBSETS, Merged, curve, sizes, subsets
from negmerge.checkpoints.files import load_tensors
from negmerge.decoding.dataset import Dataset
from negmerge.merging.vectors import TaskVector
from negmerge.pipeline.local import open_datasets
from negmerge.pipeline.tune import task_vector_path
from negmerge.progress import ignore
from negmerge.spec.figures import SIDES
from negmerge.spec.job import JobSpec, parse
from negmerge.spec.result import ResultDocument, load_result
from negmerge.spec.words import with_interval
from tests.support import local_job, pico

pytestmark = pytest.mark.slow

# Subsets of a pool.


@pytest.mark.parametrize(
    ("pool", "expected"),
    [
        (1, [1]),
        (2, [1, 2]),
        (5, [1, 2, 3, 4, 5]),
        (12, [1, 2, 3, 4, 6, 8, 12]),
        (30, [1, 2, 3, 4, 6, 8, 12, 16, 24, 30]),
    ],
)
def test_sizes_double_from_two_and_from_three_up_to_the_whole_pool(pool: int, expected: list[int]) -> None:
    assert sizes(pool) == expected


def test_a_pool_of_two_has_three_subsets() -> None:
    assert subsets(2) == [[0], [1], [0, 1]]


@pytest.mark.parametrize("pool", [1, 3, 7, 12])
def test_subsets_are_different_ascending_and_of_the_pool(pool: int) -> None:
    found = subsets(pool)
    assert len({tuple(subset) for subset in found}) == len(found) >= pool
    assert all(subset == sorted({*subset} & {*range(pool)}) for subset in found)


def test_there_are_so_many_of_each_size_and_the_whole_pool_is_there_once() -> None:
    """Of one point of four there are 4 subsets, of two 6, of three 4, and of four one."""
    found = subsets(4)
    assert Counter(map(len, found)) == {1: SUBSETS, 2: SUBSETS, 3: SUBSETS, 4: 1}
    assert found[-1] == [0, 1, 2, 3]


def test_the_seed_draws_the_subsets() -> None:
    assert subsets(12) == subsets(12, seed=0) != subsets(12, seed=1)


# The choice of a rival's value.

GOAL = Trial("salun", 1.0, forget=0.7, retain=0.9, base=0.9, goal=0.7)
"""Every trial below is this one with other figures."""


def test_the_value_nearest_to_the_goal_is_chosen_from_below_too() -> None:
    trials = [replace(GOAL, value=n, forget=forget) for n, forget in enumerate((0.9, 0.65, 0.6, 0.76))]
    assert choose(trials, keep=0.95).forget == 0.65


def test_a_value_that_keeps_too_little_is_passed_over_however_near_it_is() -> None:
    """Kept is a share of the base model's: 0.5 of 0.8 is 0.4, which just does."""
    near, enough = replace(GOAL, retain=0.39, base=0.8), replace(GOAL, forget=0.9, retain=0.4, base=0.8)
    assert choose([near, enough], keep=0.5) is enough


def test_where_no_value_keeps_enough_the_one_that_keeps_most_is_chosen() -> None:
    trials = [replace(GOAL, value=n, retain=retain) for n, retain in enumerate((0.5, 0.7, 0.6))]
    trials[1] = replace(trials[1], forget=0.0)
    assert choose(trials, keep=0.95) is trials[1]


# A job that is there, its curve and its page.


@dataclass(frozen=True)
class Job:
    """A local job's result, with what the curve over N needs of it."""

    result: dict[str, Any]
    document: ResultDocument
    spec: JobSpec
    datasets: tuple[Dataset, Dataset]
    folder: Path

    def load(self, index: int) -> TaskVector:
        return load_tensors(self.folder / "out" / task_vector_path(index))

    def curve(self, kept: Path, load: Callable[[int], TaskVector]) -> list[Merged]:
        return curve(self.spec, self.datasets, load, kept, ignore)


@pytest.fixture(scope="module")
def job(tmp_path_factory: pytest.TempPathFactory) -> Job:
    folder = tmp_path_factory.mktemp("job")
    result = local_job.run(folder, compare=["task_arithmetic", "uniform"], keep_task_vectors=True)
    spec = parse(result["spec"])
    return Job(result, load_result(folder / "out"), spec, open_datasets(spec, pico.CLASS_WORDS, pico.TEMPLATES), folder)


@pytest.fixture(scope="module")
def kept(job: Job) -> Path:
    """Where the job's curve is, once it has been computed."""
    path = job.folder / "subsets.json"
    job.curve(path, job.load)
    return path


@pytest.fixture(scope="module")
def merged(kept: Path) -> list[Merged]:
    return [Merged(**one) for one in json.loads(kept.read_text())]


def refuse(index: int) -> TaskVector:
    raise AssertionError(f"point {index} is merged again")


def test_the_curve_has_every_subset_of_the_pool_in_order(merged: list[Merged]) -> None:
    assert [one.points for one in merged] == subsets(4)


def test_the_curve_ends_with_what_the_job_itself_gave(job: Job, merged: list[Merged]) -> None:
    """The whole pool: the job's share in consensus, its scale, and the figures of its row in the table."""
    whole, [row] = merged[-1], [row for row in job.result["table"] if row["method"] == "negmerge"]
    assert whole.scale == job.result["scale"] > 0
    assert whole.consensus == job.result["consensus"]["share"]
    assert (whole.forget, whole.retain) == (row["forget"]["mean"], row["retain"]["mean"])


def test_the_curve_begins_with_single_points_as_the_job_searched_them(job: Job, merged: list[Merged]) -> None:
    for one in merged[:SUBSETS]:
        point = job.result["points"][one.points[0]]
        found = (one.scale, one.forget, one.retain)
        assert found == (point["scale"], *(point["test"][side]["accuracy"] for side in ("forget", "retain")))


def test_a_curve_that_is_there_is_not_computed_again(job: Job, kept: Path, merged: list[Merged]) -> None:
    assert job.curve(kept, refuse) == merged


def test_a_curve_goes_on_where_it_was_stopped(job: Job, kept: Path, merged: list[Merged], tmp_path: Path) -> None:
    """All but the last subset is there: each of its four points is loaded once, and the same curve comes out."""
    (tmp_path / "some.json").write_text(json.dumps(json.loads(kept.read_text())[:-1]))
    loaded = []

    def load(index: int) -> TaskVector:
        loaded.append(index)
        return job.load(index)

    assert job.curve(tmp_path / "some.json", load) == merged
    assert loaded == [0, 1, 2, 3]


PAGE = """# Results

Words before.

<!-- other: begin -->
another experiment's table
<!-- other: end -->

<!-- pico: begin -->
an old table
<!-- pico: end -->

Words after.
"""


@pytest.fixture
def page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "results.md"
    path.write_text(PAGE)
    monkeypatch.setattr(results, "PAGE", path)
    return path


def cells(page: Path) -> dict[str, list[str]]:
    """The rows of all tables on the page by their first cell."""
    rows = [re.split(r"\s*\|\s*", line.strip("| ")) for line in page.read_text().splitlines() if line[:2] == "| "]
    return {row[0]: row[1:] for row in rows}


CURVE = [
    Merged([0], 1.0, consensus=1.0, forget=0.3, retain=0.9),
    Merged([1], 1.0, consensus=0.98, forget=0.1, retain=0.8),
    Merged([0, 1], 1.0, consensus=0.4, forget=0.2, retain=0.85),
]


def test_words_and_other_experiments_stay_as_they_are(job: Job, page: Path) -> None:
    results.insert("pico", job.document, CURVE, "a machine")
    before, after = PAGE.split("an old table")
    text = page.read_text()
    assert text.startswith(before)
    assert text.endswith(after)
    assert "an old table" not in text


def test_a_page_without_the_experiments_markers_is_untouched(job: Job, page: Path) -> None:
    results.insert("absent", job.document, CURVE, "a machine")
    assert page.read_text() == PAGE


def test_the_same_tables_a_second_time_change_nothing(job: Job, page: Path) -> None:
    results.insert("pico", job.document, CURVE, "a machine")
    once = page.read_text()
    results.insert("pico", job.document, CURVE, "a machine")
    assert page.read_text() == once


def test_the_page_has_a_row_for_each_method_with_the_jobs_own_in_bold(job: Job, page: Path) -> None:
    results.insert("pico", job.document, CURVE, "a machine")
    found = cells(page)
    assert {"base model", "best single", "uniform mean", "**NegMerge**"} <= found.keys()
    own = job.document.methods["negmerge"]
    accuracies = [with_interval(own.figure("test", side)) for side in SIDES]
    row = [f"**{cell}**" for cell in (f"{job.document.scale:g}", *accuracies)]
    assert found["**NegMerge**"][:3] == row


def test_the_page_says_how_far_the_single_models_are_apart(job: Job, page: Path) -> None:
    results.insert("pico", job.document, CURVE, "a machine")
    ends = []
    for side in ("forget", "retain"):
        found = [100 * point["test"][side]["accuracy"] for point in job.result["points"]]
        ends.append(f"{min(found):.1f} to {max(found):.1f} %")
    said = f"The 4 single models of the first repeat, each at its own λ: forget {ends[0]}, retain on test {ends[1]}."
    assert said in page.read_text()


def test_the_curve_is_a_row_for_each_size_from_its_least_to_its_most(job: Job, page: Path) -> None:
    results.insert("pico", job.document, CURVE, "a machine")
    found = cells(page)
    assert found["1"] == ["2", "98.0–100.0 %", "10.0–30.0 %", "80.0–90.0 %"]
    assert found["2"] == ["1", "40.0 %", "20.0 %", "85.0 %"]


def test_the_same_figures_give_the_same_pictures_and_others_do_not(job: Job, tmp_path: Path) -> None:
    other = [replace(CURVE[0], consensus=0.5), *CURVE[1:]]
    for name, points in (("one", CURVE), ("again", CURVE), ("other", other)):
        pictures.draw(job.document, points, tmp_path / name, "pico")
    singles, curves = (
        [(tmp_path / name / f"pico-{what}.svg").read_bytes() for name in ("one", "again", "other")]
        for what in ("singles", "curve")
    )
    assert [len([*same]) for _, same in groupby(curves)] == [2, 1]
    assert singles[0] == singles[1]
