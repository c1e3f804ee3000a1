"""What a model scores, by part and side: as counts to work with, and as the records that are written."""

from negmerge.evaluation.metrics import Evaluation
from negmerge.spec.figures import SIDES, Measured, Part, SideName, Sides

Figures = dict[Part, dict[SideName, Evaluation]]
"""part → side → evaluation; a part without samples of a side has no entry for it."""


def recorded(figures: Figures, per_class: bool = True) -> Measured:
    """The figures as they are written, with those of the classes where asked for."""
    sides = {
        part: Sides(**{side: found.record(per_class) for side, found in both.items()}) for part, both in figures.items()
    }
    return Measured(**sides)


def figures_of(record: Measured) -> Figures:
    """What ``recorded`` wrote, whatever else is beside it."""
    return {
        part: {side: Evaluation.of(figure) for side in SIDES if (figure := record.figure(part, side)) is not None}
        for part in record.parts()
    }
