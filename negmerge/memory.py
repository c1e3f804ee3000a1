"""How the process gets memory: training asks for the same large tensors in every step."""

import ctypes

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8  # malloc.h
_KEPT = 1 << 30  # bytes
_MOST_ONCE = 32 << 20  # the largest M_MMAP_THRESHOLD of glibc before 2.35


def keep_freed_memory() -> None:
    """Have glibc keep what is freed for the next tensor, in the whole process and for good. Call it before any thread.

    As it comes, glibc maps large blocks anew and gives the end of the heap back whenever it is free, so that the system
    clears the same pages in every step. Kept, training on a CPU takes less time and somewhat more memory at its
    peak, and a process that has nothing to do stays as large as it was (docs/benchmarks.md says how much). All threads
    share one heap: those that they get of their own are given back whatever is asked for. Source: mallopt(3).
    Where there is no glibc, nothing happens.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is None:
        return
    mallopt(_M_ARENA_MAX, 1)
    if not mallopt(_M_MMAP_THRESHOLD, _KEPT):
        mallopt(_M_MMAP_THRESHOLD, _MOST_ONCE)
    mallopt(_M_TRIM_THRESHOLD, _KEPT)
