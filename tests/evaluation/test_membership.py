"""Membership inference: against scikit-learn itself, worked by hand, and whatever the order of the samples."""

import hashlib
import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.svm import SVC

from negmerge.errors import DataError, DivergedError, ModelError
from negmerge.evaluation.membership import (
    Values,
    equal_sides,
    membership_inference,
    true_label_confidence,
)
from negmerge.evaluation.metrics import Count

probabilities = st.floats(0, 1, width=32)


def values(*numbers: float) -> Values:
    return np.array(numbers, dtype=np.float64)


def confidences(seed: int, margin: float, width: float, size: int) -> Values:
    """As a classifier gives them, many near 1: the logistic function of normally distributed margins."""
    margins = np.random.default_rng(seed).normal(margin, width, size)
    return np.asarray(1 / (1 + np.exp(-margins)), dtype=np.float64)


class TestConfidence:
    def test_it_is_the_softmax_at_the_true_label(self) -> None:
        """Logits 0 and log 3: a quarter and three quarters."""
        logits = torch.tensor([[0.0, math.log(3)], [0.0, math.log(3)]], dtype=torch.float64)
        found = true_label_confidence(logits, torch.tensor([0, 1]))
        assert found.tolist() == pytest.approx([0.25, 0.75], abs=1e-15)

    def test_it_is_float64_even_from_half_precision(self) -> None:
        """Near 1 the types differ: 1 − 1/(1 + e⁻¹⁰) is kept to ten digits."""
        logits = torch.tensor([[10.0, 0.0]], dtype=torch.bfloat16)
        found = true_label_confidence(logits, torch.tensor([0]))
        assert found.dtype == torch.float64
        assert 1 - found.item() == pytest.approx(1 / (1 + math.exp(10)), rel=1e-10)

    def test_huge_logits_do_not_overflow(self) -> None:
        logits = torch.tensor([[1e30, 1e30, -1e30]])
        assert true_label_confidence(logits, torch.tensor([1])).item() == 0.5
        assert true_label_confidence(logits, torch.tensor([2])).item() == 0.0


class TestEqualSides:
    def test_the_smaller_side_is_taken_whole(self) -> None:
        members, non_members = equal_sides(["a", "b", "c", "d"], ["x", "y"])
        assert (len(members), non_members) == (2, [0, 1])

    def test_the_limit_holds_for_both_sides(self) -> None:
        names = [f"train/{i}.png" for i in range(50)]
        assert [len(side) for side in equal_sides(names, names, limit=7)] == [7, 7]

    def test_the_order_is_that_of_the_hash(self) -> None:
        """Worked out apart: hexadecimal digits of SHA-256 of "seed:id"."""
        names = [f"train/{i}.png" for i in range(50)]
        ordered = sorted(names, key=lambda name: hashlib.sha256(b"3:" + name.encode()).hexdigest())
        members, _ = equal_sides(names, names, seed=3, limit=7)
        assert {names[place] for place in members} == set(ordered[:7])
        assert members == sorted(members)

    @given(st.permutations([f"{i}" for i in range(12)]), st.integers(0, 5))
    def test_the_same_samples_are_chosen_in_whatever_order_they_come(self, names: list[str], seed: int) -> None:
        places, _ = equal_sides(names, names[:5], seed)
        usual = sorted(names, key=int)
        same, _ = equal_sides(usual, names[:5], seed)
        assert {names[place] for place in places} == {usual[place] for place in same}

    def test_a_side_without_samples_leaves_nothing(self) -> None:
        assert equal_sides(["a"], []) == ([], [])


class TestPublishedAttack:
    def test_separable_confidences_are_told_apart(self) -> None:
        """Members at 1, non-members at 0: of the forgotten, those at 0 and 0.1 count, those at 0.9 and 1 do not."""
        found = membership_inference(np.ones(20), np.zeros(20), values(0, 0.1, 0.9, 1))
        assert found == Count(2, 4)

    def test_the_sides_swapped_swap_the_answer(self) -> None:
        asked = values(0, 0.1, 0.9, 1, 1)
        assert membership_inference(np.ones(20), np.zeros(20), asked) == Count(2, 5)
        assert membership_inference(np.zeros(20), np.ones(20), asked) == Count(3, 5)

    def test_members_need_not_be_the_surer_side(self) -> None:
        """The kernel learns an island: members at ½ between non-members at 0 and 1. With C = 3 and 50 samples of a
        side it needs no confidence ordering, as a single threshold would."""
        members = np.full(50, 0.5)
        non_members = np.repeat(values(0, 1), 25)
        assert membership_inference(members, non_members, values(0, 0.5, 0.5, 1)) == Count(2, 4)

    @pytest.mark.slow
    @pytest.mark.parametrize(
        ("member_margin", "other_margin", "width"), [(9.0, 6.0, 2.0), (3.0, 2.6, 2.7), (2.0, 2.0, 2.0)]
    )
    def test_the_count_is_scikit_learns(self, member_margin: float, other_margin: float, width: float) -> None:
        members, non_members = confidences(1, member_margin, width, 400), confidences(2, other_margin, width, 400)
        forgotten = confidences(3, member_margin, width, 300)
        machine: Any = SVC(C=3, gamma="auto", kernel="rbf")
        features = [[value] for value in sorted(members.tolist()) + sorted(non_members.tolist())]
        machine.fit(features, ["member"] * 400 + ["other"] * 400)
        answers = [machine.predict([[value]])[0] for value in forgotten.tolist()]
        assert membership_inference(members, non_members, forgotten) == Count(answers.count("other"), 300)

    def test_sorting_stays_within_the_solvers_tolerance(self) -> None:
        """The published code fits in the order of the data set. No forgotten sample changes sides for that."""
        members, non_members = confidences(1, 3.0, 2.7, 400), confidences(2, 2.0, 2.7, 400)
        forgotten = confidences(3, 3.0, 2.7, 300)
        machine: Any = SVC(C=3, gamma="auto", kernel="rbf")
        machine.fit(np.concatenate([members, non_members])[:, None], [1] * 400 + [0] * 400)
        expected = sum(int(answer == 0) for answer in machine.predict(forgotten[:, None]))
        assert membership_inference(members, non_members, forgotten) == Count(expected, 300)

    @given(
        st.integers(1, 12).flatmap(
            lambda size: st.tuples(*[st.lists(probabilities, min_size=size, max_size=size)] * 2)
        ),
        st.lists(probabilities, min_size=1, max_size=12),
        st.randoms(use_true_random=False),
    )
    def test_the_order_of_the_samples_changes_nothing(
        self, sides: tuple[list[float], list[float]], forgotten: list[float], random: Any
    ) -> None:
        members, non_members = sides
        found = membership_inference(values(*members), values(*non_members), values(*forgotten))
        for numbers in (members, non_members, forgotten):
            random.shuffle(numbers)
        assert membership_inference(values(*members), values(*non_members), values(*forgotten)) == found
        assert 0 <= found.accuracy <= 1
        assert found.count == len(forgotten)


@pytest.mark.parametrize("empty", [0, 1, 2])
def test_a_set_without_samples_has_no_figure(empty: int) -> None:
    sets = [values(0.5), values(0.5), values(0.5)]
    sets[empty] = values()
    with pytest.raises(DataError, match="without all three there is no figure"):
        membership_inference(*sets)


def test_a_diverged_model_is_refused() -> None:
    with pytest.raises(DivergedError, match="1 of 2 values of the forgotten samples are not finite"):
        membership_inference(values(0.5), values(0.5), values(0.5, np.nan))


def test_sides_of_different_numbers_are_refused() -> None:
    with pytest.raises(DataError, match="not 2 members with 1 non-members"):
        membership_inference(values(0.5, 0.5), values(0.5), values(0.5))


def test_logits_in_place_of_confidences_are_refused() -> None:
    with pytest.raises(ModelError, match="outside 0…1"):
        membership_inference(values(0.5), values(0.5), values(4.2))
