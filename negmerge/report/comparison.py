"""The one table of a job: every method and every rival beside the base model, on the same splits and seeds.

Classifiers are compared as SalUn's protocol has it: retain and forget accuracy on what was trained on, test accuracy on
what stays, membership inference, and the average gap to the retrained model where one was trained. A zero-shot model
is compared on test data, whatever else it was measured on: the forget set's and the retain set's; forgotten training
samples, which have no test data, are measured themselves.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from negmerge.evaluation.assessment import Assessment
from negmerge.evaluation.gaps import average_gap
from negmerge.evaluation.prepared import Prepared
from negmerge.spec.figures import Part, SideName, Spread
from negmerge.spec.intervals import spread
from negmerge.spec.result import TableRow


@dataclass(frozen=True)
class Run:
    """One method in one repeat: what it scores, its seconds, and the bytes it stored besides θ₀ and its result."""

    assessment: Assessment
    seconds: float | None = None
    bytes_stored: int | None = None
    scale: float | None = None


def table_parts(prepared: Prepared, is_classifier: bool) -> dict[str, Part]:
    """Column → the part that it is measured on."""
    retain = prepared.retain
    if is_classifier and retain.samples("train") is not None and retain.samples("test") is not None:
        return {"forget": "train", "retain": "train", "test": "test"}
    return {"forget": "test" if prepared.forget.samples("test") else "train", "retain": "test"}


def table(runs: Mapping[str, list[Run]], parts: Mapping[str, Part]) -> list[TableRow]:
    """A row for each method: mean, sample deviation and number of repeats of each column, None where there is none.

    Accuracies and membership are shares in [0, 1]; the gap is in percentage points.
    """
    retrained = [run.assessment.four() for run in runs.get("retrain", [])]
    rows = []
    for method, repeats in runs.items():
        compared = repeats * len(retrained) if method == "base" else repeats  # there is one base model
        gaps = [
            average_gap(four, reference)
            for run, reference in zip(compared, retrained, strict=False)
            if reference is not None and (four := run.assessment.four()) is not None
        ]
        row = TableRow(
            method=method,
            scale=_spread([run.scale for run in repeats]),
            forget=_accuracy(repeats, parts["forget"], "forget"),
            retain=_accuracy(repeats, parts["retain"], "retain"),
            test=_accuracy(repeats, parts["test"], "retain") if "test" in parts else None,
            membership=_spread([m.accuracy if (m := run.assessment.membership) else None for run in repeats]),
            gap=_spread(gaps),
            seconds=_spread([run.seconds for run in repeats]),
            bytes_stored=repeats[0].bytes_stored,
        )
        rows.append(row)
    return rows


def _accuracy(repeats: Sequence[Run], part: Part, side: SideName) -> Spread | None:
    found = [run.assessment.figures.get(part, {}).get(side) for run in repeats]
    return _spread([None if one is None else one.total.accuracy for one in found])


def _spread(values: Sequence[float | None]) -> Spread | None:
    known = [value for value in values if value is not None]
    return spread(known) if known else None
