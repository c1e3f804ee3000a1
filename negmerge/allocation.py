"""How the process gets memory: training asks for the same large tensors in every step."""

import ctypes

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD = -1, -3  # malloc.h
_KEPT = 1 << 30  # bytes


def keep_freed_memory() -> None:
    """Have glibc keep what is freed for the next tensor, for the whole process.

    As it comes, glibc maps each block of over 32 MiB anew and gives the end of the heap back whenever it is free,
    so that the system clears the same pages in every step. Kept, training on a CPU takes up to a fifth less time, for
    a few per cent more memory at the peak (docs/benchmarks.md). Source: mallopt(3). Nothing happens where
    there is no such call: another C library, another system.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_M_MMAP_THRESHOLD, ctypes.c_int(_KEPT))
        mallopt(_M_TRIM_THRESHOLD, ctypes.c_int(_KEPT))
