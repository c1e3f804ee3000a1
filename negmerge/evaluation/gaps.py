"""How far a model is from one that never saw the forgotten samples."""

from dataclasses import dataclass
from fractions import Fraction

from negmerge.evaluation.metrics import Count


@dataclass(frozen=True)
class FourFigures:
    """What a model is compared by.

    retain, forget, test: right answers on the retain samples of the train part, on the forget set and on the test
    part. membership: forgotten samples taken for non-members (``negmerge/evaluation/membership.py``).
    """

    retain: Count
    forget: Count
    test: Count
    membership: Count


def average_gap(model: FourFigures, retrained: FourFigures) -> float:
    """The mean of the four absolute differences to the retrained model, in percentage points; 0 is its equal.

    Worked out in exact fractions and rounded once. Source: the tables of Fan et al., "SalUn" (ICLR 2024), whose
    figures NegMerge (arXiv 2410.05583) goes by.
    """
    pairs = (
        (model.retain, retrained.retain),
        (model.forget, retrained.forget),
        (model.test, retrained.test),
        (model.membership, retrained.membership),
    )
    distances = (abs(Fraction(a.correct, a.count) - Fraction(b.correct, b.count)) for a, b in pairs)
    return float(100 * sum(distances, Fraction(0)) / len(pairs))
