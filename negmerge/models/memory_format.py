"""How a network's tensors are to lie in memory: channels last, with which convolutions are half as fast again."""

import torch

_CHANNELS_AT_ONCE = 16
"""How many float32 numbers oneDNN's kernels work on at once at most: 8 with AVX2, 16 with AVX-512."""
_OF_VOLUMES = 5
"""Dimensions of what a three-dimensional convolution works on."""


def memory_format(module: torch.nn.Module) -> torch.memory_format:
    """Channels last, but where that would do harm.

    Not where a strided 1 × 1 convolution takes fewer channels than oneDNN's kernel works on at once: laid out so, it
    writes beyond its buffer in the backward pass (torch 2.14.1, found with valgrind), and the process aborts or worse.
    With AVX2 that is below 8 channels, with AVX-512 without AMX below 16; the layout is the same on every processor.
    Nor where a tensor has five dimensions, as a LambdaNetwork's: torch would lay it out so too, and fails.
    """
    if any(tensor.ndim == _OF_VOLUMES for tensor in (*module.parameters(), *module.buffers())):
        return torch.contiguous_format
    for part in module.modules():
        if (
            isinstance(part, torch.nn.Conv2d)
            and part.kernel_size == (1, 1)
            and max(part.stride) > 1
            and part.in_channels // part.groups < _CHANNELS_AT_ONCE
        ):
            return torch.contiguous_format
    return torch.channels_last


def has_convolutions(module: torch.nn.Module) -> bool:
    """Whether it convolves more than once, unlike a transformer, which only cuts its patches by a convolution."""
    return sum(isinstance(part, torch.nn.Conv2d) for part in module.modules()) > 1
