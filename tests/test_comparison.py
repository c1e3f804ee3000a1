"""The comparison's table: which figure stands in which column, and its mean and spread."""

import pytest

from negmerge.comparison import Run, table
from negmerge.metrics import Count, Evaluation
from negmerge.standing import Standing

PARTS = {"forget": "train", "retain": "train", "test": "test"}


def standing(retain: int, forget: int, test: int, membership: int | None = None) -> Standing:
    """Hundreds: so many of a hundred samples each."""

    def of(correct: int) -> Evaluation:
        return Evaluation(Count(correct, 100), {})

    figures = {"train": {"retain": of(retain), "forget": of(forget)}, "test": {"retain": of(test)}}
    return Standing(figures, None if membership is None else Count(membership, 100))


def test_mean_and_deviation_are_over_the_repeats() -> None:
    """90, 92 and 97: mean 93, squared distances 9 + 1 + 16, over n − 1 = 2: 13."""
    [row] = table({"uniform": [Run(standing(0, forget, 0)) for forget in (90, 92, 97)]}, PARTS)
    assert row["forget"] == {"mean": pytest.approx(0.93), "deviation": pytest.approx(0.13**0.5 / 10), "repeats": 3}


def test_one_run_has_no_deviation() -> None:
    [row] = table({"uniform": [Run(standing(80, 70, 60))]}, PARTS)
    assert row["retain"] == {"mean": 0.8, "deviation": None, "repeats": 1}


def test_the_gap_is_to_the_retrained_model_of_the_same_repeat() -> None:
    """Repeat 1: |100−99| + |95−91| + |90−92| + |10−13| = 10, over 4; repeat 2: all equal."""
    merges = [Run(standing(99, 91, 92, 13)), Run(standing(98, 90, 88, 12))]
    retrained = [Run(standing(100, 95, 90, 10)), Run(standing(98, 90, 88, 12))]
    rows = {row["method"]: row for row in table({"negmerge": merges, "retrain": retrained}, PARTS)}
    assert rows["negmerge"]["gap"]["mean"] == pytest.approx((2.5 + 0) / 2)
    assert rows["retrain"]["gap"]["mean"] == 0


def test_the_one_base_model_is_compared_with_every_retrained_one() -> None:
    retrained = [Run(standing(100, 90, 90, 10)), Run(standing(100, 94, 90, 10))]
    rows = {
        row["method"]: row for row in table({"base": [Run(standing(100, 98, 90, 10))], "retrain": retrained}, PARTS)
    }
    assert rows["base"]["gap"] == {"mean": pytest.approx(1.5), "deviation": pytest.approx(0.5**0.5), "repeats": 2}
    assert rows["base"]["forget"]["repeats"] == 1


def test_without_a_retrained_model_there_is_no_gap() -> None:
    [row] = table({"negmerge": [Run(standing(99, 91, 92, 13))]}, PARTS)
    assert row["gap"] is None


def test_a_repeat_that_diverged_is_left_out_of_the_mean_and_of_no_other_repeats_gap() -> None:
    salun = [Run(Standing({})), Run(standing(100, 92, 90, 10))]
    retrained = [Run(standing(0, 0, 0, 0)), Run(standing(100, 90, 90, 10))]
    rows = {row["method"]: row for row in table({"salun": salun, "retrain": retrained}, PARTS)}
    assert rows["salun"]["forget"] == {"mean": 0.92, "deviation": None, "repeats": 1}
    assert rows["salun"]["gap"]["mean"] == pytest.approx(0.5)


def test_a_zero_shot_model_has_no_test_column() -> None:
    [row] = table({"negmerge": [Run(standing(80, 70, 60))]}, {"forget": "train", "retain": "test"})
    assert row["test"] is None
    assert row["retain"]["mean"] == 0.6
