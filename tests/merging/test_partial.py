"""Partials: the laws of a commutative monoid, and what they refuse."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from negmerge.checkpoints.tensors import digest
from negmerge.errors import DivergedError, MergeError, TensorError
from negmerge.merging.partial import Partial, consensus_of
from negmerge.merging.trimming import kept, kth_magnitude
from negmerge.merging.vectors import TaskVector
from negmerge.spec import job as spec
from negmerge.spec.consensus import Consensus
from tests.support.task_vectors import (
    BASE,
    METHODS,
    PLAIN,
    SIZE,
    elements,
    fingerprint,
    folded,
    keys,
    single,
    sweeps,
    vector,
)

# The laws of a commutative monoid.


@given(taus=sweeps, data=st.data())
def test_any_split_over_any_partials_in_any_order_gives_the_same_bits(
    taus: list[list[float]], data: st.DataObject
) -> None:
    places = data.draw(st.lists(st.integers(0, 3), min_size=len(taus), max_size=len(taus)))
    ranks = data.draw(st.lists(keys, min_size=len(taus), max_size=len(taus)))
    merge = spec.Merge(agreement=0.6, density=0.4)
    partials = [Partial(METHODS, BASE, merge) for _ in range(4)]
    whole = Partial(METHODS, BASE, merge)
    for i in range(len(taus)):
        whole.add(i, vector(taus[i]), single(i, ranks[i]))
    for i in data.draw(st.permutations(range(len(taus)))):
        partials[places[i]].add(i, vector(taus[i]), single(i, ranks[i]))

    while len(partials) > 1:
        one = partials.pop(data.draw(st.integers(0, len(partials) - 1)))
        partials[data.draw(st.integers(0, len(partials) - 1))].combine(one)

    assert fingerprint(partials[0]) == fingerprint(whole)


@given(taus=sweeps, chunk=st.integers(1, 12))
def test_the_size_of_chunks_changes_no_bit(taus: list[list[float]], chunk: int) -> None:
    assert fingerprint(folded(taus, chunk=chunk)) == fingerprint(folded(taus))


@pytest.mark.slow
@given(taus=sweeps, methods=st.permutations(METHODS))
def test_the_order_of_the_methods_changes_no_bit(taus: list[list[float]], methods: list[str]) -> None:
    one, other = folded(taus), folded(taus, methods)
    assert [digest(one.result(method)) for method in methods] == [digest(other.result(method)) for method in methods]


def test_more_points_than_eight_bits_count_give_the_same_bits_however_they_are_split() -> None:
    generator = torch.Generator().manual_seed(0)
    taus = torch.randn(300, 5, generator=generator) + 1.5
    taus[:, 0] = taus[:, 0].abs() + 0.1
    base = {"w": torch.zeros(5)}
    partials = {size: [Partial(["negmerge", "ties"], base, PLAIN) for _ in range(300 // size)] for size in (300, 150)}
    for size, (i, tau) in itertools.product(partials, enumerate(taus)):
        partials[size][i // size].add(i, {"w": tau})
    partials[150][1].combine(partials[150][0])

    assert fingerprint(partials[150][1]) == fingerprint(partials[300][0])
    assert partials[300][0].result("negmerge")["w"][0].item() == pytest.approx(taus[:, 0].mean().item(), rel=1e-5)


def test_combining_leaves_the_other_partial_as_it_was() -> None:
    one, other = Partial(METHODS, BASE, PLAIN), Partial(METHODS, BASE, PLAIN)
    one.add(0, vector([1.0] * SIZE), single(0))
    other.add(1, vector([-0.5] * SIZE), single(1))
    before = fingerprint(other)

    one.combine(other)

    assert fingerprint(other) == before
    assert one.points == [0, 1]


def test_an_empty_partial_changes_nothing() -> None:
    partial = folded([[0.5] * SIZE, [-0.25] * SIZE])
    before = fingerprint(partial)
    partial.combine(Partial(METHODS, BASE, PLAIN))
    assert fingerprint(partial) == before


def test_what_was_added_may_be_changed_afterwards() -> None:
    tau = vector([0.5] * SIZE)
    partial = Partial(METHODS, BASE, PLAIN)
    partial.add(0, tau, single(0))
    before = fingerprint(partial)
    for tensor in tau.values():
        tensor.zero_()
    for tensor in partial.result("task_arithmetic").values():
        tensor.zero_()
    assert fingerprint(partial) == before


def test_a_task_vector_in_another_memory_layout_is_the_same_point() -> None:
    base = {"w": torch.zeros(2, 3, 4, 4)}
    tau = torch.randn(2, 3, 4, 4)
    plain, strided = Partial(["negmerge"], base, PLAIN), Partial(["negmerge"], base, PLAIN)
    plain.add(0, {"w": tau})
    strided.add(0, {"w": tau.to(memory_format=torch.channels_last)})
    assert fingerprint(plain) == fingerprint(strided)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
def test_a_task_vector_on_a_gpu_is_the_same_point() -> None:
    tau = vector(np.linspace(-1, 1, SIZE).tolist())
    partial = Partial(METHODS, BASE, PLAIN)
    partial.add(0, {name: tensor.cuda() for name, tensor in tau.items()}, single(0))
    assert fingerprint(partial) == fingerprint(folded([np.linspace(-1, 1, SIZE).tolist()]))


# What is refused.


@pytest.mark.parametrize("value", [8.0, -8.0, float("nan"), float("inf")])
def test_a_diverged_point_is_refused_whole(value: float) -> None:
    partial = folded([[0.5] * SIZE])
    before = fingerprint(partial)

    with pytest.raises(DivergedError, match=r"visual\.scale"):
        partial.add(1, vector([0.25] * 10 + [value]), single(1))

    assert fingerprint(partial) == before


def tampered(name: str, tensor: Tensor | None) -> TaskVector:
    tau = vector([0.5] * SIZE)
    if tensor is None:
        del tau[name]
    else:
        tau[name] = tensor
    return tau


@pytest.mark.parametrize(
    ("name", "tensor", "said"),
    [
        ("visual.b", None, ": is missing from the task vector$"),
        ("visual.extra", torch.ones(1), ": does not take part in this merge$"),
        ("visual.b", torch.ones(5), r"float32 \[5\]"),
        ("visual.b", torch.ones(4, dtype=torch.float64), "float64"),
    ],
    ids=["missing", "extra", "misshapen", "not float32"],
)
def test_a_task_vector_that_does_not_fit_is_refused_by_name(name: str, tensor: Tensor | None, said: str) -> None:
    partial = Partial(["negmerge"], BASE, PLAIN)
    with pytest.raises(TensorError, match=said) as caught:
        partial.add(0, tampered(name, tensor))
    assert caught.value.tensor == name
    assert partial.points == []


def test_a_point_is_not_added_twice() -> None:
    partial = folded([[0.5] * SIZE])
    before = fingerprint(partial)
    with pytest.raises(MergeError, match="point 0 would be merged twice"):
        partial.add(0, vector([0.5] * SIZE), single(0))
    assert fingerprint(partial) == before


def test_partials_that_share_a_point_are_not_combined() -> None:
    one, other = folded([[0.5] * SIZE]), folded([[0.5] * SIZE])
    before = fingerprint(one)
    with pytest.raises(MergeError, match="twice"):
        one.combine(other)
    assert fingerprint(one) == before


@pytest.mark.parametrize(
    "other",
    [
        Partial(["uniform"], BASE, PLAIN),
        Partial(METHODS, BASE, spec.Merge(agreement=0.5)),
        Partial(METHODS, {"w": torch.zeros(3)}, PLAIN),
    ],
    ids=["methods", "options", "shapes"],
)
def test_partials_of_different_merges_are_not_combined(other: Partial) -> None:
    with pytest.raises(
        MergeError, match=r"^these partials belong to different merges: methods, options or shapes differ$"
    ):
        folded([[0.5] * SIZE]).combine(other)


def test_partials_of_the_same_options_are_combined_whichever_method_the_job_chose() -> None:
    one, other = Partial(METHODS, BASE, spec.Merge()), Partial(METHODS, BASE, spec.Merge(method="ties"))
    other.add(0, vector([0.5] * SIZE), single(0))
    one.combine(other)
    assert fingerprint(one) == fingerprint(folded([[0.5] * SIZE]))


def test_nothing_cannot_be_merged() -> None:
    empty = Partial(METHODS, BASE, PLAIN)
    for ask in (lambda: empty.result("negmerge"), empty.consensus):
        with pytest.raises(MergeError, match=r"^there is no task vector to merge$"):
            ask()


def test_a_method_that_was_not_asked_for_has_no_result() -> None:
    with pytest.raises(MergeError, match=r"^this partial was not made for 'ties', only for negmerge, uniform$"):
        folded([[0.5] * SIZE], ["negmerge", "uniform"]).result("ties")


def test_a_method_that_is_not_added_up_is_refused() -> None:
    with pytest.raises(MergeError, match="'greedy' cannot be merged here: use negmerge, relaxed, uniform"):
        Partial(["greedy"], BASE, PLAIN)


def test_task_arithmetic_wants_each_points_own_search() -> None:
    partial = Partial(METHODS, BASE, PLAIN)
    with pytest.raises(MergeError, match="own scale search"):
        partial.add(0, vector([0.5] * SIZE))
    assert partial.points == []


def test_no_more_points_are_added_than_are_exact() -> None:
    partial = Partial(["uniform"], {"w": torch.zeros(1)}, PLAIN)
    for i in range(1023):
        partial.add(i, {"w": torch.ones(1)})
    with pytest.raises(MergeError, match="1024 points"):
        partial.add(1023, {"w": torch.ones(1)})


def test_a_share_is_of_one_element_too_and_nothing_of_none() -> None:
    assert consensus_of({"w": 1, "none": 0}, {"w": 1, "none": 0}, needed=2) == Consensus(
        share=1.0, tensors={"w": 1.0, "none": 0.0}, elements={"w": 1, "none": 0}, needed=2
    )
    assert consensus_of({}, {}, needed=2) == Consensus(share=0.0, tensors={}, needed=2)


@pytest.mark.parametrize("method", METHODS)
def test_a_model_without_an_element_is_merged_into_one_without_an_element(method: str) -> None:
    none = {"none": torch.zeros(0, 3)}
    partial = Partial([method], none, PLAIN)
    partial.add(0, none, single(0))
    assert {name: list(tau.shape) for name, tau in partial.result(method).items()} == {"none": [0, 3]}


# How much memory it takes.


@pytest.mark.slow
@pytest.mark.parametrize(
    ("points", "expected"),
    [
        (1, {"negmerge": 10, "uniform": 8, "magmax": 4, "ties": 18, "task_arithmetic": 4}),
        (256, {"negmerge": 12, "uniform": 8, "magmax": 4, "ties": 20, "task_arithmetic": 4}),
    ],
)
def test_each_method_takes_so_many_bytes_an_element(points: int, expected: dict[str, int]) -> None:
    partial = folded([[0.5] * SIZE] * points)
    assert {method: partial.bytes_of(method) / SIZE for method in METHODS} == expected


def test_a_size_is_found_whatever_the_tensors_are_called() -> None:
    partial = Partial(["negmerge"], {"blocks/0/w": torch.zeros(4)}, PLAIN)
    partial.add(0, {"blocks/0/w": torch.ones(4)})
    assert partial.bytes_of("negmerge") == 40


def test_a_method_that_was_not_asked_for_has_no_size() -> None:
    with pytest.raises(MergeError, match="not made for 'ties'"):
        folded([[0.5] * SIZE], ["negmerge"]).bytes_of("ties")


# Trimming.


@given(values=st.lists(elements, min_size=1, max_size=60), data=st.data())
def test_the_kth_magnitude_is_exact(values: list[float], data: st.DataObject) -> None:
    tau = np.array(values, np.float32)
    k = data.draw(st.integers(1, len(tau)))
    cut = data.draw(st.integers(0, len(tau)))
    assert kth_magnitude(lambda: [tau[:cut], tau[cut:]], k) == sorted(np.abs(tau))[-k]


@pytest.mark.parametrize(("density", "size", "expected"), [(0.2, 10, 2), (0.29, 100, 29), (0.01, 10, 1), (1.0, 7, 7)])
def test_trimming_keeps_the_share_as_it_is_written(density: float, size: int, expected: int) -> None:
    assert kept(density, size) == expected  # 0.29 · 100 is 28.999… in binary


# Read for other methods than those that it was made for.


@given(taus=sweeps)
def test_it_may_be_read_as_if_made_for_other_methods_of_the_same_components(taus: list[list[float]]) -> None:
    made, other = spec.Merge(density=0.4), spec.Merge(agreement=0.7, relaxed=0.5, density=0.4)
    whole = folded(taus, merge=made)
    for methods in (["relaxed", "negmerge"], ["uniform"], ["ties", "magmax"], ["task_arithmetic", "negmerge"]):
        direct = Partial(methods, BASE, other)
        for i in range(len(taus)):
            direct.add(i, vector(taus[i]), single(i))
        read = whole.read_as(methods, other)
        assert read.points == direct.points
        assert {m: digest(read.result(m)) for m in methods} == {m: digest(direct.result(m)) for m in methods}


@pytest.mark.parametrize("methods", [["magmax"], ["ties"], ["task_arithmetic"]])
def test_what_was_not_added_up_cannot_be_read(methods: list[str]) -> None:
    partial = Partial(["negmerge"], BASE, PLAIN)
    with pytest.raises(MergeError, match="cannot be read from what was added up for negmerge"):
        partial.read_as(methods, PLAIN)


def test_what_was_trimmed_is_of_one_density() -> None:
    partial = Partial(["ties", "negmerge"], BASE, spec.Merge(density=0.4))
    with pytest.raises(MergeError, match=r"density 0\.4, not 0\.2"):
        partial.read_as(["ties"], spec.Merge(density=0.2))
    assert partial.read_as(["negmerge"], spec.Merge(density=0.2)).methods == ["negmerge"]
