"""Tables that say images' classes and parts: ``metadata.csv`` and ``metadata.jsonl``, as Hugging Face has them.

No torch. A row names a file, relative to the table's own folder, its class, and maybe its part.
"""

import csv
import io
import json
import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from negmerge.data.parts import part_called
from negmerge.errors import ArchiveError
from negmerge.formats.headers import unique
from negmerge.naming import NAME_RULE, is_name, one_form, shown

NAMES = frozenset({"metadata.csv", "metadata.jsonl", "labels.csv", "_classes.csv"})
"""What a table is called, in lower case."""

MAX_BYTES = 64 * 2**20
"""Of one table."""
MAX_ROWS = 2_000_000
"""Of all tables of a data set together: more than ImageNet's (1,281,167 for training)."""
MAX_ROW = 2**20
"""Characters of one row, so that neither its columns nor its values can be many."""

_FILE_COLUMNS = ("file_name", "filename", "file", "image", "path")
_CLASS_COLUMNS = ("label", "class", "class_name", "category")
_PART_COLUMNS = ("split", "subset", "partition", "set", "fold")
_PARTS_ALONE = ("split", "subset", "partition")
"""Those of them that say nothing else."""
_COLUMNS = frozenset({*_FILE_COLUMNS, *_CLASS_COLUMNS, *_PART_COLUMNS})
_NUMBER = re.compile(r"-?\d+(\.\d+)?")


def is_table(name: str) -> bool:
    return name.rsplit("/", 1)[-1].lower() in NAMES


@dataclass(frozen=True, slots=True)
class Told:
    """What a row says of its file: its class (None in a table of parts alone) and its part (None where it has none)."""

    class_name: str | None
    part: str | None = None


Rows = Mapping[str, Told]
"""File → what its row says, by a table."""

Cells = tuple[str | None, ...]


def rows_of(name: str, content: bytes, most: int = MAX_ROWS) -> Rows | None:
    """What the rows say of each file; None where there are no such columns. Raises ArchiveError, with the row.

    Files are in Unicode's composed form and without a leading ``./``. most: rows that are taken; they are counted
    before any is read, and a row's length before what it holds.
    """
    if len(content) > MAX_BYTES:
        raise ArchiveError(f"{shown(name)} is larger than {MAX_BYTES} bytes: split the data set")
    if max(content.count(b"\n"), content.count(b"\r")) > most:
        raise ArchiveError(f"{shown(name)} brings the tables to more than {MAX_ROWS} rows: split the data set")
    found: dict[str, tuple[Cells, Cells]] = {}
    kinds: dict[tuple[Cells, Cells], tuple[Cells, Cells]] = {}  # many rows say the same, which is kept once
    for number, row in _rows(name, content):
        columns = {key.strip().lower(): value for key, value in row.items()}
        in_file = next((key for key in _FILE_COLUMNS if key in columns), None)
        if in_file is None or not columns.keys() & {*_CLASS_COLUMNS, *_PART_COLUMNS}:
            return None
        file, labels = columns[in_file], _labels(columns)
        if not isinstance(file, str) or not file or labels is None:
            raise ArchiveError(f"row {number} of {shown(name)} has no file or no class: a class has {NAME_RULE}")
        path = one_form(file.removeprefix("./"))
        if path in found:
            raise ArchiveError(f"{shown(name)} has {shown(file)} twice: an image has one class")
        said = labels, tuple(_text(columns.get(column)) for column in _PART_COLUMNS)
        found[path] = kinds.setdefault(said, said)
    told = _told(name, kinds)
    return {file: told[said] for file, said in found.items()} if told else None


def _labels(columns: Mapping[str, object]) -> Cells | None:
    """The classes in the columns for them; None for a row that has none, or something else where one should be."""
    given = [column for column in _CLASS_COLUMNS if column in columns]
    labels = tuple(_text(columns[key]) if _is_label(columns.get(key)) else None for key in _CLASS_COLUMNS)
    wrong = given and columns[given[0]] not in (None, "") and not _is_label(columns[given[0]])
    return None if wrong or (given and not any(labels)) else labels


def _text(value: object) -> str | None:
    """What a cell says, without spaces around it; None where it says nothing."""
    return str(value).strip() or None if isinstance(value, str | int) else None


def _told(name: str, kinds: Collection[tuple[Cells, Cells]]) -> dict[tuple[Cells, Cells], Told]:
    """What each kind of row says; nothing where none says a class or a part."""
    of_class = _class_column(name, {labels for labels, _ in kinds})
    of_part = _part_column(name, {parts for _, parts in kinds}, of_class is not None)
    if of_class is None and of_part is None:
        return {}
    return {
        (labels, parts): Told(
            None if of_class is None else labels[of_class],
            None if of_part is None else part_called(parts[of_part] or ""),
        )
        for labels, parts in kinds
    }


def _class_column(name: str, rows: Collection[Cells]) -> int | None:
    """Which column has the classes: of several that say the same, one with names rather than numbers."""
    filled = [place for place in range(len(_CLASS_COLUMNS)) if any(row[place] for row in rows)]
    told = [len({row[place] for row in rows}) for place in filled]
    if told and told[0] > 1:  # then a column that says one and the same of all is no class
        filled = [place for place, values in zip(filled, told, strict=True) if values > 1]
    for other in filled[1:]:
        first = filled[0]
        pairs = {(row[first], row[other]) for row in rows}
        same = len(pairs) == len({pair[0] for pair in pairs}) == len({pair[1] for pair in pairs})
        if not same or any(None in pair for pair in pairs):
            raise ArchiveError(
                f"{shown(name)} has classes in two columns, {shown(_CLASS_COLUMNS[first])} and "
                f"{shown(_CLASS_COLUMNS[other])}, that do not say the same: take away the one that is not the class"
            )
    words = [place for place in filled if not all(_NUMBER.fullmatch(row[place] or "") for row in rows)]
    return next(iter([*words, *filled]), None)


def _part_column(name: str, rows: Collection[Cells], has_classes: bool) -> int | None:
    """Which column has the parts. Raises ArchiveError for one that should, and has something else in a row.

    A ``set`` or a ``fold`` may be a number, or the name of another thing altogether.
    """
    of_parts = []
    for place, column in enumerate(_PART_COLUMNS):
        others = [row[place] for row in rows if part_called(row[place] or "") is None]
        if not others:
            of_parts.append(place)
        elif has_classes and any(row[place] for row in rows) and (column in _PARTS_ALONE or len(others) < len(rows)):
            words = [other for other in others if other]
            told = shown(words[0]) if words else "a row with nothing"
            raise ArchiveError(
                f"{shown(name)} has {told} in its column {shown(column)}: call each part train, val or test, or take "
                "the column away"
            )
    for other in of_parts[1:]:
        if any(part_called(row[of_parts[0]] or "") != part_called(row[other] or "") for row in rows):
            both = f"{shown(_PART_COLUMNS[of_parts[0]])} and {shown(_PART_COLUMNS[other])}"
            raise ArchiveError(f"{shown(name)} says other parts in its columns {both}: take one of them away")
    return of_parts[0] if of_parts else None


def _is_label(label: object) -> bool:
    return (isinstance(label, str) and is_name(label.strip())) or type(label) is int


def _rows(name: str, content: bytes) -> Iterator[tuple[int, dict[str, object]]]:
    """The rows by their columns, numbered from 1. Raises ArchiveError for what is no table."""
    read = _csv_rows if name.lower().endswith(".csv") else _json_rows
    try:
        yield from read(name, content)
    except UnicodeDecodeError:
        raise ArchiveError(f"{shown(name)} is not UTF-8: save it as that") from None
    except (csv.Error, ValueError, RecursionError) as error:
        raise ArchiveError(f"{shown(name)} cannot be read as a table ({error}): write it again") from None


def _csv_rows(name: str, content: bytes) -> Iterator[tuple[int, dict[str, object]]]:
    length = 0  # of the row so far, which quotes may spread over several lines

    def lines() -> Iterator[str]:
        nonlocal length
        for line in _lines(name, content, newline=""):
            length += len(line)
            if length > MAX_ROW:
                raise ArchiveError(_too_long(name))
            yield line

    reader = csv.reader(lines(), strict=True)
    columns = next(reader, [])
    called = [column.strip().lower() for column in columns]
    if any(called.count(column) > 1 for column in _COLUMNS):
        raise ValueError("a column is there twice")
    places = {column: place for place, column in enumerate(columns) if called[place] in _COLUMNS}
    length = number = 0
    for row in reader:
        length = 0
        if row:
            number += 1
        if any(row):  # a spreadsheet ends in rows of commas alone
            yield number, {column: row[place] if place < len(row) else None for column, place in places.items()}


def _json_rows(name: str, content: bytes) -> Iterator[tuple[int, dict[str, object]]]:
    for number, line in enumerate(_lines(name, content, newline="\n"), start=1):
        if line.strip():
            row = json.loads(line, object_pairs_hook=unique)
            if not isinstance(row, dict):
                raise ArchiveError(f"line {number} of {shown(name)} is no JSON object")
            yield number, row


def _lines(name: str, content: bytes, newline: str) -> Iterator[str]:
    """Line by line, since the whole as text would take four times its bytes."""
    text = io.TextIOWrapper(io.BytesIO(content), "utf-8-sig", newline=newline)
    while line := text.readline(MAX_ROW + 1):
        if len(line) > MAX_ROW:
            raise ArchiveError(_too_long(name))
        yield line


def _too_long(name: str) -> str:
    return f"{shown(name)} has a row of more than {MAX_ROW} characters: leave out the columns that say no class"
