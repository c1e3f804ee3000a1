"""Choosing the scale λ on validation data, in exact arithmetic (``docs/method.md``).

Accuracies are compared as integer counts, and a share such as ``keep`` as the decimal that was written (0.95 is
19/20, not the binary fraction nearest to it), so that no rounding decides a choice. Forgetting is measured at every
scale; the retain set, which is most of the data, as far as the rule and a curve that can be read need it.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cache

from negmerge.evaluation.metrics import Count
from negmerge.spec.job import ScaleSearch

STEPS = 20
"""Steps of the grid from one whole scale to the next."""
EDGES = (1, 2, 4)
"""Where the grid ends, and where it goes on to while its last scale keeps enough and is short of the goal."""
READABLE = frozenset(i / STEPS for i in (*range(0, STEPS + 1, 2), *range(STEPS, EDGES[-1] * STEPS + 1, 10)))
"""Scales at which the retain set is measured for the curve alone: each tenth up to 1, each half beyond."""


@dataclass(frozen=True)
class CurvePoint:
    """What the model scores on validation data with τ* scaled by ``scale``."""

    scale: float
    forget: Count
    retain: Count


@dataclass(frozen=True)
class Choice:
    """The chosen scale, the curve, and the choice's rank.

    at_edge: it is the last that was tried, and still short of the goal: a larger one might do better.
    rank: (distance from the goal in whole counts, scale), smaller is better. It orders the choices of one job
    among each other: they share the validation data and the goal.
    """

    scale: float
    at_edge: bool
    curve: list[CurvePoint]
    rank: tuple[int, float]


def choose(
    forget_at: Callable[[float], Count],
    retain_at: Callable[[float], Count],
    search: ScaleSearch,
    rule: str,
    base_retain: Count,
    reference: Count | None = None,
) -> Choice:
    """Choose λ by ``rule``: the best forget accuracy among scales that keep enough of the retain accuracy.

    forget_at, retain_at: scale → counts on validation data; asked at most once for each scale. base_retain: what the
    base model scores there on the retain set; reference: what the rules ``match_unseen`` and ``match_retrained``
    compare with.
    Best is lowest (``lowest_forget``), or nearest to ``reference`` or to ``search.target``; ties go to the smaller
    scale. The grid goes on while its last scale keeps enough and forgets less than is wanted. ``fixed`` takes
    ``search.scale`` as it is and compares it with 0. Where nothing keeps enough, the scale is 0: nothing is unlearned.

    The curve has every scale that was tried (``search.curve`` is ``full``), or those at which the retain set was
    measured: where the rule needs it, at ``READABLE``, and at the chosen one. The choice is the same.
    """
    forget, retain = _Measured(forget_at), _Measured(retain_at)
    choice = choose_sparingly(forget.at, retain.at, search, rule, base_retain, reference)
    for scale in sorted(forget.found):
        if search.curve == "full" or scale in READABLE or scale == choice.scale:
            retain.at(scale)
    curve = [
        CurvePoint(scale, count, retain.found[scale])
        for scale, count in sorted(forget.found.items())
        if scale in retain.found
    ]
    return replace(choice, curve=curve)


def choose_sparingly(
    forget_at: Callable[[float], Count],
    retain_at: Callable[[float], Count],
    search: ScaleSearch,
    rule: str,
    base_retain: Count,
    reference: Count | None = None,
) -> Choice:
    """The same choice as ``choose``, without the curve: the retain set is measured only where it decides.

    Candidates are tried from the best forget accuracy on until one keeps enough, mostly one or two of them,
    while the retain set is most of the validation data.
    """
    goal = _goal(search, rule, reference)
    floor = _decimal(search.keep) * _accuracy(base_retain)
    forget = cache(forget_at)
    keeps = cache(lambda scale: scale == 0 or _accuracy(retain_at(scale)) >= floor)

    def rank(scale: float) -> tuple[int, float]:
        return (_distance(forget(scale), goal), scale)

    ranks = [rank(0.0)]
    if rule == "fixed":
        assert search.scale is not None  # the spec has it with this rule
        return Choice(search.scale, False, [], rank(search.scale))
    for edge in EDGES if search.extend else EDGES[:1]:
        ranks += [rank(i / STEPS) for i in range(len(ranks), edge * STEPS + 1)]
        short = _accuracy(forget(edge)) > goal
        if not short or not keeps(edge):
            break  # past the goal, or at too high a price: more of τ* helps neither
    best = next(key for key in sorted(ranks) if keeps(key[1]))
    return Choice(best[1], short and best[1] == edge, [], best)


class _Measured:
    """Counts by scale, each measured once; ``found`` has those that were."""

    def __init__(self, measure: Callable[[float], Count]) -> None:
        self._measure = measure
        self.found: dict[float, Count] = {}

    def at(self, scale: float) -> Count:
        if scale not in self.found:
            self.found[scale] = self._measure(scale)
        return self.found[scale]


def _goal(search: ScaleSearch, rule: str, reference: Count | None) -> Fraction:
    """The forget accuracy that the rule would like best."""
    if rule in ("match_unseen", "match_retrained"):
        if reference is None:
            raise ValueError(f"{rule} needs the count to compare with: unseen data's, or a retrained model's")
        return _accuracy(reference)
    if rule == "target":
        assert search.target is not None  # the spec has it with this rule
        return _decimal(search.target)
    return Fraction(0)


def _distance(forget: Count, goal: Fraction) -> int:
    """|accuracy − goal|, times the denominators, which are the same for all choices of a job."""
    return abs(forget.correct * goal.denominator - goal.numerator * forget.count)


def _accuracy(count: Count) -> Fraction:
    return Fraction(count.correct, count.count)


def _decimal(share: float) -> Fraction:
    return Fraction(str(share))
