"""Tables on stdout. No torch."""

import sys

from rich.console import Console, ConsoleOptions
from rich.table import Table
from rich.text import Text

from negmerge.naming import visible


def show(table: Table) -> None:
    """Print a table on stdout: drawn on a terminal; elsewhere plain columns, one line a row however long it is."""
    console = Console()
    if not console.is_terminal:
        table.box = None
        console.width = max(console.width, console.measure(table, options=_unbounded(console)).maximum)
    console.print(table)


def _unbounded(console: Console) -> ConsoleOptions:
    return console.options.update(width=sys.maxsize)


def plain(text: str) -> Text:
    """Text of others for a table: no markup of ours in it is obeyed, and what cannot be seen is escaped."""
    return Text(visible(text))
