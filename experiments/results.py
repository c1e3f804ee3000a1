"""The generated parts of docs/results.md: a table for each experiment, between markers; the words are people's own."""

import re
from collections.abc import Sequence
from pathlib import Path

from experiments.subsets import Merged
from negmerge.report.summary import comparison
from negmerge.spec.figures import Part, SideName
from negmerge.spec.result import PointRow, ResultDocument

PAGE = Path("docs/results.md")


def insert(name: str, document: ResultDocument, curve: Sequence[Merged], hardware: str) -> None:
    """Put the experiment's tables where the page has its markers; a page without them is left as it is."""
    text = PAGE.read_text()
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    pictures = (
        f"![Every single point beside the merges](results/{name}-singles.svg)\n\n"
        f"![The curve over N](results/{name}-curve.svg)"
    )
    parts = [_table(document), _spread(document), pictures, _curve(curve), _origin(document, hardware)]
    body = "\n\n".join(parts)
    pattern = re.compile(re.escape(begin) + ".*?" + re.escape(end), re.DOTALL)
    PAGE.write_text(pattern.sub(lambda _: f"{begin}\n\n{body}\n\n{end}", text))


def _table(document: ResultDocument) -> str:
    table = comparison(document)
    headings = ["model", *(column.heading for column in table.columns)]
    head = "| " + " | ".join(headings) + " |\n|" + " --- |" + " ---: |" * len(table.columns)
    lines = [
        "| " + " | ".join(_bold(cell, line.main) for cell in (line.label, *line.cells)) + " |" for line in table.lines
    ]
    return "\n".join([head, *lines])


def _bold(cell: str, main: bool) -> str:
    return f"**{cell}**" if main else cell


def _spread(document: ResultDocument) -> str:
    """What the singles of the first repeat did, from the best to the worst."""
    ranked = document.singles()
    forget = sorted(_accuracies(ranked, document.table_parts["forget"], "forget"))
    retain = sorted(_accuracies(ranked, "test", "retain"))
    return (
        f"The {len(ranked)} single models of the first repeat, each at its own λ: forget {100 * forget[0]:.1f} to "
        f"{100 * forget[-1]:.1f} %, retain on test {100 * retain[0]:.1f} to {100 * retain[-1]:.1f} %."
    )


def _accuracies(points: Sequence[PointRow], part: Part, side: SideName) -> list[float]:
    return [figure.accuracy for point in points if (figure := point.figure(part, side)) is not None]


def _curve(curve: Sequence[Merged]) -> str:
    sizes = sorted({len(one.points) for one in curve})
    rows = ["| N | subsets | in consensus | forget | retain |", "| ---: | ---: | ---: | ---: | ---: |"]
    for size in sizes:
        of_size = [one for one in curve if len(one.points) == size]
        cells = [_range([getattr(one, name) for one in of_size]) for name in ("consensus", "forget", "retain")]
        rows.append(f"| {size} | {len(of_size)} | " + " | ".join(cells) + " |")
    return "\n".join(rows)


def _range(values: Sequence[float]) -> str:
    low, high = 100 * min(values), 100 * max(values)
    return f"{low:.1f} %" if len(values) == 1 else f"{low:.1f}–{high:.1f} %"


def _origin(document: ResultDocument, hardware: str) -> str:
    where = document.environment
    splits = "; ".join(f"{side} " + ", ".join(f"{n} {p}" for p, n in of) for side, of in document.splits)
    return (
        f"{hardware}; two workers with {where.threads} thread each, torch {where.torch}, timm {where.timm}, "
        f"open_clip {where.open_clip}, Python {where.python}. Samples: {splits}. "
        f"Share of elements in consensus: {100 * document.consensus.share:.1f} %. "
        f"Weights {document.digests.unlearned}."
    )
