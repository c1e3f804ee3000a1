"""θ₀ − λ·τ* in numpy beside torch: the front door gives the bits that the library writes."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from torch import Tensor

from negmerge.errors import TensorError
from negmerge.formats.scaling import FLOATS, scaled
from negmerge.merging.vectors import apply_scale

DTYPES = {"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}
SCALES = st.one_of(st.sampled_from([0.0, 0.05, 0.6, 1.0, 1000.0]), st.floats(0, 1000))
ELEMENTS = st.one_of(st.floats(-7.5, 7.5, width=32), st.sampled_from([0.0, -0.0]))


def as_bytes(tensor: Tensor) -> bytes:
    return tensor.view(torch.uint8).numpy().tobytes()


def in_numpy(base: Tensor, merged: Tensor, scale: float) -> bytes:
    [dtype] = [name for name, of in DTYPES.items() if of is base.dtype]
    return scaled("w", dtype, as_bytes(base), as_bytes(merged), scale)


def test_all_types_that_may_take_part_are_known() -> None:
    assert FLOATS.keys() == DTYPES.keys()


@pytest.mark.parametrize("dtype", DTYPES.values(), ids=DTYPES.keys())
@given(
    base=hnp.arrays(np.float32, 16, elements=ELEMENTS),
    merged=hnp.arrays(np.float32, 16, elements=ELEMENTS),
    scale=SCALES,
)
def test_it_gives_torchs_bits(dtype: torch.dtype, base: np.ndarray, merged: np.ndarray, scale: float) -> None:
    theta_0, tau = torch.from_numpy(base).to(dtype), torch.from_numpy(merged)
    assert in_numpy(theta_0, tau, scale) == as_bytes(apply_scale(theta_0, tau, scale))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_of_two_nearest_numbers_it_takes_the_even_one_as_torch_does(dtype: torch.dtype) -> None:
    """Every 16-bit number between ½ and 2, moved by half of its own step up and down."""
    bits = torch.arange(2**15, dtype=torch.int32).to(torch.int16).view(dtype)
    numbers = bits[(bits >= 0.5) & (bits < 2)]
    following = (numbers.view(torch.int16) + 1).view(dtype)
    half = (following.float() - numbers.float()) / 2
    for moved in (half, -half):
        assert in_numpy(numbers, moved, 1.0) == as_bytes(apply_scale(numbers, moved, 1.0))


@pytest.mark.parametrize("dtype", DTYPES.values(), ids=DTYPES.keys())
def test_where_nothing_is_subtracted_the_bits_are_the_base_models(dtype: torch.dtype) -> None:
    base, merged = torch.tensor([-0.0, 0.0, 1.5], dtype=dtype), torch.zeros(3)
    assert in_numpy(base, merged, 0.6) == as_bytes(base)
    assert in_numpy(base, torch.ones(3), 0.0) == as_bytes(base)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_what_leaves_the_range_of_its_type_is_an_error_that_names_the_tensor(dtype: torch.dtype) -> None:
    most = torch.finfo(dtype).max
    with pytest.raises(TensorError, match=r"'w'.*use a smaller one"):
        in_numpy(torch.tensor([most], dtype=dtype), torch.tensor([-most / 100]), 1.0)
