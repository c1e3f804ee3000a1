"""The three pictures of a result, each as an SVG string: λ curve, singles beside merged, consensus by layer.

Ink is the page's own text colour, so that a picture is read on dark paper too; each method has its colour of
``merging.methods`` everywhere. What a picture shows is also said in its title, for who cannot see it.
"""

import io
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

import matplotlib as mpl
from markupsafe import escape
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from negmerge.merging.methods import METHODS, NegMerge, TaskArithmetic
from negmerge.naming import visible
from negmerge.spec.figures import Measured
from negmerge.spec.methods import label
from negmerge.spec.result import MethodRow, ResultDocument
from negmerge.spec.words import percent, searched_on

INK = "#010203"
"""Stands for the page's text colour, which takes its place in the SVG."""
GREY = "#8a8a8a"
"""Of single models: no method has it, and it is read on white and on black."""
STYLE: Any = {
    "font.family": "sans-serif",
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.25,
    "grid.color": INK,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "svg.fonttype": "path",
    "svg.hashsalt": "negmerge",  # the same result gives the same file
}
_WIDTH = 8.2
NEAR = 0.012
"""Shares that lie nearer than this in one layer would be drawn over each other."""


def scale_curve(document: ResultDocument) -> str:
    """Accuracy over λ as the search saw it: forget solid, retain dashed, a ring at each method's chosen scale."""
    methods = _methods(document)
    own = methods[document.method]

    def draw(axes: Axes) -> None:
        rings: Counter[tuple[float, float]] = Counter()
        for name, row in methods.items():
            curve, ink = row.curve or [], METHODS[name].colour
            scales = [point.scale for point in curve]
            width = 2.2 if name == document.method else 1.2
            axes.plot(scales, [point.forget.accuracy for point in curve], color=ink, lw=width, label=label(name))
            axes.plot(scales, [point.retain.accuracy for point in curve], color=ink, lw=width, ls="--")
            for point in (point for point in curve if point.scale == row.scale):
                for accuracy in (point.forget.accuracy, point.retain.accuracy):
                    _ring(axes, rings, point.scale, accuracy, ink)
        axes.set(xlabel="scale λ", ylabel=f"accuracy on {_short(document)}", ylim=(-0.04, 1.04))
        axes.yaxis.set_major_formatter(FuncFormatter(_percent))
        axes.legend(frameon=False, title="forget —   retain - -", loc="center left", bbox_to_anchor=(1, 0.5))

    on = searched_on(document.splits)
    told = f"Accuracy over the scale λ on {on}; {label(document.method)} chose λ = {own.scale:g}."
    return _svg(draw, (_WIDTH, 3.6), told)


def singles_beside_merged(document: ResultDocument) -> str:
    """Retain over forget accuracy as reported: single models in grey, with their number where they coincide."""
    part = document.splits.forget_part
    singles = Counter(place for point in document.singles() if (place := _place(document, point)))

    def draw(axes: Axes) -> None:
        for i, (where, number) in enumerate(sorted(singles.items())):
            axes.scatter(
                *where, s=100 if number > 1 else 50, color=GREY, zorder=2, label=None if i else "single models"
            )
            if number > 1:
                axes.annotate(str(number), where, ha="center", va="center", fontsize=8, color="#ffffff", zorder=2.5)
        rings: Counter[tuple[float, float]] = Counter(dict.fromkeys(singles, 2))  # they take the room of two
        merged = {name: row for name, row in _methods(document).items() if name != TaskArithmetic.name}
        for name, row in [*merged.items(), ("base", document.methods["base"])]:
            if place := _place(document, row):
                ink = INK if name == "base" else METHODS[name].colour
                _ring(axes, rings, *place, ink, label(name), marker="s" if name == "base" else "o")
        where_measured = "test" if part == "test" else "the forgotten samples"
        better = " (lower is better)" if document.rule == "lowest_forget" else ""
        axes.set(xlabel=f"forget accuracy on {where_measured}{better}", ylabel="retain accuracy on test")
        axes.xaxis.set_major_formatter(FuncFormatter(_percent))
        axes.yaxis.set_major_formatter(FuncFormatter(_percent))
        axes.margins(0.12)
        axes.legend(frameon=False, loc="center left", bbox_to_anchor=(1, 0.5), labelspacing=1.0)

    spread = [where[0] for where in singles]
    told = (
        f"Retain over forget accuracy: {singles.total()} single models have a forget accuracy from "
        f"{percent(min(spread))} to {percent(max(spread))}."
        if spread
        else "Retain over forget accuracy."
    )
    return _svg(draw, (_WIDTH, 3.8), told)


def consensus_by_layer(document: ResultDocument) -> str:
    """Share of elements in consensus: one row for each layer, one dot for each of its tensors, none over another."""
    consensus, layers = document.consensus, document.consensus.by_layer()
    dots = [list(apart(layer.tensors)) for layer in layers.values()]
    lanes = 1 + 2 * max((abs(lane) for row in dots for _, lane in row), default=0)

    def draw(axes: Axes) -> None:
        for row, layer in enumerate(layers.values()):
            heights = [row + 0.85 * lane / lanes for _, lane in dots[row]]
            axes.plot([share for share, _ in dots[row]], heights, "o", color=NegMerge.colour, ms=4)
            axes.plot([layer.share], [row], "|", color=INK, ms=16, mew=1.6)
        axes.axvline(consensus.share, color=INK, lw=1.0, ls=":")
        axes.set_yticks(range(len(layers)), list(map(visible, layers)), parse_math=False)
        axes.set_ylim(len(layers) - 0.4, -0.6)
        axes.set(xlabel=f"share of elements with the same sign in {consensus.agreeing()}", xlim=(-0.02, 1.02))
        axes.xaxis.set_major_formatter(FuncFormatter(_percent))

    shares = {name: layer.share for name, layer in layers.items()}
    least, most = min(shares, key=shares.__getitem__), max(shares, key=shares.__getitem__)
    told = (
        f"Consensus by layer: {percent(consensus.share)} over the whole model, from {percent(shares[least])} "
        f"in {visible(least)} to {percent(shares[most])} in {visible(most)}."
    )
    return _svg(draw, (_WIDTH, 1.0 + len(layers) * max(0.36, 0.07 * lanes)), told)


def apart(shares: Iterable[float]) -> Iterable[tuple[float, int]]:
    """Each share with the lane that it is drawn in, 0, 1, −1, 2, …: within a lane no two are nearer than ``NEAR``."""
    last: dict[int, float] = {}
    for share in sorted(shares):
        lane = next(lane for lane in _lanes() if share - last.get(lane, -1.0) >= NEAR)
        last[lane] = share
        yield share, lane


def _lanes() -> Iterable[int]:
    yield 0
    for away in range(1, 10_000):  # of one layer's tensors, more than any has
        yield from (away, -away)


def _ring(
    axes: Axes,
    rings: Counter[tuple[float, float]],
    x: float,
    y: float,
    ink: str,
    called: str | None = None,
    marker: str = "o",
) -> None:
    """A ring, around those that lie there already."""
    size = 7 + 5 * rings[x, y]
    rings[x, y] += 1
    axes.plot([x], [y], marker, ms=size, mfc="none", mec=ink, mew=2, ls="none", label=called, zorder=3)


def _percent(share: float, _position: int) -> str:
    return f"{100 * share:.4g} %"


def _place(document: ResultDocument, measured: Measured) -> tuple[float, float] | None:
    """Where a model stands: its forget and its retain accuracy as they are reported."""
    forget, retain = measured.reported(document.splits)
    return None if forget is None or retain is None else (forget.accuracy, retain.accuracy)


def _short(document: ResultDocument) -> str:
    return "validation data" if document.splits.forget.validation else "what λ was chosen on"


def _methods(document: ResultDocument) -> dict[str, MethodRow]:
    """The methods with a curve, the job's own first."""
    own = document.method
    names = [own, *(name for name, row in document.methods.items() if name != own and row.curve is not None)]
    return {name: document.methods[name] for name in names}


def _svg(draw: Callable[[Axes], None], size: tuple[float, float], told: str) -> str:
    """The picture as an element of a page, with what it shows as its title."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=size, layout="constrained")
        draw(figure.subplots())
        text = io.StringIO()
        figure.savefig(text, format="svg", metadata={"Date": None}, transparent=True)
    svg = text.getvalue()
    svg = svg[svg.index("<svg") :].replace(INK, "currentColor")
    opened, _, rest = svg.partition(">")
    return f'{opened} role="img">\n<title>{escape(told)}</title>{rest}'
