"""What commands print on stdout: one JSON document where it is asked for, tables for people."""

import json
import math
import re
from collections.abc import Sequence
from dataclasses import asdict, is_dataclass
from datetime import datetime
from typing import Annotated, Any

import typer

_UNUSUAL = re.compile(r"[^ -~\n]")

AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document on stdout; words for people on stderr.")]


def print_json(value: Any) -> None:
    """Records and plain values as JSON on stdout. A number that is not finite, which JSON has not, is null.

    Signs that cannot be seen are escaped, for a terminal not to obey them.
    """
    text = json.dumps(_plain_values(value), indent=2, ensure_ascii=False, allow_nan=False)
    typer.echo(_UNUSUAL.sub(lambda found: found[0] if found[0].isprintable() else json.dumps(found[0])[1:-1], text))


def print_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A table of others' text on stdout: drawn on a terminal, plain columns elsewhere."""
    from rich.table import Table

    from negmerge.report.tables import plain, show

    table = Table(*columns)
    for row in rows:
        table.add_row(*map(plain, row))
    show(table)


def when(moment: datetime) -> str:
    """A time to the second, in UTC."""
    return moment.strftime("%Y-%m-%d %H:%M:%S")


def _plain_values(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain_values(one) for name, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain_values(one) for one in value]
    if is_dataclass(value) and not isinstance(value, type):
        return _plain_values(asdict(value))
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return _plain_values(value.model_dump(mode="json", warnings=False)) if hasattr(value, "model_dump") else value
