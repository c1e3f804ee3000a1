"""The pictures of docs/results.md: every single point beside the merges, and the curve over N."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from experiments.subsets import Merged
from negmerge.report.plots import STYLE, singles_beside_merged
from negmerge.spec.result import ResultDocument


def draw(document: ResultDocument, curve: Sequence[Merged], folder: Path, name: str) -> None:
    """Write ``NAME-singles.svg`` and ``NAME-curve.svg``; the same figures give the same files."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}-singles.svg").write_text(singles_beside_merged(document))
    _over_n(curve, folder / f"{name}-curve.svg")


def _over_n(curve: Sequence[Merged], path: Path) -> None:
    sizes = [len(one.points) for one in curve]
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(8.2, 3.4), layout="constrained")
        accuracy, consensus = figure.subplots(1, 2)
        for side, colour in (("forget", "#d55e00"), ("retain", "#0072b2")):
            values = [getattr(one, side) for one in curve]
            accuracy.plot(sizes, values, "o", color=colour, ms=4, alpha=0.6)
            means = {n: [v for s, v in zip(sizes, values, strict=True) if s == n] for n in sorted(set(sizes))}
            accuracy.plot(list(means), [sum(v) / len(v) for v in means.values()], color=colour, label=side)
        accuracy.set(xlabel="N, points merged", ylabel="accuracy at the chosen λ")
        accuracy.legend(frameon=False)
        consensus.plot(sizes, [one.consensus for one in curve], "o", color="#009e73", ms=4)
        consensus.set(xlabel="N, points merged", ylabel="share of elements in consensus", ylim=(0, 1.02))
        for axes in (accuracy, consensus):
            axes.yaxis.set_major_formatter(PercentFormatter(1))
        figure.savefig(path, format="svg", metadata={"Date": None})
