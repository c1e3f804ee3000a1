"""What the device can do at most: copying memory, and products of matrices. Other rows are told as shares of these."""

import torch

from benchmarks.gpu.table import Bench

COPY, MATMUL = "copy", "matmul"
_REPEATS = 20
_GB, _TERA = 1e9, 1e12


def copy(bench: Bench, _seconds: float) -> str:
    """Copying one large buffer into another: bytes read and bytes written, a second."""
    size = 1 << (16 if bench.tiny else 31)
    source = torch.zeros(size, dtype=torch.uint8, device=bench.device)
    target = torch.empty_like(source)
    best = min(_timed(bench, lambda: target.copy_(source)) for _ in range(_REPEATS))
    bench.measured[COPY] = 2 * size / best
    return f"{bench.measured[COPY] / _GB:,.0f} GB/s, read and written"


def matmul(bench: Bench, _seconds: float) -> str:
    """Products of two square matrices in bfloat16, and in float32 as torch does it unasked."""
    side = 64 if bench.tiny else 8192
    rates = {}
    for dtype in (torch.bfloat16, torch.float32):
        left = torch.randn(side, side, device=bench.device).to(dtype)
        right = torch.randn(side, side, device=bench.device).to(dtype)
        torch.mm(left, right)  # the first call chooses a kernel
        best = min(_timed(bench, lambda left=left, right=right: torch.mm(left, right)) for _ in range(_REPEATS))
        rates[dtype] = 2 * side**3 / best
    bench.measured[MATMUL] = rates[torch.bfloat16]
    return (
        f"{rates[torch.bfloat16] / _TERA:,.3g} TFLOP/s in bfloat16, {rates[torch.float32] / _TERA:,.3g} in float32, "
        f"{side} × {side}"
    )


def _timed(bench: Bench, work: object) -> float:
    """Seconds of one call, by the device's own events where it has them."""
    assert callable(work)
    if bench.device.type != "cuda":
        started = bench.clock()
        work()
        return bench.clock() - started
    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))  # type: ignore[no-untyped-call]
    begin.record()
    work()
    end.record()
    end.synchronize()
    return float(begin.elapsed_time(end)) / 1000
