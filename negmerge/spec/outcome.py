"""What became of what a job asked for: its outcome, judged on the figures that a reader is shown, and why. No torch.

Where the spec sets gates (``require``) they decide. Without a gate the rule of the scale search says what was wanted,
and the figure must show it by more than the choice of samples explains (docs/decisions/outcome.md).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from negmerge.spec.figures import CountRecord, FigureRecord, Reported, SplitCounts
from negmerge.spec.intervals import ConfidenceInterval, wilson
from negmerge.spec.job import JobSpec
from negmerge.spec.result import CurveRow, Gate, GateName, MethodRow, Verdict
from negmerge.spec.words import GATES, RULES, beside, exactly, measured_on, percent, plural, with_interval


@dataclass(frozen=True)
class Judged:
    """What is judged: the job's own method beside the base model.

    reference: the forget accuracy that the rule compares with, where it does. changed: whether the weights differ from
    the base model's in a single bit.
    """

    spec: JobSpec
    base: MethodRow
    own: MethodRow
    splits: SplitCounts
    reference: CountRecord | None
    changed: bool

    @property
    def before(self) -> Reported:
        """What the base model scores."""
        return self.base.reported(self.splits)

    @property
    def after(self) -> Reported:
        """What the unlearned model scores."""
        return self.own.reported(self.splits)


def judge(judged: Judged) -> Verdict:
    """The verdict on a result.

    ``nothing_unlearned`` where the weights, or the forget accuracy, are what they were; ``below_target`` where a gate
    was missed, or, without that gate, where the figure does not show what the rule wants; else ``unlearned``.
    """
    gates = _gates(judged)
    if not judged.changed:
        return Verdict(outcome="nothing_unlearned", reason=_why_no_change(judged), gates=gates)
    before, after = judged.before.forget, judged.after.forget
    if before is not None and after is not None and after.correct >= before.correct:
        return Verdict(outcome="nothing_unlearned", reason=_why_no_effect(judged, before, after), gates=gates)
    missed = [_of_gate(gate) for gate in gates if not gate.passed]
    named = {gate.gate for gate in gates}
    if "forget_max" not in named:
        missed += _forgot_too_little(judged)
    if "retain_min" not in named:
        missed += _kept_too_little(judged)
    if missed:
        return Verdict(outcome="below_target", reason=_sentence(missed), gates=gates)
    reached = [_of_gate(gate) for gate in gates]
    if "forget_max" not in named:
        reached.insert(0, f"{_fall(judged)}{_what_was_matched(judged)}")
    return Verdict(outcome="unlearned", reason=_sentence(reached), gates=gates)


# Gates


def _gates(judged: Judged) -> list[Gate]:
    require = judged.spec.require
    if require is None:
        return []
    asked: list[tuple[GateName, float | None, FigureRecord | None]] = [
        ("forget_max", require.forget_max, judged.after.forget),
        ("retain_min", require.retain_min, judged.after.retain),
    ]
    return [_gate(name, limit, figure) for name, limit, figure in asked if limit is not None]


def _gate(name: GateName, limit: float, figure: FigureRecord | None) -> Gate:
    """Compared as the decimals that were written, so that no rounding decides."""
    if figure is None:
        return Gate(gate=name, limit=limit, figure=None, passed=False, sure=False)
    low, high = figure.interval
    if name == "forget_max":
        passed, surely, surely_not = _share(figure) <= _decimal(limit), high <= limit, low > limit
    else:
        passed, surely, surely_not = _share(figure) >= _decimal(limit), low >= limit, high < limit
    bare = FigureRecord(**{name: value for name, value in figure.given().items() if name != "per_class"})
    return Gate(gate=name, limit=limit, figure=bare, passed=passed, sure=surely if passed else surely_not)


def _of_gate(gate: Gate) -> str:
    accuracy, bound = GATES[gate.gate]
    asked = f"{bound} {exactly(gate.limit)}"
    if gate.figure is None:
        return f"there are no samples to judge the {accuracy} by; {asked} was asked"
    met = "met" if gate.passed else "missed"
    few = "is" if gate.figure.count == 1 else "are"
    unsure = "" if gate.sure else f", though {plural(gate.figure.count, 'sample')} {few} too few to be sure"
    return f"the {accuracy} is {beside(gate.figure, gate.limit)}, {asked} was asked: {met}{unsure}"


# Without a gate


def _forgot_too_little(judged: Judged) -> list[str]:
    before, after, rule = judged.before.forget, judged.after.forget, judged.spec.scale_rule
    if before is None or after is None:
        return ["there are no samples to measure forgetting on"]
    goal, called = _goal(judged)
    if goal is None:
        if after.interval[1] < before.accuracy:
            return []
        return [f"{_fall(judged)}, which {plural(after.count, 'sample')} cannot tell from no change"]
    if after.interval[0] <= goal.high:
        return []
    return [f"the forget accuracy is still {with_interval(after)}, above {called} ({RULES[rule]} was asked for)"]


def _kept_too_little(judged: Judged) -> list[str]:
    """Only where it is sure: ``keep`` bounds the search, on validation data; on test data chance has its part."""
    base, own, keep = judged.before.retain, judged.after.retain, judged.spec.scale_search.keep
    if base is None or own is None or own.interval[1] >= keep * base.accuracy:
        return []
    return [
        f"the retain accuracy fell from {percent(base.accuracy)} to {with_interval(own)}, "
        f"below {exactly(keep)} of what it was"
    ]


def _goal(judged: Judged) -> tuple[ConfidenceInterval | None, str]:
    """The forget accuracy that the rule wants to come near to, and its name; None where lower is always better.

    A target is exact. What was measured on samples lies somewhere in its interval, as the forget accuracy does.
    """
    rule, reference, target = judged.spec.scale_rule, judged.reference, judged.spec.scale_search.target
    if rule == "target" and target is not None:
        return ConfidenceInterval(target, target), f"the target of {exactly(target)}"
    if rule == "match_unseen" and reference is not None:
        return _interval(reference), f"the base model's on unseen samples, {_counted(reference)}"
    if rule == "match_retrained" and reference is not None:
        return _interval(reference), f"the retrained model's, {_counted(reference)}"
    return None, "no forget accuracy at all"


# Nothing


def _why_no_change(judged: Judged) -> str:
    if judged.own.scale:
        return (
            f"The weights are the base model's at λ = {judged.own.scale:g} too: the merged vector is zero, or all of "
            "it was lost in rounding."
        )
    if judged.spec.scale_rule == "fixed":
        return "The spec fixes λ = 0, so the weights are the base model's."
    curve = judged.own.curve or []
    [zero] = [row for row in curve if row.scale == 0]
    goal, called = _goal(judged)
    wanted = (
        Fraction(0) if goal is None else _decimal(goal.low) if judged.reference is None else _share(judged.reference)
    )
    nearer = [row for row in curve if abs(_share(row.forget) - wanted) < abs(_share(zero.forget) - wanted)]
    where = " on validation data" if judged.splits.forget.validation else ""
    why = _all_cost_too_much(judged, nearer) if nearer else _none_nearer(zero, goal, called, where)
    return f"λ = 0 was chosen, so the weights are the base model's: {why}."


def _all_cost_too_much(judged: Judged, nearer: Sequence[CurveRow]) -> str:
    keep, best = judged.spec.scale_search.keep, max(_share(row.retain) for row in nearer)
    return (
        f"{plural(len(nearer), 'scale')} would have come nearer ({RULES[judged.spec.scale_rule]} was asked for), and "
        f"{'each' if len(nearer) > 1 else 'it'} kept less than {exactly(keep)} of the base model's retain accuracy on "
        f"validation data: of what stays, {percent(float(best))} is right there at best"
    )


def _none_nearer(zero: CurveRow, goal: ConfidenceInterval | None, called: str, where: str) -> str:
    if goal is None:
        return f"no scale that was tried lowers the forget accuracy{where}, {_counted(zero.forget)}"
    return f"its forget accuracy{where}, {_counted(zero.forget)}, is nearest of all scales to {called}"


def _why_no_effect(judged: Judged, before: FigureRecord, after: FigureRecord) -> str:
    on = measured_on(judged.splits.forget_part)
    return (
        f"The weights changed (λ = {judged.own.scale:g}), the forget accuracy did not fall: on {on} it is "
        f"{_counted(after)}, before {_counted(before)}."
    )


# Words and numbers


def _what_was_matched(judged: Judged) -> str:
    """What a match was with, behind the fall, and how little it says where the base model matched as well."""
    goal, called = _goal(judged)
    before, after = judged.before.forget, judged.after.forget
    if goal is None or before is None or after is None:
        return ""
    samples = plural(after.count, "sample")
    if after.accuracy <= goal.low:
        return f", no more than {called}"
    told = f", which {samples} cannot tell from {called}"
    return f"{told}; nor could they before" if before.interval[0] <= goal.high else told


def _fall(judged: Judged) -> str:
    before, after = judged.before.forget, judged.after.forget
    assert before is not None
    assert after is not None  # asked only where forgetting was measured
    return f"the forget accuracy fell from {percent(before.accuracy)} to {with_interval(after)}"


def _sentence(parts: Sequence[str]) -> str:
    joined = "; ".join(parts)
    return f"{joined[0].upper()}{joined[1:]}."


def _counted(count: CountRecord) -> str:
    return f"{percent(count.accuracy)} ({count.correct} of {count.count})"


def _interval(count: CountRecord) -> ConfidenceInterval:
    return wilson(count.correct, count.count)


def _share(count: CountRecord) -> Fraction:
    return Fraction(count.correct, count.count)


def _decimal(share: float) -> Fraction:
    return Fraction(str(share))
