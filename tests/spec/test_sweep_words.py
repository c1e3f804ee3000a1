"""Points in words: what differs stands in each, what is the same is said once."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from negmerge.spec.sweep_words import became, described, plain, shared, varied

POINTS = [{"epochs": epochs, "batch_size": 8, "seed": None} for epochs in (1, 2)]


def test_what_differs_is_told_apart_from_what_is_the_same() -> None:
    assert (varied(POINTS), shared(POINTS)) == (["epochs"], ["batch_size"])


def test_a_point_is_told_by_some_of_its_names_and_without_nulls() -> None:
    assert described(POINTS[1], ["epochs", "batch_size", "seed"]) == "epochs 2, batch size 8"


def test_what_only_one_point_has_differs() -> None:
    assert varied([{"seed": 1}, {}]) == ["seed"]


@given(st.lists(st.dictionaries(st.sampled_from("abc"), st.none() | st.integers(0, 1)), max_size=4))
def test_every_name_that_is_given_is_varied_or_shared(points: list[dict[str, int | None]]) -> None:
    named = {name for point in points for name, value in point.items() if value is not None}
    assert {*varied(points), *shared(points)} == named
    assert not {*varied(points)} & {*shared(points)}


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (3e-5, "0.00003"),
        (0.1, "0.1"),
        (5, "5"),
        ({"magnitude": 3, "operations": 2}, "3/2"),
        (True, "yes"),
        (False, "no"),
    ],
)
def test_a_value_is_told_plainly(value: object, told: str) -> None:
    assert plain(value) == told


def test_what_became_of_a_point_is_told_as_people_read_it() -> None:
    assert [became(state) for state in ("folded", "diverged", "new")] == ["merged", "diverged, left out", "new"]
