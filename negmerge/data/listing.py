"""The samples of one data set as an SQLite file: pages of them, by class and part, and where each picture lies.

A JSON index is read as a whole; of a million samples that takes seconds for each page. No torch.
"""

import sqlite3
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

from negmerge.data.archives import Index, archive_members
from negmerge.data.members import Limits, Place, ignored

Part = Literal["train", "validation", "test"]

_SCHEMA = """
CREATE TABLE classes (number INTEGER PRIMARY KEY, name TEXT NOT NULL);
CREATE TABLE samples (
    number INTEGER PRIMARY KEY, id TEXT NOT NULL, class INTEGER, part TEXT,
    start INTEGER NOT NULL, size INTEGER NOT NULL, deflated INTEGER NOT NULL
);
"""
_INDEXES = """
CREATE UNIQUE INDEX by_id ON samples (id);
CREATE INDEX by_class ON samples (class, part, number);
CREATE INDEX by_part ON samples (part, number);
"""
_CACHE_KIB = 8 * 2**10


@dataclass(frozen=True, slots=True)
class Listed:
    """A sample: its number in the order of ids from 0, its class (None in a set without classes), its own part."""

    number: int
    id: str
    class_name: str | None
    part: Part | None
    place: Place


def places_of(path: Path, limits: Limits) -> dict[str, Place]:
    """Where each member of an archive lies, by its name, with nothing decoded. Raises ArchiveError."""
    members = (member for member in archive_members(path, limits) if not ignored(member.name))
    return {member.name: member.place() for member in members if member.place is not None}


def write_listing(path: Path, index: Index, places: Mapping[str, Place]) -> None:
    """Write a new file with the index's samples. ``places`` has each member of the archive by its name there."""
    prefix = f"{index.root}/" if index.root else ""
    numbers = {name: number for number, name in enumerate(index.classes)}

    def rows() -> Iterator[tuple[Any, ...]]:
        for number, sample in enumerate(index.samples):
            place = places[prefix + sample.id]
            kind = numbers.get(sample.class_name)
            yield number, sample.id, kind, sample.part, place.start, place.size, place.deflated

    path.unlink(missing_ok=True)
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        # Nobody reads it before it is whole, and one that is not is thrown away.
        connection.execute("PRAGMA journal_mode = OFF")
        connection.execute("PRAGMA synchronous = OFF")
        connection.executescript(_SCHEMA)
        connection.execute("BEGIN")
        connection.executemany("INSERT INTO classes VALUES (?, ?)", enumerate(index.classes))
        connection.executemany("INSERT INTO samples VALUES (?, ?, ?, ?, ?, ?, ?)", rows())
        connection.execute("COMMIT")
        connection.executescript(_INDEXES)
    finally:
        connection.close()


class Listing:
    """Reads one such file, which nobody changes any more. Safe to use from several threads."""

    def __init__(self, path: Path) -> None:
        self._uri = f"file:{quote(str(path))}?mode=ro&immutable=1"

    def page(
        self, after: int, limit: int, classes: Collection[str] = (), parts: Collection[str] = ()
    ) -> tuple[list[Listed], int]:
        """The first ``limit`` samples whose number is above ``after``, of any of these classes and parts, and how many
        there are of these on all pages. None given means all.
        """
        with self._open() as connection:
            where, values = _condition(_numbers(connection, classes) if classes else None, parts)
            (count,) = connection.execute(f"SELECT count(*) FROM samples WHERE {where}", values).fetchone()
            found = connection.execute(
                f"{_SELECT} WHERE number > ? AND {where} ORDER BY number LIMIT ?", (after, *values, limit)
            )
            return [_listed(row) for row in found], int(count)

    def find(self, sample_id: str) -> Listed | None:
        """The sample with this id."""
        with self._open() as connection:
            row = connection.execute(f"{_SELECT} WHERE id = ?", (sample_id,)).fetchone()
        return None if row is None else _listed(row)

    def ids(self, numbers: Sequence[int]) -> dict[int, str]:
        """The ids of these numbers."""
        with self._open() as connection:
            found = (connection.execute("SELECT id FROM samples WHERE number = ?", (number,)) for number in numbers)
            return {number: row.fetchone()[0] for number, row in zip(numbers, found, strict=True)}

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        connection = sqlite3.connect(self._uri, uri=True)
        try:
            connection.execute(f"PRAGMA cache_size = -{_CACHE_KIB}")
            yield connection
        finally:
            connection.close()


_SELECT = """SELECT number, id, (SELECT name FROM classes WHERE classes.number = class), part, start, size, deflated
FROM samples"""


def _numbers(connection: sqlite3.Connection, classes: Collection[str]) -> list[int]:
    marks = ",".join("?" * len(classes))
    found = connection.execute(f"SELECT number FROM classes WHERE name IN ({marks})", tuple(classes))
    return [row[0] for row in found]


def _condition(classes: Collection[int] | None, parts: Collection[str]) -> tuple[str, tuple[Any, ...]]:
    """What stands after WHERE, and its values."""
    conditions, values = ["TRUE"], list[Any]()
    for column, wanted in (("class", classes), ("part", parts or None)):
        if wanted is not None:
            conditions.append(f"{column} IN ({','.join('?' * len(wanted))})")
            values += wanted
    return " AND ".join(conditions), tuple(values)


def _listed(row: tuple[Any, ...]) -> Listed:
    number, sample_id, class_name, part, start, size, deflated = row
    return Listed(number, sample_id, class_name, part, Place(start, size, bool(deflated)))
