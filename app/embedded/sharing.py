"""How many worker processes share one device: a number, or ``auto``, which grows while they leave it idle.

Why by such a rule, and what it does not see: docs/decisions/workers-per-device.md.
"""

import os
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from statistics import mean

from app.settings import WorkersPerDevice

MOST = 4
"""Processes that ``auto`` comes to. Each has its own CUDA context and its own copy of the data."""
BUSY = 0.5
"""Share of the time that the device computes, below which there is room for another."""
FULL = 0.9
"""Share of the device's memory that all may take together, the next one counted as large as those that are there."""
LOOK_SECONDS = 5.0
LOOKS = 6
"""Readings that must agree, since the last process was started."""


@dataclass(frozen=True)
class Reading:
    """Shares, 0 to 1, of a device's time and of its memory that are taken, by whomever."""

    busy: float
    memory: float


class Sharing:
    """When another process is due. first: how many to begin with."""

    def __init__(
        self, wanted: WorkersPerDevice, device: str, read: "Callable[[], Reading | None] | None" = None
    ) -> None:
        """wanted, device: as the settings have them. read: asks the device; None where it cannot be asked."""
        self._grows = wanted == "auto" and device != "cpu"
        self.first = 1 if wanted == "auto" else wanted
        self._read = read or read_device
        self._look_at = 0.0
        self._seen: list[Reading] = []

    def another(self, running: int, now: float) -> bool:
        """Whether to start one beside those that run; ask often. now: monotonic seconds."""
        if not self._grows or running >= MOST or now < self._look_at:
            return False
        self._look_at = now + LOOK_SECONDS
        reading = self._read()
        if reading is None or reading.busy == 0:  # nothing is being trained, so nothing is known of it
            self._seen = []
            return False
        self._seen = [*self._seen, reading][-LOOKS:]
        if len(self._seen) < LOOKS or not has_room(self._seen, running):
            return False
        self._seen = []
        return True


def has_room(seen: list[Reading], running: int) -> bool:
    """Whether one process more finds time and memory, by what those that run were seen to take."""
    memory = max(reading.memory for reading in seen)
    return mean(reading.busy for reading in seen) < BUSY and memory * (running + 1) / running <= FULL


def read_device() -> Reading | None:
    """What nvidia-smi says of the first device that this process may use; None without a driver, or an answer."""
    first = os.environ.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0] or "0"
    query = "--query-gpu=utilization.gpu,memory.used,memory.total"
    command = ["nvidia-smi", f"--id={first}", query, "--format=csv,noheader,nounits"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=LOOK_SECONDS, check=True)
        return reading_of(done.stdout)
    except (OSError, subprocess.SubprocessError, ValueError):
        return None


def reading_of(told: str) -> Reading:
    """``34, 5120, 81920``: percent of the time, MiB taken, MiB in all. Raises ValueError for anything else."""
    busy, used, total = (float(part) for part in told.strip().split(","))
    return Reading(busy / 100, used / total)
