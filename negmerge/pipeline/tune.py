"""One point of a sweep: fine-tuned, checked, and where task arithmetic is compared also searched and measured."""

import time
from dataclasses import dataclass

from negmerge.checkpoints.tensors import digest
from negmerge.evaluation.assessment import assess, single_parts
from negmerge.evaluation.prepared import Prepared
from negmerge.merging.methods import METHODS, NegMerge
from negmerge.merging.partial import Partial, Single
from negmerge.merging.vectors import TaskVector, check, task_vector
from negmerge.models.determinism import refusing_what_cannot_repeat
from negmerge.models.network import Network
from negmerge.pipeline.scale import choose_scale, load_at
from negmerge.progress import OnStep, frozen_at, ignore
from negmerge.spec.job import JobSpec
from negmerge.spec.precision import Precision
from negmerge.spec.result import PointOutcome
from negmerge.spec.sweep import Point
from negmerge.training.fine_tune import fine_tune


@dataclass(frozen=True)
class TunedPoint:
    """One fine-tuned point: its task vector, its own search where one was asked for, and its row's outcome."""

    vector: TaskVector
    single: Single | None
    outcome: PointOutcome


def tune(
    spec: JobSpec,
    model: Network,
    prepared: Prepared,
    point: Point,
    on_step: OnStep = ignore,
    precision: Precision = "float32",
) -> TunedPoint:
    """Fine-tune one point on the forget set's train part, and check its task vector.

    Where task arithmetic is among the job's methods, or greedy, which goes through the points by rank, the point is
    also searched and tested here, as a single model, so that its weights need not be kept. precision: of the training;
    what is measured is measured in float32. Raises DivergedError, and ModelError where training cannot repeat.
    """
    started = time.monotonic()
    train = prepared.forget.parts["train"]
    with refusing_what_cannot_repeat():
        tuned = fine_tune(
            model,
            train.images,
            train.labels,
            prepared.forget.head,
            point.hyper_parameters,
            point.seed,
            on_step,
            precision,
        )
    vector = task_vector(tuned.state, model.base, model.names)
    check(vector)
    trained = {"loss": tuned.loss, "steps": tuned.steps, "digest": digest(vector), "training_seconds": since(started)}
    if not any(METHODS[method].needs_singles for method in spec.methods()):
        return TunedPoint(vector, None, PointOutcome(**trained, seconds=since(started)))
    poll = frozen_at(on_step, tuned.steps, tuned.steps, tuned.loss)
    choice = choose_scale(spec, model, prepared, vector, poll, with_curve=False)
    searched = {"scale": choice.scale, "scale_at_edge": choice.at_edge, "rank": choice.rank}
    seconds_to_scale = since(started)
    load_at(model, vector, choice.scale)
    figures = assess(model, prepared, poll, single_parts(model, prepared)).record(per_class=False).given()
    outcome = PointOutcome(**trained, seconds_to_scale=seconds_to_scale, **searched, **figures, seconds=since(started))
    return TunedPoint(vector, Single(choice.rank, choice.scale), outcome)


def since(started: float) -> float:
    """Seconds since a moment of the monotonic clock, to the millisecond."""
    return round(time.monotonic() - started, 3)


def new_partial(spec: JobSpec, model: Network) -> Partial:
    """An empty partial for the job's methods, and for negmerge, because the consensus is always reported."""
    folded = [method for method in spec.methods() if not METHODS[method].needs_kept_vectors]
    return Partial([*folded, NegMerge.name], model.base, spec.merge)


def task_vector_path(index: int) -> str:
    """Where a kept task vector lies among a job's artifacts."""
    return f"points/{index}/task_vector.safetensors"
