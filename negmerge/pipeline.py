"""A whole job in three steps: ``prepare`` (in ``prepared``), ``tune`` for each point, ``conclude`` once.

``run`` does them one after the other in this process; the workers of the service call the same three.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from negmerge.checkpoints import save
from negmerge.data import Dataset
from negmerge.errors import DivergedError, MergeError
from negmerge.merging import Partial, Single
from negmerge.metrics import Count
from negmerge.network import Network
from negmerge.prepared import PARTS, Prepared, as_json, measure, prepare
from negmerge.progress import OnStep, ignore
from negmerge.result import Concluded, MethodResult, write
from negmerge.search import Choice, choose, choose_sparingly
from negmerge.spec import JobSpec
from negmerge.sweep import Point, expand
from negmerge.training import fine_tune
from negmerge.vectors import TaskVector, apply_scale, check, digest, task_vector

__all__ = [
    "OnStage",
    "Prepared",
    "TunedPoint",
    "conclude",
    "new_partial",
    "prepare",
    "run",
    "task_vector_path",
    "tune",
]

OnStage = Callable[[str], OnStep]
"""Called with a stage's name before it begins; returns the OnStep that follows it."""


@dataclass(frozen=True)
class TunedPoint:
    """One fine-tuned point: its task vector, its own search where one was asked for, and its row's outcome."""

    vector: TaskVector
    single: Single | None
    outcome: dict[str, Any]


def new_partial(spec: JobSpec, model: Network) -> Partial:
    """An empty partial for the job's methods, and for negmerge, because the consensus is always reported."""
    return Partial(list(dict.fromkeys([*spec.methods(), "negmerge"])), model.base, spec.merge)


def task_vector_path(index: int) -> str:
    """Where a kept task vector lies among a job's artifacts."""
    return f"points/{index}/task_vector.safetensors"


def tune(spec: JobSpec, model: Network, prepared: Prepared, point: Point, on_step: OnStep = ignore) -> TunedPoint:
    """Fine-tune one point on the forget set's train part, and check its task vector.

    Where task arithmetic is among the job's methods the point is also searched and tested here, as a single
    model, so that its weights need not be kept. Raises DivergedError.
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
    single = None
    if "task_arithmetic" in spec.methods():
        poll = _standing(on_step, tuned.steps, tuned.steps, tuned.loss)
        choice = choose_scale(spec, model, prepared, vector, poll, with_curve=False)
        load_at(model, vector, choice.scale)
        figures = measure(model, prepared.sides, _single_parts(prepared), poll)
        single = Single(key=choice.key, scale=choice.scale)
        outcome |= {"scale": choice.scale, "scale_at_edge": choice.at_edge, "rank": list(choice.key)}
        outcome |= as_json(figures, per_class=False)
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
    rule = (spec.scale_search, spec.scale_rule, base_retain, prepared.unseen)
    if with_curve:
        return choose(lambda scale: (forget_at(scale), retain_at(scale)), *rule)
    return choose_sparingly(forget_at, retain_at, *rule)


def load_at(model: Network, merged: TaskVector, scale: float) -> None:
    """Put θ₀ − λ·τ* into the model, with the bits that the weights file would have."""
    model.load_parameters({name: apply_scale(model.original[name], tensor, scale) for name, tensor in merged.items()})


def conclude(
    spec: JobSpec,
    model: Network,
    prepared: Prepared,
    partial: Partial,
    points: Sequence[Mapping[str, Any]],
    folder: Path,
    job: str | None = None,
    on_step: OnStep = ignore,
) -> dict[str, Any]:
    """Merge, choose λ for every method, test once, and write the job's artifacts into ``folder``.

    points: one row for each point of the sweep, in order: ``index``, ``hyper_parameters``, ``state`` ("folded" or
    "diverged") and the outcome's fields. Returns the result document, which is also written as ``result.json``.
    Raises MergeError where every point diverged.
    """
    if not partial.points:
        raise MergeError("every point of the sweep diverged: lower the learning rates")
    methods = spec.methods()
    results: dict[str, MethodResult] = {}
    for i, method in enumerate(methods):
        poll = _standing(on_step, i, len(methods) + 1)
        merged = partial.result(method)
        choice = choose_scale(spec, model, prepared, merged, poll)
        load_at(model, merged, choice.scale)
        results[method] = MethodResult(choice, measure(model, prepared.sides, PARTS, poll))
    merged = partial.result(spec.merge.method)
    concluded = Concluded(spec, job, prepared, results, partial.consensus(), points)
    document = write(concluded, model, merged, folder)
    on_step(len(methods) + 1, len(methods) + 1, None)
    return document


def run(
    spec: JobSpec,
    model: Network,
    forget: Dataset,
    retain: Dataset,
    folder: Path,
    on_stage: OnStage,
) -> dict[str, Any]:
    """A whole job in this process; its artifacts go to ``folder``. Returns the result document.

    on_stage: called with a stage's name before it begins, returns the OnStep that follows it.
    """
    prepared = prepare(spec, model, forget, retain, on_stage("prepare"))
    partial = new_partial(spec, model)
    rows = []
    points = expand(spec.sweep)
    for point in points:
        row: dict[str, Any] = {
            "index": point.index,
            "hyper_parameters": point.hyper_parameters.model_dump(),
            "seed": point.seed,
        }
        try:
            tuned = tune(spec, model, prepared, point, on_stage(f"point {point.index + 1}/{len(points)}"))
            partial.add(point.index, tuned.vector, tuned.single)
            if spec.keep_task_vectors:
                save(tuned.vector, folder / task_vector_path(point.index))
            rows.append(row | {"state": "folded"} | tuned.outcome)
        except DivergedError as error:
            if spec.sweep.on_diverged == "fail":
                raise
            rows.append(row | {"state": "diverged", "cause": str(error)})
    return conclude(spec, model, prepared, partial, rows, folder, on_step=on_stage("conclude"))


def _single_parts(prepared: Prepared) -> list[str]:
    """Where a single model is measured: where its scale was chosen, and on test."""
    return [part for part in PARTS if part != "train" or prepared.forget_search_part == "train"]


def _standing(on_step: OnStep, step: int, total: int, loss: float | None = None) -> OnStep:
    """An OnStep for work inside one step: it lets the work be stopped, and progress stands still."""
    return lambda _step, _total, _loss: on_step(step, total, loss)
