"""How many bytes this process may still take, on the host or on a GPU, before something runs out."""

import resource
from pathlib import Path

import torch

_UNLIMITED = 1 << 62


def free_bytes(device: torch.device) -> int:
    """Bytes that may still be allocated on a device, as far as it can be known beforehand.

    CUDA: what the driver has free, and what torch holds unused. CPU: the least of what the system has available, what
    the control groups of this process leave it, and its own limit of addresses (``ulimit -v``).
    """
    if device.type == "cuda":
        unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return int(torch.cuda.mem_get_info(device)[0]) + unused
    return max(0, min(_available(), _left_by_groups(), _addresses_left()))


def _available(table: Path = Path("/proc/meminfo")) -> int:
    """Linux's own estimate of what can be taken without swapping."""
    try:
        for line in table.read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return 1024 * int(line.split()[1])
    except OSError:
        pass
    return _UNLIMITED


def _left_by_groups(root: Path = Path("/sys/fs/cgroup"), own: Path = Path("/proc/self/cgroup")) -> int:
    """What the tightest of this process's control groups leaves: version 2, and version 1's controller of memory."""
    left = _UNLIMITED
    try:
        lines = own.read_text().splitlines()
    except OSError:
        return left
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            names, top = ("memory.max", "memory.current"), root
        elif "memory" in controllers.split(","):
            names, top = ("memory.limit_in_bytes", "memory.usage_in_bytes"), root / "memory"
        else:
            continue
        place = top / path.lstrip("/")
        for folder in (place, *place.parents):
            if folder.is_relative_to(top):
                left = min(left, _left_by(folder, *names))
    return left


def _left_by(folder: Path, limit: str, used: str) -> int:
    """What one group leaves; pages of files that it can drop count as free."""
    try:
        most, now = (folder / limit).read_text().strip(), int((folder / used).read_text())
        kept = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
    except (OSError, ValueError):
        return _UNLIMITED
    if most == "max":
        return _UNLIMITED
    return int(most) - now + int(kept.get("inactive_file", 0))


def _addresses_left() -> int:
    soft, _ = resource.getrlimit(resource.RLIMIT_AS)
    if soft == resource.RLIM_INFINITY:
        return _UNLIMITED
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    return soft - pages * resource.getpagesize()
