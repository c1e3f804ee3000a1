"""Where a person's pictures are in a data set: each is looked for by its pixels and by how it looks. No torch."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from negmerge.data.archives import archive_members, index_archive
from negmerge.data.hashes import hash_picture, hash_samples, nearest
from negmerge.data.members import Limits, ignored
from negmerge.data.tars import begins_a_tar
from negmerge.errors import ArchiveError, DataError
from negmerge.naming import shown
from negmerge.progress import OnStep, ignore
from negmerge.spec.resources import Candidate, Match

MOST_FILES = 1000
"""Pictures that are looked for at once, where nothing else is said."""

_ARCHIVES = (b"PK\x03\x04", b"PK\x05\x06", b"\x1f\x8b")
"""How a zip and a tar.gz begin; no picture does."""


class TooManyFiles(DataError):
    """More pictures are to be looked for than may be."""


class UnusableFile(DataError):
    """One of the files cannot be used; ``number`` is its place among them, from 0."""

    def __init__(self, number: int, told: str) -> None:
        self.number = number
        super().__init__(told)


def match(
    dataset: Path,
    files: Sequence[Path],
    limits: Limits = Limits(),  # noqa: B008 - frozen
    on_step: OnStep = ignore,
) -> list[Match]:
    """The samples of an archive or a folder that are, or look like, each of these pictures.

    files: pictures, or archives of pictures; one that cannot be read has a problem and no candidates.
    Raises ArchiveError for a data set that cannot be read, UnusableFile and TooManyFiles.
    """
    index = index_archive(dataset, limits, verify=False)
    wanted = hash_wanted([(str(file), file) for file in files], limits, MOST_FILES)
    records = hash_samples(dataset, index, limits, on_step)
    return matches(records, wanted, {number: sample.id for number, sample in enumerate(index.samples)})


def hash_wanted(files: Iterable[tuple[str, Path]], limits: Limits, most: int) -> list[tuple[str, np.ndarray | str]]:
    """Of each picture (of an archive: ``archive's name/member``) its name, and its records or what is wrong with it.

    An archive without any is one that something is wrong with. Raises TooManyFiles beyond ``most``, and UnusableFile
    for an archive that is damaged or over a limit, and for a file that is too large.
    """
    found: list[tuple[str, np.ndarray | str]] = []
    for number, (name, path) in enumerate(files):
        before = len(found)
        try:
            for inner, content in _contents(name, path, limits):
                if len(found) == most:
                    raise TooManyFiles(f"there are more than {most} pictures: look for them in several requests")
                found.append((inner, _hashed(inner, content, limits)))
        except ArchiveError as error:
            raise UnusableFile(number, f"{shown(name)}: {error}") from error.__cause__
        if len(found) == before:
            found.append((name, f"{shown(name)} is an archive without pictures: nothing was looked for"))
    return found


def _hashed(name: str, content: bytes, limits: Limits) -> np.ndarray | str:
    try:
        return hash_picture(name, content, limits.pixels)
    except ArchiveError as error:
        return str(error)


def matches(records: np.ndarray, wanted: Iterable[tuple[str, np.ndarray | str]], ids: Mapping[int, str]) -> list[Match]:
    """The candidates of each picture that was looked for. ``ids`` has those of all numbers."""
    found = []
    for name, own in wanted:
        if isinstance(own, str):
            found.append(Match(file=name, problem=own))
            continue
        near = nearest(records, own)
        candidates = [Candidate(id=ids[one.number], distance=one.distance, exact=one.exact) for one in near]
        found.append(Match(file=name, candidates=candidates))
    return found


def _contents(name: str, path: Path, limits: Limits) -> Iterator[tuple[str, bytes]]:
    if not path.is_file():  # a pipe would be waited for, for ever
        raise ArchiveError("it is no file: name pictures, or archives of pictures")
    with path.open("rb") as file:
        start = file.read(512)
    if start.startswith(_ARCHIVES) or begins_a_tar(start):
        for member in archive_members(path, limits):
            if not ignored(member.name):
                yield f"{name}/{member.name}", member.read()
    elif path.stat().st_size > limits.file_bytes:
        raise ArchiveError(f"it is larger than {limits.file_bytes} bytes: save it smaller")
    else:
        yield name, path.read_bytes()
