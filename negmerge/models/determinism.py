"""The same bits again from the same seed, on CUDA too: what torch and cuBLAS must be told before they compute.

docs/decisions/determinism.md says why each of these, and what it costs.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from negmerge.errors import ModelError

_WORKSPACE = "CUBLAS_WORKSPACE_CONFIG"
_REFUSED = " does not have a deterministic implementation"


@contextmanager
def deterministic() -> Iterator[None]:
    """In here the same seed gives the same bits, on the same kind of device with the same versions.

    For the whole process, whichever thread computes; before it first uses CUDA, since cuBLAS reads its workspace's size
    then. float32 is float32, never TF32. On the CPU nothing becomes another or slower for it.
    """
    os.environ.setdefault(_WORKSPACE, ":4096:8")
    before = _settings()
    _set((True, False, False, True, False, False, False))
    try:
        yield
    finally:
        _set(before)


@contextmanager
def refusing_what_cannot_repeat() -> Iterator[None]:
    """Raise ModelError where a network does in here what its device can only do with other bits each time."""
    try:
        yield
    except RuntimeError as error:
        operation, refused, _ = str(error).partition(_REFUSED)
        if not refused:
            raise
        raise ModelError(
            f"the model needs {operation}, which gives other bits each time on this device, so no point could be shown "
            "to be what it is: train it on the CPU, or choose another architecture"
        ) from error


def _settings() -> tuple[bool, ...]:
    cudnn, cuda = torch.backends.cudnn, torch.backends.cuda
    return (
        torch.are_deterministic_algorithms_enabled(),
        torch.utils.deterministic.fill_uninitialized_memory,  # type: ignore[attr-defined]
        cudnn.benchmark,
        cudnn.deterministic,
        cudnn.allow_tf32,
        cuda.matmul.allow_tf32,
        bool(cuda.cudnn_sdp_enabled()),  # type: ignore[no-untyped-call]
    )


def _set(settings: tuple[bool, ...]) -> None:
    algorithms, fill, benchmark, convolutions, tf32_convolutions, tf32_products, attention = settings
    cudnn, cuda = torch.backends.cudnn, torch.backends.cuda
    # Not "warn": attention's kernels stay random then. As use_deterministic_algorithms, which loads torch's compiler.
    torch.set_deterministic_debug_mode("error" if algorithms else "default")
    # What nobody reads needs no filling.
    torch.utils.deterministic.fill_uninitialized_memory = fill  # type: ignore[attr-defined]
    cudnn.benchmark, cudnn.deterministic = benchmark, convolutions
    cudnn.allow_tf32, cuda.matmul.allow_tf32 = tf32_convolutions, tf32_products
    cuda.enable_cudnn_sdp(attention)  # cuDNN's attention adds up in any order; the other kernels do not
