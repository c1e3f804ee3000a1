"""The three pictures of a result, each as an SVG string: λ curve, singles beside merged, consensus by layer."""

import io
import re
from collections.abc import Callable
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from negmerge.merging.methods import METHODS, NegMerge, Relaxed, TaskArithmetic
from negmerge.naming import visible
from negmerge.report.summary import forget_part, label
from negmerge.spec.result import Measured, MethodRow, ResultDocument

STYLE: Any = {
    "font.family": "sans-serif",
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.25,
    "svg.fonttype": "path",
    "svg.hashsalt": "negmerge",  # the same result gives the same file
}


def scale_curve(document: ResultDocument) -> str:
    """Validation accuracy over λ: forget solid, retain dashed, a dot at the chosen scale."""
    methods = _methods(document)

    def draw(axes: Axes) -> None:
        for name, row in methods.items():
            curve, colour = row.curve or [], METHODS[name].colour
            scales = [point.scale for point in curve]
            forget = [point.forget.accuracy for point in curve]
            retain = [point.retain.accuracy for point in curve]
            width = 2.2 if name == document.method else 1.2
            axes.plot(scales, forget, color=colour, lw=width, label=label(name))
            axes.plot(scales, retain, color=colour, lw=width, ls="--")
            chosen = [point for point in curve if point.scale == row.scale]
            for point in chosen:
                axes.plot([point.scale], [point.forget.accuracy], "o", color=colour, ms=6)
                axes.plot([point.scale], [point.retain.accuracy], "o", color=colour, ms=6)
        axes.set(xlabel="scale λ", ylabel="validation accuracy", ylim=(-0.02, 1.02))
        axes.yaxis.set_major_formatter(PercentFormatter(1))
        axes.legend(frameon=False, title="forget —   retain - -", loc="center left", bbox_to_anchor=(1, 0.5))

    return _svg(draw, (8.2, 3.6))


def singles_beside_merged(document: ResultDocument) -> str:
    """Test accuracy, retain over forget: every single model as a grey dot, the merges in colour."""
    part = forget_part(document)

    def dot(axes: Axes, measured: Measured, **style: Any) -> None:
        forget, retain = measured.figure(part, "forget"), measured.figure("test", "retain")
        if forget is not None and retain is not None:
            axes.scatter([forget.accuracy], [retain.accuracy], zorder=3, **style)

    def draw(axes: Axes) -> None:
        for i, point in enumerate(document.singles()):
            dot(axes, point, s=36, color="#8a8a8a", alpha=0.8, label=None if i else "single models")
        merged = {name: row for name, row in _methods(document).items() if name != TaskArithmetic.name}
        for name, row in sorted(merged.items(), key=lambda one: one[0] == document.method):
            marker, size = ("*", 220) if name == document.method else ("D", 50)
            dot(axes, row, s=size, marker=marker, color=METHODS[name].colour, label=label(name))
        dot(axes, document.methods["base"], s=60, marker="s", color="#222222", label="base model")
        where = "test" if part == "test" else "the forgotten samples"
        better = " (lower is better)" if document.rule == "lowest_forget" else ""
        axes.set(xlabel=f"forget accuracy on {where}{better}", ylabel="retain accuracy on test")
        axes.xaxis.set_major_formatter(PercentFormatter(1))
        axes.yaxis.set_major_formatter(PercentFormatter(1))
        axes.legend(frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))

    return _svg(draw, (8.2, 3.6))


def consensus_by_layer(document: ResultDocument) -> str:
    """Share of elements in consensus: one row for each layer, one dot for each of its tensors."""
    layers: dict[str, list[float]] = {}
    for name, share in document.consensus.tensors.items():
        layers.setdefault(layer_of(name), []).append(share)

    def draw(axes: Axes) -> None:
        for row, shares in enumerate(layers.values()):
            axes.plot(shares, [row] * len(shares), "o", color=NegMerge.colour, ms=5, alpha=0.65)
            axes.plot([sum(shares) / len(shares)], [row], "|", color="#222222", ms=14, mew=2)
        axes.axvline(document.consensus.share, color=Relaxed.colour, lw=1.2)
        axes.set_yticks(range(len(layers)), list(map(visible, layers)), parse_math=False)
        axes.invert_yaxis()
        axes.set(xlabel="share of elements on whose sign every run agrees", xlim=(-0.02, 1.02))
        axes.xaxis.set_major_formatter(PercentFormatter(1))

    return _svg(draw, (8.2, 1.0 + 0.3 * len(layers)))


def layer_of(name: str) -> str:
    """A tensor's layer: its name up to the last number in it, else up to its last dot."""
    numbered = re.match(r"(.*\.\d+)\.", name)
    return numbered[1] if numbered else name.rpartition(".")[0] or name


def _methods(document: ResultDocument) -> dict[str, MethodRow]:
    """The methods with a curve, the job's own first."""
    own = document.method
    names = [own, *(name for name, row in document.methods.items() if name != own and row.curve is not None)]
    return {name: document.methods[name] for name in names}


def _svg(draw: Callable[[Axes], None], size: tuple[float, float]) -> str:
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=size, layout="constrained")
        draw(figure.subplots())
        text = io.StringIO()
        figure.savefig(text, format="svg", metadata={"Date": None}, transparent=True)
    svg = text.getvalue()
    return svg[svg.index("<svg") :]
