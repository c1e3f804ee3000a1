"""Tables and words that the reference pages share, as Markdown."""

from collections.abc import Iterable, Sequence


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; nothing where there are no rows. A cell may hold Markdown of one line."""
    lines = ["| " + " | ".join(map(_cell, row)) + " |" for row in rows]
    if not lines:
        return ""
    return "\n".join(["| " + " | ".join(heads) + " |", "| " + " | ".join("---" for _ in heads) + " |", *lines]) + "\n"


def code(text: str) -> str:
    """Text as code."""
    return f"`{text}`" if text else ""


def size(count: int) -> str:
    """Bytes as people say them, where that is a round number: ``20 GiB``; else nothing."""
    for power, unit in ((40, "TiB"), (30, "GiB"), (20, "MiB"), (10, "KiB")):
        if count >= 2**power and count % 2**power == 0:
            return f"{count >> power} {unit}"
    return ""


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")
