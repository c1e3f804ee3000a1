"""The archive of a model's folder, unpacked: its config, its weights as one file, and the other files that it needs."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from negmerge.data.archives import archive_members
from negmerge.data.members import Limits, Member
from negmerge.errors import ArchiveError, CheckpointError, ModelError
from negmerge.formats import shards, tokenizer_files
from negmerge.formats.families import FAMILIES, OPEN_CLIP, Family
from negmerge.formats.hugging_face import files
from negmerge.naming import shown

MAX_CONFIG_BYTES = 2**20
MAX_FILES = 10_000
"""Most files in a model's archive. A folder has a handful."""
UNPACKED = "weights.safetensors"
"""What an archive's weights are called beside it, whatever their name in there."""

_PICKLES = (".bin", ".pt", ".pth", ".pkl", ".ckpt")
_FORMATS = "send a folder as open_clip, timm or transformers saves it"


@dataclass(frozen=True)
class Unpacked:
    """The config's text, the file of weights, and other files beside it, by name."""

    config: bytes
    weights: Path
    beside: dict[str, Path]


def unpack(path: Path, max_bytes: int) -> Unpacked:
    """Unpack into the folder of ``path``. One pass over the archive for its names, one for the files.

    Raises ArchiveError for an archive that no honest tool would write, or over the limits, ModelError and
    CheckpointError where files are missing.
    """
    # one file may be nearly all of it, so that only the sum has a bound
    limits = Limits(bytes=max_bytes, files=MAX_FILES, file_bytes=sys.maxsize)
    names = [member.name for member in archive_members(path, limits)]
    family = _family(names)
    config = _only(names, family.config_file)
    weights, index = _weights(names, family)
    folder = path.parent
    most = tokenizer_files.MAX_BYTES if family is OPEN_CLIP else files.MAX_BYTES
    wanted = _beside(names, config, most) | dict.fromkeys([config], MAX_CONFIG_BYTES)
    if index is not None:
        wanted[index] = shards.MAX_INDEX_BYTES
    targets = {name: folder / PurePosixPath(name).name for name in wanted}
    targets |= {name: folder / f"{number}.shard" for number, name in enumerate(weights)}
    for member in archive_members(path, limits):
        if member.name in targets:
            _write(member, targets[member.name], wanted.get(member.name))
    if not all(file.exists() for file in targets.values()):  # a URI's file is not ours alone
        raise ArchiveError("the archive was changed while it was read: wait until it is written")
    found = targets[config].read_bytes()
    targets[config].unlink()
    _join({PurePosixPath(name).name: targets[name] for name in weights}, targets.get(index or ""), folder / UNPACKED)
    beside = {targets[name].name: targets[name] for name in wanted if name not in (config, index)}
    return Unpacked(found, folder / UNPACKED, beside)


def _join(parts: Mapping[str, Path], index: Path | None, target: Path) -> None:
    """One file of weights, whatever they came in; what they came in is gone then."""
    if index is None:
        next(iter(parts.values())).rename(target)
        return
    shards.join(parts, shards.shards_of(index.read_bytes()), target)
    for path in (index, *parts.values()):
        path.unlink()


def _family(names: list[str]) -> Family:
    """Whose files these are, by the config's name: open_clip's where both are there, as in its folders on a hub."""
    there = {PurePosixPath(name).name for name in names}
    for family in FAMILIES.values():
        if family.config_file in there:
            return family
    wanted = " or ".join(family.config_file for family in FAMILIES.values())
    raise ModelError(f"the archive has no {wanted}: {_FORMATS}")


def _weights(names: list[str], family: Family) -> tuple[list[str], str | None]:
    """The members with the weights, and the index where they are shards. The one file holds where both are there."""
    index = family.weights_file + shards.ENDING
    if any(PurePosixPath(name).name == family.weights_file for name in names) or not _called(names, index):
        return [_only(names, family.weights_file)], None
    member = _only(names, index)
    beside = str(PurePosixPath(member).parent)
    found = [name for name in names if str(PurePosixPath(name).parent) == beside and _is_shard(name, family)]
    if twice := [name for name in found if found.count(name) > 1]:
        raise ArchiveError(f"{shown(twice[0])} is in the archive twice: pack it again")
    if len(found) > shards.MAX_SHARDS:
        raise ModelError(f"the archive has {len(found)} shards of weights, of at most {shards.MAX_SHARDS}")
    return found, member


def _is_shard(name: str, family: Family) -> bool:
    stem = family.weights_file.removesuffix(".safetensors")
    file = PurePosixPath(name).name
    return file.startswith(f"{stem}-") and file.endswith(".safetensors")


def _called(names: list[str], wanted: str) -> list[str]:
    """The files of this name at the archive's root or in the one folder around everything."""
    return [name for name in names if PurePosixPath(name).name == wanted and name.count("/") <= 1]


def _only(names: list[str], wanted: str) -> str:
    found = _called(names, wanted)
    if len(found) == 1:
        return found[0]
    if found:
        raise ModelError(f"the archive has {len(found)} files {wanted}: send one model's folder")
    if wanted.endswith(".safetensors") and any(name.endswith(_PICKLES) for name in names):
        raise CheckpointError(f"the archive has pickled weights: send {wanted}, never a pickle")
    raise ModelError(f"the archive has no {wanted}: {_FORMATS}")


def _beside(names: list[str], config: str, most: Mapping[str, int]) -> dict[str, int]:
    """Members beside the config that may be needed too, and the most bytes of each."""
    wanted = {str(PurePosixPath(config).with_name(name)): size for name, size in most.items()}
    found = [name for name in names if name in wanted]
    if twice := [name for name in found if found.count(name) > 1]:
        raise ArchiveError(f"{shown(twice[0])} is in the archive twice: pack it again")
    return {name: wanted[name] for name in found}


def _write(member: Member, target: Path, most: int | None) -> None:
    """Write a member to a new file. most: bytes that it may have; None for weights, which the archive's sum bounds."""
    size = 0
    with target.open("xb") as file:
        for piece in member.open():
            size += len(piece)
            if most is not None and size > most:
                raise ModelError(f"{PurePosixPath(member.name).name} has more than {most} bytes")
            file.write(piece)
