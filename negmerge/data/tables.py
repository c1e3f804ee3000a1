"""Tables that say images' classes: ``metadata.csv`` and ``metadata.jsonl``, as Hugging Face's imagefolder has them.

No torch. A row names a file, relative to the table's own folder, and its class.
"""

import csv
import io
import json
from collections.abc import Iterator

from negmerge.errors import ArchiveError
from negmerge.formats.headers import unique
from negmerge.naming import NAME_RULE, is_name, shown

NAMES = frozenset({"metadata.csv", "metadata.jsonl", "labels.csv", "_classes.csv"})
"""What a table is called, in lower case."""

MAX_BYTES = 64 * 2**20
"""Of one table: half a million rows and more."""

_FILE_COLUMNS = ("file_name", "filename", "file", "image", "path")
_CLASS_COLUMNS = ("label", "class", "class_name", "category")


def is_table(name: str) -> bool:
    return name.rsplit("/", 1)[-1].lower() in NAMES


def classes_of(name: str, content: bytes) -> dict[str, str] | None:
    """File → class, by the table's rows; None where it has no such columns. Raises ArchiveError, with the row."""
    if len(content) > MAX_BYTES:
        raise ArchiveError(f"{shown(name)} is larger than {MAX_BYTES} bytes: split the data set")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ArchiveError(f"{shown(name)} is not UTF-8: save it as that") from None
    found: dict[str, str] = {}
    for number, row in _rows(name, text):
        columns = {key.strip().lower(): value for key, value in row.items()}
        in_file = next((key for key in _FILE_COLUMNS if key in columns), None)
        in_class = next((key for key in _CLASS_COLUMNS if key in columns), None)
        if in_file is None or in_class is None:
            return None
        file, label = columns[in_file], columns[in_class]
        if not isinstance(file, str) or not _is_label(label):
            raise ArchiveError(f"row {number} of {shown(name)} has no file or no class: a class has {NAME_RULE}")
        if file in found:
            raise ArchiveError(f"{shown(name)} has {shown(file)} twice: an image has one class")
        found[file] = str(label).strip()
    return found or None


def _is_label(label: object) -> bool:
    return (isinstance(label, str) and is_name(label.strip())) or type(label) is int


def _rows(name: str, text: str) -> Iterator[tuple[int, dict[str, object]]]:
    """The rows by their columns, numbered from 1. Raises ArchiveError for what is no table."""
    try:
        if name.lower().endswith(".csv"):
            reader = csv.DictReader(io.StringIO(text), strict=True)
            columns = [(column or "").strip().lower() for column in reader.fieldnames or ()]
            if len(set(columns)) < len(columns):
                raise ValueError("a column is there twice")
            yield from enumerate(({key: value for key, value in row.items() if key} for row in reader), start=1)
            return
        for number, line in enumerate(text.split("\n"), start=1):
            if line.strip():
                row = json.loads(line, object_pairs_hook=unique)
                if not isinstance(row, dict):
                    raise ArchiveError(f"line {number} of {shown(name)} is no JSON object")
                yield number, row
    except (csv.Error, ValueError, RecursionError) as error:
        raise ArchiveError(f"{shown(name)} cannot be read as a table ({error}): write it again") from None
