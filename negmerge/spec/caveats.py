"""What a reader must know before a job's figures: the ``warnings`` of a dry run and of a result. No torch."""

from negmerge.naming import visible
from negmerge.spec.job import JobSpec
from negmerge.spec.result import Duplicates, ResultDocument
from negmerge.spec.sweep import count, of_repeat
from negmerge.spec.words import RULES, exactly

ONE_POINT = (
    "The pool is a single point: there are no signs to agree on, and the merge is that one fine-tuned model. "
    "Sweep over more hyper-parameters."
)


TOLERABLE = 0.1
"""The share of a change that rounding may take, or have made, before it is warned of."""


def of_spec(spec: JobSpec) -> list[str]:
    """What can be said before any work."""
    return [*([ONE_POINT] if count(spec.sweep) == 1 else _equal_points(spec)), *_gate(spec)]


def of_result(document: ResultDocument) -> list[str]:
    """What the outcome calls for."""
    found = []
    classes = document.data.retain.classes
    known = document.methods["base"].figure("validation", "retain")
    if known is not None and known.interval[0] <= 1 / classes:
        found.append(
            f"The base model is right on {known.correct} of {known.count} kept validation samples, which is not "
            f"clearly more than guessing among {classes} classes gives: see that it is the right model, and that it "
            "means these classes (a classifier's label_names, a zero-shot model's class words), or take more samples."
        )
    if document.scale_at_edge:
        found.append("The chosen λ is the upper edge of the search: a larger one might forget more.")
    if document.left_out:
        gone, points = document.left_out, document.points
        found.append(f"{len(gone)} of {len(points)} points diverged and were left out: {', '.join(map(str, gone))}.")
    found += _equal_points(document.spec)
    found += _left_out(document)
    if document.rounded_away > TOLERABLE:
        found.append(
            f"{100 * document.rounded_away:.1f} % of the change was lost in rounding to the base model's 16-bit type: "
            "what is left of it was measured, but from the base model in float32 more can be unlearned."
        )
    if document.duplicates.count:
        found.append(_duplicates(document.duplicates))
    repeats = len(document.repeats)
    if 1 in (len([p for p in document.points_of(repeat) if p.state == "folded"]) for repeat in range(repeats)):
        found.append(ONE_POINT)
    for number, repeat in enumerate(document.repeats, start=1):
        for method, figures in repeat.items():
            if isinstance(figures, str):
                where = f" in repeat {number} of {repeats}" if repeats > 1 else ""
                found.append(f"{method} has no figures{where}: {figures}")
    return found


def _gate(spec: JobSpec) -> list[str]:
    """A gate below the forget accuracy that the rule for λ aims at."""
    limit, rule = spec.require.forget_max if spec.require else None, spec.scale_rule
    aims = f"λ is chosen for {RULES[rule]} ({rule})"
    gate = "" if limit is None else f"require.forget_max, {exactly(limit)}"
    if limit is None or limit == 1:
        return []
    if rule == "match_unseen":
        return [
            f"{aims}, which is often near to that on what is kept and not to zero: the gate {gate}, may be below it. "
            "Leave the gate away, or give scale_search the rule target with the figure that is wanted."
        ]
    if rule == "target" and spec.scale_search.target is not None and spec.scale_search.target > limit:
        return [f"{aims} of {exactly(spec.scale_search.target)}, which is above the gate {gate}."]
    return []


def _equal_points(spec: JobSpec) -> list[str]:
    """Points that train the very same model, so that it has more than one vote in the merge."""
    alike: dict[str, list[str]] = {}
    for point in of_repeat(spec.points(), 0, spec.repeats):
        alike.setdefault(f"{point.seed} {point.hyper_parameters.model_dump_json()}", []).append(str(point.index))
    return [
        f"Points {', '.join(indexes)} are the same, seed and all: they train one model, which counts {len(indexes)} "
        "times. Give them seeds of their own, or leave all but one out."
        for indexes in alike.values()
        if len(indexes) > 1
    ]


def _left_out(document: ResultDocument) -> list[str]:
    """The images that could not be read: whoever asked for them to be forgotten must know."""
    sides = {"forget": document.data.forget, "retain": document.data.retain}
    told: dict[str, list[str]] = {}
    for side, data in sides.items():
        if data.left_out and data.left_out not in told.values():
            told[side] = data.left_out
    return [
        f"{len(ids)} images of the data set of {side} cannot be read and were left out, first {visible(ids[0])}."
        for side, ids in told.items()
    ]


def _duplicates(duplicates: Duplicates) -> str:
    count, first = duplicates.count, duplicates.examples[0]
    kept = "1 kept image is" if count == 1 else f"{count} kept images are"
    return (
        f"{kept} pixel for pixel also among the forgotten ones, first {visible(first.retain)} as "
        f"{visible(first.forget)}: such a picture is counted on both sides. "
        "Take it out of one, or name one data set on both sides."
    )
