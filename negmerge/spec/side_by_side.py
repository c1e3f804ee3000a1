"""Jobs side by side, for the page and the command line: in what their specs differ, and cells of a table of theirs."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

Path = tuple[str, ...]


class Difference(NamedTuple):
    """A field of the spec: the way to it, and its value in each spec as text, None where a spec has none."""

    path: Path
    values: list[str | None]


def differences(specs: Sequence[Mapping[str, Any]]) -> list[Difference]:
    """The fields in which specs, as JSON, differ. A list, such as a selection's ids, is one value; null is none."""
    flat = [dict(_fields(spec, ())) for spec in specs]
    paths = dict.fromkeys(path for one in flat for path in one)
    found = [Difference(path, [one.get(path) for one in flat]) for path in paths]
    return [one for one in found if len(set(one.values)) > 1]


def harmless(text: str) -> str:
    """A cell that no spreadsheet takes for a formula: behind an apostrophe (OWASP, CSV injection)."""
    return f"'{text}" if text[:1] in ("=", "+", "-", "@", "\t", "\r") else text


def _fields(value: Any, path: Path) -> Iterator[tuple[Path, str]]:
    if isinstance(value, Mapping):
        for name, inner in value.items():
            yield from _fields(inner, (*path, name))
    elif value is not None:
        yield path, value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
