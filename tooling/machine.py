"""Where a figure comes from: the line of hardware and versions that benchmarks print and result pages hold."""

import os
import platform
from pathlib import Path

import torch

import negmerge


def machine() -> str:
    """CPU, cores, memory and versions, in one line."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU (CUDA rows: unmeasured)"
    return (
        f"{_cpu()}, {os.cpu_count()} cores, {memory:.0f} GiB, {device}; Python {platform.python_version()}, "
        f"torch {torch.__version__}, negmerge {negmerge.__version__}"
    )


def _cpu() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor()
