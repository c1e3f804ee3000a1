"""The three pictures of a result, each as an SVG string: λ curve, singles beside merged, consensus by layer."""

import io
import re
from collections.abc import Callable, Mapping
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from negmerge.report.summary import LABELS, figure, forget_part, singles

# Okabe and Ito's colours, which colour-blind readers tell apart, with violet for their yellow: one for every merge
# method. The job's own is always the first.
_COLOURS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#5e3c99")
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


def scale_curve(document: Mapping[str, Any]) -> str:
    """Validation accuracy over λ: forget solid, retain dashed, a dot at the chosen scale."""
    methods = _methods(document)

    def draw(axes: Axes) -> None:
        for (name, figures), colour in zip(methods.items(), _COLOURS, strict=False):
            scales = [point["scale"] for point in figures["curve"]]
            forget = [point["forget"]["accuracy"] for point in figures["curve"]]
            retain = [point["retain"]["accuracy"] for point in figures["curve"]]
            width = 2.2 if name == document["method"] else 1.2
            axes.plot(scales, forget, color=colour, lw=width, label=LABELS.get(name, name))
            axes.plot(scales, retain, color=colour, lw=width, ls="--")
            chosen = scales.index(figures["scale"])
            axes.plot([figures["scale"]], [forget[chosen]], "o", color=colour, ms=6)
            axes.plot([figures["scale"]], [retain[chosen]], "o", color=colour, ms=6)
        axes.set(xlabel="scale λ", ylabel="validation accuracy", ylim=(-0.02, 1.02))
        axes.yaxis.set_major_formatter(PercentFormatter(1))
        axes.legend(frameon=False, title="forget —   retain - -", loc="center left", bbox_to_anchor=(1, 0.5))

    return _svg(draw, (8.2, 3.6))


def singles_beside_merged(document: Mapping[str, Any]) -> str:
    """Test accuracy, retain over forget: every single model as a grey dot, the merges in colour."""
    part = forget_part(document)

    def dot(axes: Axes, figures: Mapping[str, Any], **style: Any) -> None:
        forget, retain = figure(figures, "forget", part), figure(figures, "retain")
        if forget is not None and retain is not None:
            axes.scatter([forget.accuracy], [retain.accuracy], zorder=3, **style)

    def draw(axes: Axes) -> None:
        for i, point in enumerate(singles(document)):
            dot(axes, point, s=36, color="#8a8a8a", alpha=0.8, label=None if i else "single models")
        merged = {n: f for n, f in _methods(document).items() if n != "task_arithmetic"}
        coloured = list(zip(merged.items(), _COLOURS, strict=False))
        for (name, figures), colour in sorted(coloured, key=lambda one: one[0][0] == document["method"]):
            marker, size = ("*", 220) if name == document["method"] else ("D", 50)
            dot(axes, figures, s=size, marker=marker, color=colour, label=LABELS.get(name, name))
        dot(axes, document["methods"]["base"], s=60, marker="s", color="#222222", label="base model")
        where = "test" if part == "test" else "the forgotten samples"
        better = " (lower is better)" if document["rule"] == "lowest_forget" else ""
        axes.set(xlabel=f"forget accuracy on {where}{better}", ylabel="retain accuracy on test")
        axes.xaxis.set_major_formatter(PercentFormatter(1))
        axes.yaxis.set_major_formatter(PercentFormatter(1))
        axes.legend(frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))

    return _svg(draw, (8.2, 3.6))


def consensus_by_layer(document: Mapping[str, Any]) -> str:
    """Share of elements in consensus: one row for each layer, one dot for each of its tensors."""
    layers: dict[str, list[float]] = {}
    for name, share in document["consensus"]["tensors"].items():
        layers.setdefault(layer_of(name), []).append(share)

    def draw(axes: Axes) -> None:
        for row, shares in enumerate(layers.values()):
            axes.plot(shares, [row] * len(shares), "o", color=_COLOURS[0], ms=5, alpha=0.65)
            axes.plot([sum(shares) / len(shares)], [row], "|", color="#222222", ms=14, mew=2)
        axes.axvline(document["consensus"]["share"], color=_COLOURS[5], lw=1.2)
        axes.set_yticks(range(len(layers)), list(layers))
        axes.invert_yaxis()
        axes.set(xlabel="share of elements on whose sign every run agrees", xlim=(-0.02, 1.02))
        axes.xaxis.set_major_formatter(PercentFormatter(1))

    return _svg(draw, (8.2, 1.0 + 0.3 * len(layers)))


def layer_of(name: str) -> str:
    """A tensor's layer: its name up to the last number in it, else up to its last dot."""
    numbered = re.match(r"(.*\.\d+)\.", name)
    return numbered[1] if numbered else name.rpartition(".")[0] or name


def _methods(document: Mapping[str, Any]) -> dict[str, Any]:
    """The methods with a curve, the job's own first."""
    main = document["method"]
    methods = document["methods"]
    names = [main, *(name for name in methods if name != main and "curve" in methods[name])]
    return {name: methods[name] for name in names}


def _svg(draw: Callable[[Axes], None], size: tuple[float, float]) -> str:
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=size, layout="constrained")
        draw(figure.subplots())
        text = io.StringIO()
        figure.savefig(text, format="svg", metadata={"Date": None}, transparent=True)
    svg = text.getvalue()
    return svg[svg.index("<svg") :]
