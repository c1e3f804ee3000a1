"""The sweep: order and seeds of its points by hand, random draws, and its limits."""

import hashlib
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from negmerge.spec.sweep import MAX_POINTS, HyperParameters, Sweep, count, expand, point_seed


def sweep(**parts: Any) -> Sweep:
    return Sweep.model_validate(parts)


def values(of: Sweep, *names: str) -> list[tuple[Any, ...]]:
    return [tuple(getattr(point.hyper_parameters, name) for name in names) for point in expand(of)]


def test_a_grid_expands_with_keys_sorted_and_the_last_varying_fastest() -> None:
    grid = {"weight_decay": [0.0, 0.1], "learning_rate": [1e-5, 3e-6], "epochs": [2, 1]}
    assert values(sweep(grid=grid), "epochs", "learning_rate", "weight_decay") == [
        (2, 1e-5, 0.0),
        (2, 1e-5, 0.1),
        (2, 3e-6, 0.0),
        (2, 3e-6, 0.1),
        (1, 1e-5, 0.0),
        (1, 1e-5, 0.1),
        (1, 3e-6, 0.0),
        (1, 3e-6, 0.1),
    ]


def test_points_are_numbered_from_zero_in_order() -> None:
    assert [point.index for point in expand(sweep(grid={"epochs": [3, 1, 2]}))] == [0, 1, 2]


def test_what_a_grid_leaves_out_is_as_published() -> None:
    [point] = expand(sweep(grid={"epochs": [5]}))
    assert point.hyper_parameters == HyperParameters(
        learning_rate=1e-5, weight_decay=0.1, epochs=5, batch_size=128, warmup_steps=None, label_smoothing=0.0
    )


def test_a_null_among_the_values_is_a_value() -> None:
    grid = {"randaugment": [None, {"magnitude": 9, "operations": 2}], "warmup_steps": [None, 0]}
    kept = [(r is None, w) for r, w in values(sweep(grid=grid), "randaugment", "warmup_steps")]
    assert kept == [(True, None), (True, 0), (False, None), (False, 0)]


def test_a_points_seed_is_the_sha256_of_the_sweeps_seed_and_its_canonical_hyper_parameters() -> None:
    [point] = expand(sweep(grid={"learning_rate": [3e-4], "epochs": [5]}, seed=7))
    canonical = (
        '7:{"batch_size":128,"epochs":5,"label_smoothing":0.0,"learning_rate":0.0003,'
        '"randaugment":null,"seed":null,"warmup_steps":null,"weight_decay":0.1}'
    )
    assert point.seed == int(hashlib.sha256(canonical.encode()).hexdigest()[:16], 16) // 2


def test_a_point_with_randaugment_has_it_in_its_canonical_form() -> None:
    [point] = expand(sweep(points=[{"randaugment": {"operations": 2, "magnitude": 9}}]))
    canonical = (
        '0:{"batch_size":128,"epochs":1,"label_smoothing":0.0,"learning_rate":1e-05,'
        '"randaugment":{"magnitude":9,"operations":2},"seed":null,"warmup_steps":null,"weight_decay":0.1}'
    )
    assert point.seed == int(hashlib.sha256(canonical.encode()).hexdigest()[:16], 16) // 2


def test_a_seed_of_its_own_is_the_points_seed() -> None:
    assert [point.seed for point in expand(sweep(points=[{"seed": 5}, {"seed": 6}], seed=9))] == [5, 6]


def test_a_point_keeps_its_seed_wherever_it_stands_and_however_it_is_written() -> None:
    in_a_grid = expand(sweep(grid={"epochs": [1, 2], "weight_decay": [0.0, 1.0]}))[3]
    alone = expand(sweep(points=[{"epochs": 2, "weight_decay": 1}]))[0]
    assert in_a_grid.seed == alone.seed


@given(st.integers(0, 2**63 - 1), st.integers(1, 10_000))
def test_every_seed_fits_63_bits(seed: int, epochs: int) -> None:
    assert 0 <= point_seed(seed, HyperParameters(epochs=epochs)) < 2**63


def test_points_of_one_sweep_have_seeds_of_their_own_and_another_sweep_has_others() -> None:
    grid = {"learning_rate": [1e-5, 3e-5], "epochs": [1, 2, 3]}
    seeds = [[point.seed for point in expand(sweep(grid=grid, seed=seed))] for seed in (0, 1)]
    assert len(set(seeds[0] + seeds[1])) == 12


@given(
    st.fixed_dictionaries(
        {},
        optional={
            "learning_rate": st.lists(st.floats(1e-6, 1e-2), min_size=1, max_size=4),
            "epochs": st.lists(st.integers(1, 100), min_size=1, max_size=4),
            "batch_size": st.lists(st.integers(1, 512), min_size=1, max_size=4),
            "seed": st.lists(st.integers(0, 99), min_size=1, max_size=4),
        },
    ).filter(bool)
)
def test_the_count_is_the_number_of_points_made(grid: dict[str, Any]) -> None:
    made = expand(sweep(grid=grid))
    assert count(sweep(grid=grid)) == len(made) == math.prod(len(axis) for axis in grid.values())


def test_as_many_points_as_can_be_summed_exactly_are_taken() -> None:
    assert count(sweep(grid={"seed": list(range(MAX_POINTS))})) == 1023


@pytest.mark.parametrize(
    "parts",
    [
        {"grid": {"seed": list(range(1024))}},
        {"grid": {"seed": list(range(32)), "epochs": list(range(1, 33))}},
        {"points": [{}] * 1024},
        {"random": {"count": 1024, "epochs": [1]}},
    ],
)
def test_one_point_more_is_refused(parts: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="1023"):
        Sweep.model_validate(parts)


def test_a_sweep_of_more_points_than_any_memory_holds_is_refused_without_making_them() -> None:
    thousand = [1] * 1000
    axes = ("epochs", "batch_size", "learning_rate", "warmup_steps", "seed")
    with pytest.raises(ValidationError, match="1000000000000000 points"):
        sweep(grid=dict.fromkeys(axes, thousand))


def drawn(seed: int = 0, **axes: Any) -> Sweep:
    return sweep(random={"count": 50} | axes, seed=seed)


def test_a_random_sweep_is_the_same_for_the_same_seed_and_another_for_another() -> None:
    axes: dict[str, Any] = {"learning_rate": {"low": 1e-6, "high": 1e-3, "log": True}, "epochs": [1, 2, 3]}
    assert expand(drawn(seed=1, **axes)) == expand(drawn(seed=1, **axes))
    assert expand(drawn(seed=1, **axes)) != expand(drawn(seed=2, **axes))


def test_a_random_sweep_does_not_depend_on_the_order_of_its_keys() -> None:
    axes: dict[str, Any] = {"weight_decay": {"low": 0.0, "high": 1.0}, "epochs": [1, 2, 3]}
    assert expand(drawn(**axes)) == expand(drawn(**dict(reversed(axes.items()))))


def test_values_that_are_listed_are_all_that_is_drawn() -> None:
    assert {epochs for (epochs,) in values(drawn(epochs=[2, 7]), "epochs")} == {2, 7}


@given(
    ends=st.tuples(st.floats(1e-300, 1e30), st.floats(1e-300, 1e30)).filter(lambda e: e[0] < e[1]),
    log=st.booleans(),
)
def test_nothing_is_drawn_outside_an_interval(ends: tuple[float, float], log: bool) -> None:
    low, high = ends
    axis = {"low": low, "high": high, "log": log}
    assert all(low <= rate <= high for (rate,) in values(drawn(learning_rate=axis), "learning_rate"))


@pytest.mark.parametrize(("log", "above_the_middle"), [(True, 500), (False, 995)])
def test_an_interval_is_uniform_or_uniform_in_the_logarithm(log: bool, above_the_middle: int) -> None:
    # Of 1e-6 … 1e-2 the middle of the logarithms is 1e-4; 99 % of the interval's length lies above it.
    axis = {"low": 1e-6, "high": 1e-2, "log": log}
    rates = values(sweep(random={"count": 1000, "learning_rate": axis}, seed=3), "learning_rate")
    assert sum(rate > 1e-4 for (rate,) in rates) == pytest.approx(above_the_middle, abs=60)
