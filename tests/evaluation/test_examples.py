"""Which samples are shown with the model's answers: few, spread over all of them, and always the same."""

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from negmerge.decoding.dataset import Decoded
from negmerge.evaluation.examples import SHOWN, choose, examples
from negmerge.evaluation.prepared import Prepared, Side
from negmerge.spec.figures import PartCounts, SplitCounts
from tests.support import results


def side(**counts: int) -> Side:
    """A side with so many samples in each part, of two classes by turns."""
    parts: Any = {
        part: Decoded(
            torch.zeros(count, 3, 1, 1, dtype=torch.uint8),
            torch.arange(count) % 2,
            tuple(f"{part}/{i}" for i in range(count)),
        )
        for part, count in counts.items()
    }
    return Side(("even", "odd"), torch.zeros(2, 1), parts)


def prepared(forget: Side, retain: Side) -> Prepared:
    none = PartCounts(train=0, validation=0, test=0)
    return Prepared(forget, retain, SplitCounts(forget=none, retain=none), results.document().data, {})


@given(st.integers(0, 500))
def test_the_samples_of_a_side_are_few_and_spread_over_all(count: int) -> None:
    """No two neighbours are further apart than the largest step of an even division."""
    places = choose(prepared(side(test=3), side(test=count))).places["retain"]
    assert len(places) == min(count, SHOWN)
    steps = [b - a for a, b in zip(places, [*places[1:], count], strict=False)]
    assert all(1 <= step <= -(-count // SHOWN) for step in steps)


@pytest.mark.parametrize(("counts", "part"), [({"train": 5, "test": 2}, "test"), ({"train": 5}, "train")])
def test_forgotten_samples_are_of_the_part_that_is_reported(counts: dict[str, int], part: str) -> None:
    assert choose(prepared(side(**counts), side(test=1))).parts == {"forget": part, "retain": "test"}


def test_an_example_holds_its_class_and_both_answers() -> None:
    whole = prepared(side(test=2), side(test=1))
    shown = examples(
        whole,
        choose(whole),
        {"forget": ["even", "odd"], "retain": ["even"]},
        {"forget": ["odd"] * 2, "retain": ["even"]},
    )
    assert [(one.id, one.class_name, one.before, one.after) for one in shown.forget] == [
        ("test/0", "even", "even", "odd"),
        ("test/1", "odd", "odd", "odd"),
    ]


def test_a_side_without_samples_has_no_examples() -> None:
    whole = prepared(side(), side(test=1))
    shown = examples(whole, choose(whole), {"retain": ["even"]}, {"retain": ["odd"]})
    assert (shown.forget, len(shown.retain)) == ([], 1)
