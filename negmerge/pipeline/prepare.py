"""The first step of a job: cut the data sets, decode every image once, make the heads, measure the base model."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from negmerge.data.archives import Sample
from negmerge.data.identity import identity
from negmerge.data.selection import split
from negmerge.decoding.dataset import Dataset, Decoded, decode
from negmerge.errors import DivergedError, SelectionError
from negmerge.evaluation.figures import Figures
from negmerge.evaluation.metrics import Count
from negmerge.evaluation.prepared import Prepared, Side
from negmerge.models.network import Network, Outputs
from negmerge.pipeline import rivals as rival_runs
from negmerge.pipeline.kept import base_figures, outputs_of
from negmerge.pipeline.rivals import run_rival
from negmerge.progress import OnStep, Stages, frozen_at, ignore
from negmerge.spec.figures import PARTS, Part, SideName
from negmerge.spec.job import JobSpec
from negmerge.spec.precision import Precision
from negmerge.spec.result import DataIdentities, RivalRow
from negmerge.spec.rivals import RETRAIN, RivalRun


def prepare(
    spec: JobSpec,
    model: Network,
    forget: Dataset,
    retain: Dataset,
    on_step: OnStep = ignore,
    precision: Precision = "float32",
) -> Prepared:
    """All that a job needs before its points are trained: ``measured``, and the retrained model that λ is to match.

    precision: of that model's training. Raises what ``measured`` and ``retrained`` raise.
    """
    prepared = measured(spec, model, forget, retain, on_step)
    if spec.scale_rule == "match_retrained":
        return with_goal(prepared, retrained(spec, model, prepared, on_step, precision))
    return prepared


def measured(spec: JobSpec, model: Network, forget: Dataset, retain: Dataset, on_step: OnStep = ignore) -> Prepared:
    """Cut both data sets, decode every image once, compute the heads, and measure the base model.

    The retain set's train part is decoded only where it comes from the forget set's own data set: a control set
    is there to be measured on, never trained on, and its train part may be ImageNet's.
    Raises SpecError for a rival's value, SelectionError, DataError and ModelError.
    """
    rival_runs.check(spec)
    splits = split(spec.forget, spec.retain, forget.index, retain.index, spec.rivals_compared())
    taken = {
        "forget": {part: getattr(splits.forget, part) for part in PARTS},
        "retain": {part: getattr(splits.retain, part) for part in (PARTS if spec.one_data_set else PARTS[1:])},
    }
    half = sum(len(samples) for parts in taken.values() for samples in parts.values())
    stages = Stages(on_step, 2 * half)
    forget_outputs = outputs_of(model, forget)
    retain_outputs = forget_outputs if spec.one_data_set else outputs_of(model, retain)
    forget_side = _side(model, forget, forget_outputs, taken["forget"], stages)
    retain_side = _side(model, retain, retain_outputs, taken["retain"], stages)
    model.restore()
    base = _base(model, {"forget": (forget_side, forget), "retain": (retain_side, retain)}, stages)
    data = DataIdentities(forget=identity(spec.forget, forget.index), retain=identity(spec.retain, retain.index))
    prepared = Prepared(forget_side, retain_side, splits.counts(), data, base)
    if spec.scale_rule == "match_unseen":
        return replace(
            prepared, reference=_unseen(spec, model, forget, forget_outputs, prepared, splits.unseen, on_step)
        )
    return prepared


def retrained(
    spec: JobSpec, model: Network, prepared: Prepared, on_step: OnStep, precision: Precision = "float32"
) -> RivalRow:
    """The retrained model that λ is to match, trained before any point is. Raises DivergedError where it diverged."""
    row = run_rival(spec, model, prepared, RivalRun(RETRAIN, 0, spec.sweep.seed), on_step, precision)
    if row.figure(prepared.forget_search_part, "forget") is None:
        raise DivergedError(f"the retrained model, which λ is to match, diverged: {row.cause}")
    return row


def with_goal(prepared: Prepared, row: RivalRow) -> Prepared:
    """The same with the retrained model that λ is to match."""
    figure = row.figure(prepared.forget_search_part, "forget")
    assert figure is not None  # ``retrained`` gives no other
    return replace(prepared, reference=Count.of(figure), retrained=row)


def _base(model: Network, sides: Mapping[SideName, tuple[Side, Dataset]], stages: Stages) -> Figures:
    """What the model as it stands, θ₀, scores on every part of both sides that has samples."""
    base: Figures = {}
    for part in PARTS:
        for name, (side, dataset) in sides.items():
            if (samples := side.samples(part)) is not None:
                on_batch = stages.next(len(samples.ids))
                base.setdefault(part, {})[name] = base_figures(model, side, part, dataset.shelf, on_batch)
    return base


def _unseen(
    spec: JobSpec,
    model: Network,
    forget: Dataset,
    outputs: Outputs,
    prepared: Prepared,
    samples: Sequence[Sample],
    on_step: OnStep,
) -> Count:
    """What the base model scores on validation samples of the forget set's data set that stay.

    Those that are in the retain set are decoded and measured already: mostly they are all.
    """
    if not samples:
        raise SelectionError(
            "match_unseen compares with unseen samples of the forget set's data set, and there are none: "
            "choose another rule",
            "/scale_search/rule",
        )
    known = set(prepared.retain.parts["validation"].ids) if spec.one_data_set else set()
    others = [sample for sample in samples if sample.id not in known]
    counts = [prepared.base["validation"]["retain"].total] if known else []
    if others:
        still = frozen_at(on_step, 0, 1)
        side = Side(outputs.classes, outputs.head, {"validation": _decoded(model, forget, outputs, others, still)})
        counts.append(base_figures(model, side, "validation", forget.shelf, still).total)
    return Count(sum(count.correct for count in counts), sum(count.count for count in counts))


def _side(
    model: Network, dataset: Dataset, outputs: Outputs, parts: Mapping[Part, Sequence[Sample]], stages: Stages
) -> Side:
    decoded = {
        name: _decoded(model, dataset, outputs, samples, stages.next(len(samples))) for name, samples in parts.items()
    }
    return Side(outputs.classes, outputs.head, decoded)


def _decoded(model: Network, dataset: Dataset, outputs: Outputs, samples: Sequence[Sample], on_step: OnStep) -> Decoded:
    """Pixels, with labels that count through the model's outputs instead of the data set's classes."""
    decoded = decode(dataset, samples, model.preprocess, on_step)
    return replace(decoded, labels=outputs.labels[decoded.labels])
