"""Choosing λ: each rule on a table worked by hand, ties, the extension, and a brute-force oracle."""

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from negmerge.evaluation.metrics import Count
from negmerge.evaluation.search import Choice, CurvePoint, choose, choose_sparingly
from negmerge.spec.job import ScaleSearch

BASE = Count(80, 100)


FULL = ScaleSearch(curve="full")

Measure = Callable[[float], Count]


def table(forget: Callable[[float], int], retain: Callable[[float], int]) -> tuple[Measure, Measure]:
    """Evaluations with these correct counts, out of 40 forget and 100 retain samples."""
    return lambda scale: Count(forget(scale), 40), lambda scale: Count(retain(scale), 100)


def falling(scale: float) -> int:
    """30 of 40 at 0, one less each step of 0.05, down to 0 at 1.5."""
    return max(0, 30 - round(scale * 20))


def test_the_lowest_forget_accuracy_that_keeps_enough_wins() -> None:
    # keep 0.95 of 80 % is 76 %: kept up to λ = 0.2, where retain is 80 − 20·0.2 = 76.
    choice = choose(*table(falling, lambda s: round(80 - 20 * s)), ScaleSearch(), "lowest_forget", BASE)
    assert (choice.scale, choice.at_edge) == (0.2, False)


def test_the_limit_itself_is_enough_whatever_binary_fractions_say() -> None:
    """0.95 · 0.6 in floating point is 0.57 − 1e-16 or + 1e-16; 57 of 100 keeps 95 % of 60 of 100 exactly."""
    retain = table(falling, lambda s: 57 if s <= 0.7 else 56)
    assert choose(*retain, ScaleSearch(keep=0.95), "lowest_forget", Count(60, 100)).scale == 0.7


def test_ties_go_to_the_smaller_scale() -> None:
    level = table(lambda s: 30 if s < 0.3 else 5, lambda s: 80)
    assert choose(*level, ScaleSearch(), "lowest_forget", BASE).scale == 0.3


def test_where_nothing_keeps_enough_the_scale_is_zero() -> None:
    choice = choose(*table(falling, lambda s: 80 if s == 0 else 10), ScaleSearch(), "lowest_forget", BASE)
    assert (choice.scale, choice.at_edge) == (0.0, False)


def test_zero_wins_where_no_scale_forgets_more() -> None:
    assert choose(*table(lambda s: 30, lambda s: 80), ScaleSearch(), "lowest_forget", BASE).scale == 0.0


def test_the_grid_is_the_published_twenty_one() -> None:
    choice = choose(*table(falling, lambda s: round(80 - 20 * s)), FULL, "lowest_forget", BASE)
    assert [point.scale for point in choice.curve] == [i / 20 for i in range(21)]


def test_the_grid_goes_on_to_two_while_its_edge_keeps_enough_and_the_goal_is_not_met() -> None:
    # falling() is 10 at 1, and reaches 0 at 1.5.
    choice = choose(*table(falling, lambda s: 80), FULL, "lowest_forget", BASE)
    assert (choice.scale, choice.at_edge, len(choice.curve)) == (1.5, False, 41)


def test_an_edge_at_two_goes_on_to_four_and_no_further() -> None:
    def forget(scale: float) -> Count:
        return Count(100 - round(scale * 20), 100)

    choice = choose(forget, lambda _: Count(80, 100), FULL, "lowest_forget", BASE)
    assert (choice.scale, choice.at_edge, len(choice.curve)) == (4.0, True, 81)


def test_a_tie_with_the_scale_before_the_edge_does_not_end_the_search() -> None:
    # 11 of 40 at 0.95 and again at 1: the smaller is the best so far, and 0 is reached only at 1.5.
    choice = choose(*table(lambda s: 11 if s == 1 else falling(s), lambda s: 80), ScaleSearch(), "lowest_forget", BASE)
    assert choice.scale == 1.5


def test_an_edge_that_does_not_keep_enough_ends_the_search() -> None:
    choice = choose(*table(falling, lambda s: 80 if s < 1 else 70), FULL, "lowest_forget", BASE)
    assert (choice.scale, choice.at_edge, len(choice.curve)) == (0.95, False, 21)


def test_an_edge_that_meets_the_goal_is_chosen_without_a_word() -> None:
    choice = choose(*table(lambda s: 30 - 30 * int(s), lambda s: 80), FULL, "lowest_forget", BASE)
    assert (choice.scale, choice.at_edge, len(choice.curve)) == (1.0, False, 21)


def test_an_edge_past_the_goal_ends_the_search() -> None:
    # falling() is 10 at 1; the goal of 12 was met at 0.9.
    choice = choose(*table(falling, lambda s: 80), ScaleSearch(rule="target", target=0.3, curve="full"), "target", BASE)
    assert (choice.scale, len(choice.curve)) == (0.9, 21)


def test_without_extension_the_edge_is_kept_and_said() -> None:
    choice = choose(*table(falling, lambda s: 80), ScaleSearch(extend=False, curve="full"), "lowest_forget", BASE)
    assert (choice.scale, choice.at_edge, len(choice.curve)) == (1.0, True, 21)


def test_match_unseen_comes_nearest_to_the_unseen_accuracy() -> None:
    # Unseen is 50 %: 20 of 40, which falling() gives at 0.5.
    choice = choose(*table(falling, lambda s: 80), ScaleSearch(), "match_unseen", BASE, reference=Count(50, 100))
    assert choice.scale == 0.5


def test_match_retrained_comes_nearest_to_the_retrained_models_accuracy() -> None:
    choice = choose(*table(falling, lambda s: 80), ScaleSearch(), "match_retrained", BASE, reference=Count(10, 40))
    assert choice.scale == 1.0


def test_match_unseen_takes_the_smaller_scale_of_two_as_near() -> None:
    # 20.5 of 40 would be the goal: 21 (λ = 0.45) and 20 (λ = 0.5) are as near.
    choice = choose(*table(falling, lambda s: 80), ScaleSearch(), "match_unseen", BASE, reference=Count(41, 80))
    assert choice.scale == 0.45


def test_a_target_is_met_as_the_decimal_that_was_written() -> None:
    # 0.3 of 40 is 12, at 30 − 12 = 18 steps of 0.05.
    choice = choose(*table(falling, lambda s: 80), ScaleSearch(rule="target", target=0.3), "target", BASE)
    assert (choice.scale, choice.rank[0]) == (0.9, 0)


def test_a_target_gives_way_to_keep() -> None:
    retain = table(falling, lambda s: 80 if s <= 0.2 else 0)
    assert choose(*retain, ScaleSearch(rule="target", target=0.3), "target", BASE).scale == 0.2


def test_a_fixed_scale_is_taken_as_it_is_and_compared_with_zero() -> None:
    choice = choose(*table(falling, lambda s: 0), ScaleSearch(rule="fixed", scale=0.33), "fixed", BASE)
    assert (choice.scale, choice.at_edge) == (0.33, False)
    assert [point.scale for point in choice.curve] == [0.0, 0.33]


def test_a_fixed_scale_of_zero_has_one_point() -> None:
    choice = choose(*table(falling, lambda s: 80), ScaleSearch(rule="fixed", scale=0.0), "fixed", BASE)
    assert [point.scale for point in choice.curve] == [0.0]


def test_the_curve_holds_what_was_measured() -> None:
    choice = choose(*table(falling, lambda s: 80), FULL, "lowest_forget", BASE)
    assert (choice.curve[3].forget, choice.curve[3].retain) == (Count(27, 40), Count(80, 100))


@pytest.mark.parametrize("search", [ScaleSearch(), FULL], ids=["needed", "full"])
def test_no_scale_is_measured_twice(search: ScaleSearch) -> None:
    scales: dict[str, list[float]] = {"forget": [], "retain": []}

    def counting(side: str, right: Callable[[float], int]) -> Callable[[float], int]:
        def at(scale: float) -> int:
            scales[side].append(scale)
            return right(scale)

        return at

    choose(*table(counting("forget", falling), counting("retain", lambda s: 80)), search, "lowest_forget", BASE)
    for side in scales.values():
        assert len(side) == len(set(side))


TENTHS = [i / 10 for i in range(11)]


@pytest.mark.parametrize(
    ("forget", "retain", "curve"),
    [
        (lambda s: 30 if s < 0.25 else 0, lambda s: 80, [*TENTHS, 0.25]),
        (falling, lambda s: 80, [*TENTHS, 1.5, 2.0]),
        (falling, lambda s: 80 if s <= 0.85 else 10, [*TENTHS, 0.95, 0.85]),
        (falling, lambda s: 80 if s == 0 else 10, [i / 20 for i in range(21)]),
    ],
    ids=["chosen between tenths", "halves beyond one", "tried in vain", "all in vain"],
)
def test_what_stays_is_measured_at_tenths_and_where_the_rule_looks(
    forget: Callable[[float], int], retain: Callable[[float], int], curve: list[float]
) -> None:
    choice = choose(*table(forget, retain), ScaleSearch(), "lowest_forget", BASE)
    assert [point.scale for point in choice.curve] == sorted(curve)


def test_keys_order_choices_by_forgetting_then_by_scale() -> None:
    deep, shallow, late = (
        choose(*table(forget, lambda s: 80), ScaleSearch(), "lowest_forget", BASE).rank
        for forget in (
            lambda s: 30 if s < 0.5 else 2,
            lambda s: 30 if s < 0.1 else 9,
            lambda s: 30 if s < 0.7 else 2,
        )
    )
    assert sorted([late, shallow, deep]) == [deep, late, shallow]


@pytest.mark.parametrize("rule", ["match_unseen", "match_retrained"])
def test_a_rule_that_compares_without_a_count_to_compare_with_is_a_mistake(rule: str) -> None:
    with pytest.raises(
        ValueError, match=f"^{rule} needs the count to compare with: unseen data's, or a retrained model's$"
    ):
        choose(*table(falling, lambda s: 80), ScaleSearch(), rule, BASE)


Rows = list[tuple[int, int]]

tables = st.lists(st.tuples(st.integers(0, 7), st.integers(0, 9)), min_size=81, max_size=81)
falling_tables = st.tuples(*(st.lists(st.integers(0, most), min_size=81, max_size=81) for most in (7, 9))).map(
    lambda sides: list(zip(*(sorted(side, reverse=True) for side in sides), strict=True))
)
rules = st.sampled_from(["lowest_forget", "match_unseen", "match_retrained", "target", "fixed"])


def search_by(rule: str, percent: int, extend: bool) -> ScaleSearch:
    asked: dict[str, Any] = {"target": {"target": 0.25}, "fixed": {"scale": 0.35}}.get(rule, {})
    return ScaleSearch.model_validate({"keep": percent / 100, "extend": extend, "rule": rule, **asked})


def decided(rows: Rows, search: ScaleSearch, how: str) -> Choice:
    """The choice by these counts of 7 and 9 samples, a row for each scale of the grid, where the goal may be 3 of 9."""

    def forget_at(scale: float) -> Count:
        return Count(rows[round(scale * 20)][0], 7)

    def retain_at(scale: float) -> Count:
        return Count(rows[round(scale * 20)][1], 9)

    by = choose_sparingly if how == "sparingly" else choose
    asked = search if how == "sparingly" else search.model_copy(update={"curve": how})
    return by(forget_at, retain_at, asked, search.rule or "", Count(9, 9), Count(3, 9))


@given(tables, rules, st.integers(0, 100), st.booleans())
def test_every_table_is_decided_as_by_brute_force(rows: Rows, rule: str, percent: int, extend: bool) -> None:
    """The rule said again, plainly: all scales that keep enough, sorted by |forget − goal| and scale."""
    rows[0] = (rows[0][0], 9)
    goal = {"target": Fraction(1, 4), "lowest_forget": Fraction(0)}.get(rule, Fraction(3, 9))

    def keeps(i: int) -> bool:
        return i == 0 or Fraction(rows[i][1], 9) >= Fraction(percent, 100)

    def goes_on(i: int) -> bool:
        return extend and keeps(i) and Fraction(rows[i][0], 7) > goal

    edge = 20 if not goes_on(20) else 40 if not goes_on(40) else 80
    expected = min(filter(keeps, range(edge + 1)), key=lambda i: (abs(Fraction(rows[i][0], 7) - goal), i))
    short = Fraction(rows[edge][0], 7) > goal
    found = decided(rows, search_by(rule, percent, extend), "full")
    assert (found.scale, found.at_edge) == (
        (0.35, False) if rule == "fixed" else (expected / 20, short and expected == edge)
    )


@given(tables | falling_tables, rules, st.integers(0, 100), st.booleans())
def test_however_little_is_measured_the_choice_is_the_same(rows: Rows, rule: str, percent: int, extend: bool) -> None:
    search = search_by(rule, percent, extend)
    full, needed, sparing = (decided(rows, search, how) for how in ("full", "needed", "sparingly"))
    assert sparing == replace(full, curve=[]) == replace(needed, curve=[])
    assert set(needed.curve) <= set(full.curve)
    assert full.scale in {point.scale for point in needed.curve}


@given(tables, st.sampled_from(["lowest_forget", "match_unseen"]), st.integers(1, 100))
def test_where_nothing_is_unlearned_the_curve_has_every_scale_that_comes_nearer(
    rows: Rows, rule: str, percent: int
) -> None:
    """The reason that a result gives counts them (``spec.outcome``). Nothing but λ = 0 keeps anything here."""
    lost = [(forget, 9 if i == 0 else 0) for i, (forget, _) in enumerate(rows)]
    full, needed = (decided(lost, search_by(rule, percent, True), how) for how in ("full", "needed"))
    goal = Fraction(0) if rule == "lowest_forget" else Fraction(3, 9)

    def off(point: CurvePoint) -> Fraction:
        return abs(Fraction(point.forget.correct, 7) - goal)

    assert full.scale == 0
    assert {point for point in full.curve if off(point) < off(full.curve[0])} <= set(needed.curve)


def sparingly(forget: Callable[[float], int]) -> list[float]:
    """The scales at which the sparing way measures the retain set, where all of them keep enough."""
    measured: list[float] = []

    def retain_at(scale: float) -> Count:
        measured.append(scale)
        return Count(80, 100)

    choose_sparingly(lambda scale: Count(forget(scale), 40), retain_at, ScaleSearch(), "lowest_forget", BASE)
    return measured


def test_the_sparing_way_measures_the_retain_set_once_where_the_goal_is_met() -> None:
    assert sparingly(lambda s: 30 if s < 0.3 else 0) == [0.3]


def test_the_sparing_way_has_no_curve_of_a_fixed_scale_either() -> None:
    search = ScaleSearch(rule="fixed", scale=0.3)
    choice = choose_sparingly(lambda _: Count(1, 40), lambda _: Count(80, 100), search, "fixed", BASE)
    assert choice == Choice(0.3, False, [], (1, 0.3))


def test_the_sparing_way_measures_the_edges_too_while_the_goal_is_not_met() -> None:
    assert sparingly(lambda s: 30 if s < 0.3 else 5) == [1, 2, 4, 0.3]
