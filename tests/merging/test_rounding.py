"""How far rounding may have moved what is stored: the steps of a type, and what it can hold."""

import math

import numpy as np
import pytest
import torch

from negmerge.merging.rounding import deviations, digits, digits_kept, holds


@pytest.mark.parametrize(
    ("dtype", "count"), [(torch.bfloat16, 7), (torch.float16, 10), (torch.float32, 23), (torch.float64, 23)]
)
def test_digits_are_those_behind_the_first_as_far_as_float32_has_them(dtype: torch.dtype, count: int) -> None:
    assert digits(dtype) == count


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("value", [1.0, 1.5, -0.75, 3.0, 0.0, 2.0**-14, 2.0**-20])
def test_a_deviation_is_the_distance_to_the_next_number_over_root_twelve(dtype: torch.dtype, value: float) -> None:
    bits = torch.tensor([abs(value)], dtype=dtype).view(torch.int16)
    step = float((bits + 1).view(dtype)) - abs(value)
    if dtype is torch.bfloat16 and value == 0.0:
        step = 2.0**-133  # 1e-40: below what float32 counts as normal, where the step stays the same
    found = deviations(np.array([value], np.float32), dtype)
    assert found.tolist() == pytest.approx([step / math.sqrt(12)])


def test_rounding_noise_is_as_large_as_estimated() -> None:
    values = torch.randn(100_000, generator=torch.Generator().manual_seed(0))
    rounded = values.to(torch.bfloat16).float()
    noise = float((rounded - values).norm())
    assert float(np.linalg.norm(deviations(rounded.numpy(), torch.bfloat16))) == pytest.approx(noise, rel=0.01)


def test_a_type_holds_what_rounding_to_it_leaves_as_it_was() -> None:
    assert holds(torch.bfloat16, np.array([1.0, 1.5, -0.0], np.float32))
    assert not holds(torch.bfloat16, np.array([1.0, 1.001], np.float32))


@pytest.mark.parametrize(
    ("dtype", "kept"), [(torch.float32, 23), (torch.bfloat16, 7), (torch.float16, 10), (torch.float8_e4m3fn, 3)]
)
def test_the_digits_that_values_use_are_those_of_the_type_they_were_in(dtype: torch.dtype, kept: int) -> None:
    values = torch.randn(10_000, generator=torch.Generator().manual_seed(0)).to(dtype).float().numpy()
    assert digits_kept(values) == kept


def test_a_few_short_numbers_say_nothing_of_a_type() -> None:
    assert digits_kept(np.ones(10_000, np.float32)) == 23
    assert digits_kept(np.array([0.5, 1.5], np.float32)) == 23
