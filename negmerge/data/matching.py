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


def match(
    dataset: Path,
    files: Sequence[Path],
    limits: Limits = Limits(),  # noqa: B008 - frozen
    on_step: OnStep = ignore,
) -> list[Match]:
    """The samples of an archive or a folder that are, or look like, each of these pictures.

    files: pictures, or archives of pictures; one that cannot be read has a problem and no candidates.
    Raises ArchiveError for a data set that cannot be read, and TooManyFiles.
    """
    index = index_archive(dataset, limits, verify=False)
    wanted = hash_wanted([(str(file), file) for file in files], limits, MOST_FILES)
    records = hash_samples(dataset, index, limits, on_step)
    return matches(records, wanted, {number: sample.id for number, sample in enumerate(index.samples)})


def hash_wanted(files: Iterable[tuple[str, Path]], limits: Limits, most: int) -> list[tuple[str, np.ndarray | str]]:
    """Of each picture (of an archive: ``archive's name/member``) its name, and its records or what is wrong with it.

    Raises TooManyFiles beyond ``most``, and ArchiveError for an archive that is damaged or over a limit.
    """
    found: list[tuple[str, np.ndarray | str]] = []
    for name, content in _contents(files, limits):
        if len(found) == most:
            raise TooManyFiles(f"there are more than {most} pictures: look for them in several requests")
        try:
            found.append((name, hash_picture(name, content, limits.pixels)))
        except ArchiveError as error:
            found.append((name, str(error)))
    return found


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


def _contents(files: Iterable[tuple[str, Path]], limits: Limits) -> Iterator[tuple[str, bytes]]:
    for name, path in files:
        if not path.is_file():  # a pipe would be waited for, for ever
            raise DataError(f"{shown(name)} is no file: name pictures, or archives of pictures")
        with path.open("rb") as file:
            start = file.read(512)
        if start.startswith(_ARCHIVES) or begins_a_tar(start):
            for member in archive_members(path, limits):
                if not ignored(member.name):
                    yield f"{name}/{member.name}", member.read()
        elif path.stat().st_size > limits.file_bytes:
            raise DataError(f"{shown(name)} is larger than {limits.file_bytes} bytes: save it smaller")
        else:
            yield name, path.read_bytes()
