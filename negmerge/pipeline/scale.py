"""The scale of one merged vector: the job's rule, on what the model scores with it."""

from collections.abc import Callable

from negmerge.evaluation.metrics import Count
from negmerge.evaluation.prepared import Prepared, measure, near
from negmerge.evaluation.search import Choice, choose, choose_sparingly
from negmerge.merging.vectors import TaskVector, apply_scale
from negmerge.models.network import Network
from negmerge.progress import OnStep, ignore
from negmerge.spec.figures import Part, SideName
from negmerge.spec.job import JobSpec


def choose_scale(
    spec: JobSpec,
    model: Network,
    prepared: Prepared,
    merged: TaskVector,
    on_step: OnStep = ignore,
    with_curve: bool = True,
) -> Choice:
    """The scale λ for θ₀ − λ·τ*, by the job's rule, on validation data.

    Without the curve the choice is the same, and the retain set is measured only where it decides. At λ = 0 the model
    is the base model to the bit, which was measured already.
    """

    def measured(side: SideName, part: Part) -> Callable[[float], Count]:
        data = near(prepared.sides[side], part, model.device)

        def at(scale: float) -> Count:
            if scale == 0:
                return prepared.base[part][side].total
            load_at(model, merged, scale)
            return measure(model, {side: data}, [part], on_step)[part][side].total

        return at

    forget_at, retain_at = measured("forget", prepared.forget_search_part), measured("retain", "validation")
    by_rule = choose if with_curve else choose_sparingly
    base_retain = prepared.base["validation"]["retain"].total
    return by_rule(forget_at, retain_at, spec.scale_search, spec.scale_rule, base_retain, prepared.reference)


def load_at(model: Network, merged: TaskVector, scale: float) -> None:
    """Put θ₀ − λ·τ* into the model, with the bits that the weights file would have."""
    model.load_parameters({name: apply_scale(model.original[name], tensor, scale) for name, tensor in merged.items()})
