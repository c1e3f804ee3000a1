"""Jobs side by side, for the page and the command line: in what their specs differ, and cells of a table of theirs."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from negmerge.naming import visible
from negmerge.spec.sweep_words import plain, varied

Path = tuple[str, ...]


class Difference(NamedTuple):
    """A field of the spec: the way to it, and its value in each spec as text, None where a spec has none."""

    path: Path
    values: list[str | None]


def differences(specs: Sequence[Mapping[str, Any]]) -> list[Difference]:
    """The fields in which specs, as JSON, differ. A list, such as a selection's ids, is one value; null is none."""
    flat = [dict(_fields(spec, ())) for spec in specs]
    paths = dict.fromkeys(path for one in flat for path in one)
    return [
        Difference(path, [None if one.get(path) is None else _told(one[path]) for one in flat])
        for path in paths
        if any(one.get(path) != flat[0].get(path) for one in flat)
    ]


def harmless(text: str) -> str:
    """A cell that no spreadsheet takes for a formula, behind an apostrophe (OWASP, CSV injection), and none obeys."""
    text = visible(text)
    return f"'{text}" if text[:1] in ("=", "+", "-", "@") else text


def _told(value: Any) -> str:
    """A value as text. Points are too many for a cell: it says how many, and what they vary."""
    if isinstance(value, list) and value and all(isinstance(point, Mapping) for point in value):
        axes = (f"{name.replace('_', ' ')} {_values(value, name)}" for name in varied(value))
        return "; ".join([f"{len(value)} points", *axes])
    return _said(value)


def _values(points: Sequence[Mapping[str, Any]], name: str) -> str:
    return ", ".join(dict.fromkeys("none" if point.get(name) is None else plain(point[name]) for point in points))


def _fields(value: Any, path: Path) -> Iterator[tuple[Path, Any]]:
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _fields(inner, (*path, name))
    elif value is not None:
        yield path, value


def _said(value: Any) -> str:
    """A value as text: a list of texts or numbers with commas between them, as people write it; all else as JSON."""
    if isinstance(value, str):
        return value
    if isinstance(value, list) and value and all(isinstance(one, str | int | float) for one in value):
        return ", ".join(map(_said, value))
    return json.dumps(value, ensure_ascii=False)
