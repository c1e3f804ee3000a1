"""How much memory is left, by the tightest limit: control groups written by hand, and a limit of this very process."""

import subprocess
import sys
from pathlib import Path

import torch

from negmerge.training.room import _left_by_groups, free_bytes

LIMITED = """
import resource, torch
from negmerge.training.room import free_bytes
resource.setrlimit(resource.RLIMIT_AS, (64 << 30, 64 << 30))
before = free_bytes(torch.device("cpu"))
resource.setrlimit(resource.RLIMIT_AS, (int(open("/proc/self/statm").read().split()[0]) * 4096 + (300 << 20),) * 2)
print(before > (300 << 20), (299 << 20) < free_bytes(torch.device("cpu")) <= (300 << 20))
"""


def group(folder: Path, most: str, now: int, droppable: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "memory.max").write_text(f"{most}\n")
    (folder / "memory.current").write_text(f"{now}\n")
    (folder / "memory.stat").write_text(f"anon {now - droppable}\ninactive_file {droppable}\n")


def test_there_is_some_memory_here_and_not_more_than_the_system_has() -> None:
    total = next(int(line.split()[1]) for line in Path("/proc/meminfo").read_text().splitlines() if "MemTotal" in line)
    assert 0 < free_bytes(torch.device("cpu")) <= 1024 * total


def test_the_tightest_control_group_counts_and_files_that_it_can_drop_are_free(tmp_path: Path) -> None:
    group(tmp_path / "root" / "outer", "5000", 3000, 100)
    group(tmp_path / "root" / "outer" / "inner", "max", 2000, 50)
    own = tmp_path / "own"
    own.write_text("0::/outer/inner\n")
    assert _left_by_groups(tmp_path / "root", own) == 5000 - 3000 + 100


def test_a_limit_of_addresses_counts() -> None:
    done = subprocess.run([sys.executable, "-c", LIMITED], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["True", "True"]
