"""Task vectors, and the one way from a merged vector to weights."""

import hashlib

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from torch import Tensor

from negmerge.checkpoints.tensors import digest, is_buffer
from negmerge.errors import DivergedError, MergeError, TensorError
from negmerge.merging.vectors import apply_scale, check, rounded_away, task_vector, unlearned

TYPES = [torch.float32, torch.float16, torch.bfloat16, torch.float64]
finite = st.floats(-4, 4, width=32)
arrays = hnp.arrays(np.float32, 9, elements=st.one_of(finite, st.just(-0.0), st.just(0.0)))


def same_bits(one: Tensor, other: Tensor) -> bool:
    return one.dtype == other.dtype and one.shape == other.shape and digest({"": one}) == digest({"": other})


@pytest.mark.parametrize(
    ("name", "dtype", "expected"),
    [
        ("visual.proj", torch.float32, False),
        ("visual.conv1.weight", torch.float16, False),
        ("bn.running_mean", torch.float32, True),
        ("layer.0.bn.running_var", torch.float32, True),
        ("bn.num_batches_tracked", torch.int64, True),
        ("position_ids", torch.int64, True),
        ("mask", torch.bool, True),
        ("running_mean.weight", torch.float32, False),
    ],
)
def test_buffers_are_batchnorms_statistics_and_integers(name: str, dtype: torch.dtype, expected: bool) -> None:
    assert is_buffer(name, dtype) is expected


def test_a_task_vector_is_the_difference_in_float32_of_the_named_tensors_in_their_order() -> None:
    base = {"a": torch.tensor([1.0, 2.0], dtype=torch.bfloat16), "b": torch.tensor(3.0), "c": torch.ones(1)}
    tuned = {"c": torch.ones(1), "b": torch.tensor(3.5), "a": torch.tensor([1.001, 2.0])}

    vector = task_vector(tuned, base, ["b", "a"])

    assert list(vector) == ["b", "a"]
    assert vector["b"].item() == 0.5
    assert vector["a"].dtype == torch.float32
    assert vector["a"].tolist() == [float(np.float32(1.001) - np.float32(1)), 0.0]


def test_a_tensor_that_the_fine_tuned_model_lacks_is_named() -> None:
    with pytest.raises(TensorError, match="'a': is missing"):
        task_vector({}, {"a": torch.ones(2)}, ["a"])


def test_a_tensor_of_another_shape_is_named() -> None:
    with pytest.raises(TensorError, match=r"'a': has the shape \[3\], the base model's is \[2\]"):
        task_vector({"a": torch.ones(3)}, {"a": torch.ones(2)}, ["a"])


@pytest.mark.parametrize("value", [8.0, -8.0, 1e30, float("inf"), float("-inf"), float("nan")])
def test_a_task_vector_that_left_its_range_has_diverged_by_name(value: float) -> None:
    with pytest.raises(DivergedError, match="'second'"):
        check({"first": torch.zeros(2), "second": torch.tensor([0.0, value])})


def test_just_below_eight_has_not_diverged() -> None:
    below = float(np.nextafter(np.float32(8), np.float32(0)))
    check({"a": torch.tensor([below, -below]), "none": torch.zeros(0)})


@pytest.mark.parametrize("dtype", TYPES)
@given(base=arrays, merged=arrays)
def test_scale_zero_gives_the_base_model_back_to_the_bit(
    dtype: torch.dtype, base: np.ndarray, merged: np.ndarray
) -> None:
    theta_0 = torch.from_numpy(base).to(dtype)
    assert same_bits(apply_scale(theta_0, torch.from_numpy(merged), 0.0), theta_0)


@pytest.mark.parametrize("dtype", TYPES)
@given(base=arrays, merged=arrays, scale=st.floats(0, 4))
def test_a_scale_is_one_multiplication_and_one_subtraction_in_float32(
    dtype: torch.dtype, base: np.ndarray, merged: np.ndarray, scale: float
) -> None:
    theta_0 = torch.from_numpy(base).to(dtype)

    theta = apply_scale(theta_0, torch.from_numpy(merged), scale)

    for i in range(9):
        moved = np.float32(theta_0[i].item()) - np.float32(merged[i]) * np.float32(scale)
        expected = theta_0[i] if merged[i] == 0 or scale == 0 else torch.tensor(moved).to(dtype)
        assert same_bits(theta[i], expected)


awkward = st.one_of(finite, st.sampled_from([0.0, -0.0, 1e-45, -1e-45, 3e38, -3e38]))


@given(
    base=hnp.arrays(np.float32, 9, elements=awkward),
    merged=hnp.arrays(np.float32, 9, elements=awkward),
    scale=st.sampled_from([1.0, 0.3, -1.0, 1e-30, 1e39]),
)
def test_float32_has_the_bits_of_torchs_own_arithmetic(base: np.ndarray, merged: np.ndarray, scale: float) -> None:
    theta_0, tau = torch.from_numpy(base), torch.from_numpy(merged)
    expected = torch.where(tau == 0, theta_0, theta_0 - tau * scale)
    assert same_bits(apply_scale(theta_0, tau, scale), expected)


@pytest.mark.parametrize("shape", [(), (0, 3), (1,)])
def test_a_scale_keeps_a_tensors_shape(shape: tuple[int, ...]) -> None:
    theta = apply_scale(torch.ones(shape), torch.full(shape, 0.25), 2.0)
    assert same_bits(theta, torch.full(shape, 0.5))


def test_minus_zero_survives_where_nothing_moves() -> None:
    theta_0 = torch.tensor([-0.0, -0.0, -0.0])
    theta = apply_scale(theta_0, torch.tensor([0.0, -0.0, 1.0]), 1.0)
    assert torch.signbit(theta).tolist() == [True, True, True]
    assert theta.tolist() == [0.0, 0.0, -1.0]


def test_the_base_models_memory_layout_stays() -> None:
    theta_0 = torch.randn(2, 3, 4, 5).to(memory_format=torch.channels_last)
    tau = torch.randn(2, 3, 4, 5)

    theta = apply_scale(theta_0, tau, 0.5)

    assert theta.stride() == theta_0.stride()
    assert torch.equal(theta, theta_0 - tau * 0.5)


def test_the_unlearned_model_has_every_tensor_and_moves_only_those_of_the_vector() -> None:
    base = {"visual.w": torch.tensor([1.0, 2.0]), "text.w": torch.tensor([3.0]), "n": torch.tensor(4)}

    theta = unlearned(base, {"visual.w": torch.tensor([0.5, 0.0])}, 2.0)

    assert list(theta) == list(base)
    assert theta["visual.w"].tolist() == [0.0, 2.0]
    assert torch.equal(theta["text.w"], base["text.w"])
    assert theta["n"].dtype == torch.int64
    theta["text.w"][0] = 9
    assert base["text.w"].item() == 3


def test_a_merged_tensor_that_the_base_model_has_not_is_named() -> None:
    with pytest.raises(
        TensorError, match="'other': of the merged vector is not in the base model, or has another shape"
    ):
        unlearned({"w": torch.ones(2)}, {"other": torch.ones(2)}, 1.0)


def test_weights_that_leave_their_types_range_are_named() -> None:
    with pytest.raises(TensorError, match=r"'w': leaves the range of torch.float16"):
        unlearned({"w": torch.tensor([65504.0], dtype=torch.float16)}, {"w": torch.tensor([-7.0])}, 1000.0)


def test_a_scale_that_is_not_a_number_is_refused() -> None:
    with pytest.raises(MergeError, match="finite"):
        unlearned({"w": torch.ones(1)}, {"w": torch.ones(1)}, float("nan"))


def test_nothing_is_rounded_away_in_float32() -> None:
    assert rounded_away({"w": torch.ones(1)}, {"w": torch.tensor([1e-12])}, 1.0) == 0.0


def test_what_sixteen_bits_swallow_is_weighed_by_its_size() -> None:
    # Steps of bfloat16 just below 1 are 2⁻⁸: a change of 2⁻¹⁰ is swallowed, one of 3 · 2⁻¹⁰ is not.
    base = {"w": torch.ones(2, dtype=torch.bfloat16)}
    assert rounded_away(base, {"w": torch.tensor([1 / 1024, 3 / 1024])}, 1.0) == 0.25


def test_what_is_swallowed_is_a_share_of_all_tensors_together() -> None:
    base = {"v": torch.ones(2, dtype=torch.bfloat16), "w": torch.ones(2, dtype=torch.bfloat16), "u": torch.ones(1)}
    small, large = 1 / 1024, 3 / 1024
    merged = {"v": torch.tensor([small, large]), "w": torch.tensor([small, large]), "u": torch.tensor([8 / 1024])}
    assert rounded_away(base, merged, 1.0) == 2 / 16


def test_what_is_swallowed_is_weighed_in_double_precision() -> None:
    base = {"w": torch.ones(2, dtype=torch.bfloat16)}
    assert rounded_away(base, {"w": torch.tensor([2.0**24, 2.0**-10])}, 1.0) == 2.0**-10 / (2.0**24 + 2.0**-10)


@pytest.mark.parametrize(("tau", "scale"), [(1.0, 0.0), (0.0, 1.0), (0.0, 0.0)])
def test_where_nothing_is_moved_nothing_is_swallowed(tau: float, scale: float) -> None:
    assert rounded_away({"w": torch.ones(1, dtype=torch.bfloat16)}, {"w": torch.tensor([tau])}, scale) == 0.0


def test_a_digest_is_of_names_types_shapes_and_bytes_sorted_by_name() -> None:
    tensors = {"b": torch.tensor([1, 2], dtype=torch.uint8), "a": torch.tensor(0.0)}
    expected = hashlib.sha256(b'["a","float32",[]]\0\0\0\0["b","uint8",[2]]\1\2').hexdigest()
    assert digest(tensors) == f"sha256:{expected}"


@pytest.mark.parametrize(
    "other",
    [
        {"w": torch.tensor([0.0, -0.0])},
        {"v": torch.zeros(2)},
        {"w": torch.zeros(2, 1)},
        {"w": torch.zeros(2, dtype=torch.int32)},
    ],
    ids=["a sign", "a name", "a shape", "a type"],
)
def test_a_digest_tells_apart(other: dict[str, Tensor]) -> None:
    assert digest(other) != digest({"w": torch.zeros(2)})


def test_a_digest_does_not_depend_on_how_a_tensor_lies_in_memory() -> None:
    tensor = torch.randn(2, 3, 4, 5)
    assert digest({"w": tensor}) == digest({"w": tensor.to(memory_format=torch.channels_last)})
