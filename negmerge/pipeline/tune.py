"""One point of a sweep: fine-tuned, checked, and where task arithmetic is compared also searched and measured."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from negmerge.checkpoints.tensors import digest
from negmerge.evaluation.assessment import assess, single_parts
from negmerge.evaluation.metrics import Count
from negmerge.evaluation.prepared import Prepared, measure
from negmerge.evaluation.search import Choice, choose, choose_sparingly
from negmerge.merging.partial import Single
from negmerge.merging.vectors import TaskVector, apply_scale, check, task_vector
from negmerge.models.network import Network
from negmerge.progress import OnStep, frozen_at, ignore
from negmerge.spec.job import JobSpec
from negmerge.spec.sweep import Point
from negmerge.training.fine_tune import fine_tune


@dataclass(frozen=True)
class TunedPoint:
    """One fine-tuned point: its task vector, its own search where one was asked for, and its row's outcome."""

    vector: TaskVector
    single: Single | None
    outcome: dict[str, Any]


def tune(spec: JobSpec, model: Network, prepared: Prepared, point: Point, on_step: OnStep = ignore) -> TunedPoint:
    """Fine-tune one point on the forget set's train part, and check its task vector.

    Where task arithmetic is among the job's methods, or greedy, which goes through the points by rank, the point is
    also searched and tested here, as a single model, so that its weights need not be kept. Raises DivergedError.
    """
    started = time.monotonic()
    train = prepared.forget.parts["train"]
    tuned = fine_tune(
        model,
        train.images,
        train.labels,
        prepared.forget.head,
        point.hyper_parameters,
        point.seed,
        on_step,
    )
    vector = task_vector(tuned.state, model.base, model.names)
    check(vector)
    outcome: dict[str, Any] = {"loss": tuned.loss, "steps": tuned.steps, "digest": digest(vector)}
    outcome["training_seconds"] = round(time.monotonic() - started, 3)
    single = None
    if {"task_arithmetic", "greedy"} & {*spec.methods()}:
        poll = frozen_at(on_step, tuned.steps, tuned.steps, tuned.loss)
        choice = choose_scale(spec, model, prepared, vector, poll, with_curve=False)
        outcome["seconds_to_scale"] = round(time.monotonic() - started, 3)
        load_at(model, vector, choice.scale)
        assessment = assess(model, prepared, poll, single_parts(model, prepared))
        single = Single(key=choice.key, scale=choice.scale)
        outcome |= {"scale": choice.scale, "scale_at_edge": choice.at_edge, "rank": list(choice.key)}
        outcome |= assessment.as_json(per_class=False)
    outcome["seconds"] = round(time.monotonic() - started, 3)
    return TunedPoint(vector, single, outcome)


def choose_scale(
    spec: JobSpec,
    model: Network,
    prepared: Prepared,
    merged: TaskVector,
    on_step: OnStep = ignore,
    with_curve: bool = True,
) -> Choice:
    """The scale λ for θ₀ − λ·τ*, by the job's rule, on validation data.

    Without the curve the choice is the same, and the retain set is measured only where it decides.
    """
    base_retain = prepared.base["validation"]["retain"].total

    def measured(side: str, part: str) -> Callable[[float], Count]:
        def at(scale: float) -> Count:
            load_at(model, merged, scale)
            return measure(model, {side: prepared.sides[side]}, [part], on_step)[part][side].total

        return at

    forget_at, retain_at = measured("forget", prepared.forget_search_part), measured("retain", "validation")
    rule = (spec.scale_search, spec.scale_rule, base_retain, prepared.reference)
    if with_curve:
        return choose(lambda scale: (forget_at(scale), retain_at(scale)), *rule)
    return choose_sparingly(forget_at, retain_at, *rule)


def load_at(model: Network, merged: TaskVector, scale: float) -> None:
    """Put θ₀ − λ·τ* into the model, with the bits that the weights file would have."""
    model.load_parameters({name: apply_scale(model.original[name], tensor, scale) for name, tensor in merged.items()})
