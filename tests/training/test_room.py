"""How much memory a training may count on, by the tightest limit; control groups are written by hand."""

from pathlib import Path

import torch

from negmerge.training.room import _allowed_by_groups, all_bytes


def group(folder: Path, most: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "memory.max").write_text(f"{most}\n")


def test_there_is_some_memory_here_and_not_more_than_the_system_has() -> None:
    total = next(int(line.split()[1]) for line in Path("/proc/meminfo").read_text().splitlines() if "MemTotal" in line)
    assert 0 < all_bytes(torch.device("cpu")) <= 1024 * total


def test_what_there_is_does_not_depend_on_what_is_taken() -> None:
    before = all_bytes(torch.device("cpu"))
    taken = torch.ones(100_000_000)
    assert (all_bytes(torch.device("cpu")), taken.numel()) == (before, 100_000_000)


def test_the_tightest_control_group_counts(tmp_path: Path) -> None:
    group(tmp_path / "root" / "outer", "5000")
    group(tmp_path / "root" / "outer" / "inner", "max")
    own = tmp_path / "own"
    own.write_text("0::/outer/inner\n")
    assert _allowed_by_groups(tmp_path / "root", own) == 5000


def test_the_first_version_of_control_groups_counts_too(tmp_path: Path) -> None:
    (tmp_path / "root" / "memory" / "mine").mkdir(parents=True)
    (tmp_path / "root" / "memory" / "mine" / "memory.limit_in_bytes").write_text("7000\n")
    own = tmp_path / "own"
    own.write_text("3:cpu:/other\n2:memory,hugetlb:/mine\n")
    assert _allowed_by_groups(tmp_path / "root", own) == 7000
