"""The shards of a WebDataset in a folder: which files they are, and which part each says by its name. No torch."""

import stat
from collections.abc import Iterator, Sequence
from pathlib import Path

from negmerge.data.images import IMAGE_SUFFIXES
from negmerge.data.members import Limits, Member, Meter, ignored, of_archive, suffix
from negmerge.data.parts import parts_within, split_part
from negmerge.data.tars import tar_members
from negmerge.errors import ArchiveError
from negmerge.naming import shown

_SHARDS = (".tar", ".tar.gz", ".tgz")

Shard = tuple[Path, str | None]
"""A tar, and the part that it is of."""


def shards_of(folder: Path) -> list[Shard]:
    """The tars of a folder without pictures, as a WebDataset of many samples is kept; none of any other folder.

    They lie right in it, or all in folders that are called as parts. Where their names, or their folders', say two
    parts or more, each shard is of the part that it says. Raises ArchiveError where one of them says none, or two.
    """
    files, others = _entries(folder)
    held = list(files)
    tars = _tars(files)
    for other in others:
        is_part = stat.S_ISDIR(other.lstat().st_mode) and parts_within(other.name)
        inner, deeper = _entries(other) if is_part else ([], [])
        if deeper or not _tars(inner):
            return []
        held += inner
        tars += _tars(inner)
    if any(suffix(file.name) in IMAGE_SUFFIXES for file in held):
        return []
    said = {tar: _parts(tar.relative_to(folder)) for tar in tars}
    if len(frozenset().union(*said.values())) < 2:
        return [(tar, None) for tar in tars]
    return [(tar, _only(tar.relative_to(folder), parts)) for tar, parts in said.items()]


def members_of_shards(shards: Sequence[Shard], limits: Limits) -> Iterator[Member]:
    """Each file that counts, of all of them; the limits are of all together.

    Names begin with the shard's part (``train/0001.jpg``), so that a key may be in several parts.
    """
    meter = Meter(limits)
    for shard, part in shards:
        for member in of_archive(shard.name, tar_members(shard, limits, meter)):
            if not ignored(member.name):
                yield member if part is None else Member(_in_part(member.name, part, shard), member.open)


def _entries(folder: Path) -> tuple[list[Path], list[Path]]:
    """The files and whatever else is in it that count, by name."""
    files: list[Path] = []
    others: list[Path] = []
    for entry in sorted(folder.iterdir()):
        if not ignored(entry.name):
            (files if stat.S_ISREG(entry.lstat().st_mode) else others).append(entry)
    return files, others


def _tars(files: Sequence[Path]) -> list[Path]:
    return [file for file in files if file.name.endswith(_SHARDS)]


def _parts(path: Path) -> frozenset[str]:
    return frozenset().union(*map(parts_within, path.parts))


def _only(path: Path, parts: frozenset[str]) -> str:
    if len(parts) != 1:
        what = "two parts" if parts else "no part"
        raise ArchiveError(
            f"{shown(path.as_posix())} says {what} by its name, and others say one: call each shard train, val or test"
        )
    return next(iter(parts))


def _in_part(name: str, part: str, shard: Path) -> str:
    """The member's name below its shard's part."""
    said = split_part(name)[0]
    if said and said != part:
        raise ArchiveError(
            f"{shown(name)} lies in {shown(shard.name)}, which is of {part}: move it, or rename the shard"
        )
    return name if said else f"{part}/{name}"
