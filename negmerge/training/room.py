"""How many bytes a training may count on: what a device has in all, and of a GPU what is free at the moment."""

import os
from pathlib import Path

import torch

_UNLIMITED = 1 << 62


def all_bytes(device: torch.device) -> int:
    """Bytes that a process could have on a device that does nothing else.

    CUDA: the GPU's memory. CPU: the machine's, or the least that a control group of this process allows. Not what is
    free: of two workers alike, a busy one would train in another way, with other last bits.
    """
    if device.type == "cuda":
        return int(torch.cuda.get_device_properties(device).total_memory)
    return min(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"), _allowed_by_groups())


def free_bytes(device: torch.device) -> int:
    """Bytes that may still be allocated on a GPU: what the driver has free, and what torch holds unused."""
    unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return int(torch.cuda.mem_get_info(device)[0]) + unused


def _allowed_by_groups(root: Path = Path("/sys/fs/cgroup"), own: Path = Path("/proc/self/cgroup")) -> int:
    """What the tightest of this process's control groups allows: version 2, and version 1's controller of memory."""
    allowed = _UNLIMITED
    try:
        lines = own.read_text().splitlines()
    except OSError:
        return allowed
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            name, top = "memory.max", root
        elif "memory" in controllers.split(","):
            name, top = "memory.limit_in_bytes", root / "memory"
        else:
            continue
        place = top / path.lstrip("/")
        for folder in (place, *place.parents):
            if folder.is_relative_to(top):
                allowed = min(allowed, _limit(folder / name))
    return allowed


def _limit(file: Path) -> int:
    """One group's limit; ``max`` and what cannot be read are none."""
    try:
        return int(file.read_text())
    except (OSError, ValueError):
        return _UNLIMITED
