"""The curve over N: what merging fewer points of a pool would have given, and how many elements are in consensus then.

For each N several subsets of the pool, drawn by a seed; each is merged, its λ chosen on validation data by the job's
rule, and measured once on the parts that the job's table has. Figures are kept as soon as they are there.
"""

import json
import random
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from math import comb
from pathlib import Path

from negmerge.checkpoints.files import atomic_path
from negmerge.decoding.dataset import Dataset
from negmerge.evaluation.prepared import Prepared, measure
from negmerge.merging.partial import Partial
from negmerge.merging.vectors import TaskVector
from negmerge.models.network import Network
from negmerge.pipeline import local
from negmerge.pipeline import prepare as preparing
from negmerge.pipeline.scale import choose_scale, load_at
from negmerge.progress import OnStep, frozen_at
from negmerge.report.comparison import table_parts
from negmerge.spec.figures import Part, SideName
from negmerge.spec.job import JobSpec
from negmerge.spec.sweep import count

SUBSETS = 3
"""Of each size, where there are so many."""


@dataclass(frozen=True)
class Merged:
    """What the points of one subset give. consensus, forget, retain: shares in [0, 1]."""

    points: list[int]
    scale: float
    consensus: float
    forget: float
    retain: float


def sizes(pool: int) -> list[int]:
    """1, 2, 3, 4, 6, 8, 12, 16, … and the whole pool."""
    doubling = [base << shift for shift in range(pool.bit_length()) for base in (2, 3)]
    return sorted({1, pool, *(size for size in doubling if size <= pool)})


def subsets(pool: int, seed: int = 0) -> list[list[int]]:
    """The subsets of every size, different ones, each ascending."""
    generator = random.Random(seed)
    found: list[list[int]] = []
    for size in sizes(pool):
        drawn: set[tuple[int, ...]] = set()
        while len(drawn) < min(SUBSETS, comb(pool, size)):
            drawn.add(tuple(sorted(generator.sample(range(pool), size))))
        found += [list(subset) for subset in sorted(drawn)]
    return found


def curve(
    spec: JobSpec, datasets: tuple[Dataset, Dataset], load: Callable[[int], TaskVector], kept: Path, on_step: OnStep
) -> list[Merged]:
    """All subsets of the job's pool, merged by NegMerge and measured. kept: where the figures lie between runs."""
    known = [Merged(**one) for one in json.loads(kept.read_text())] if kept.exists() else []
    todo = subsets(count(spec.sweep))[len(known) :]
    if not todo:
        return known
    model = local.open_model(spec, "cpu")
    total = len(known) + len(todo)
    prepared = preparing.prepare(spec, model, *datasets, frozen_at(on_step, len(known), total))
    for subset in todo:
        known.append(_merged(spec, model, prepared, subset, load, frozen_at(on_step, len(known), total)))
        with atomic_path(kept) as temporary:
            temporary.write_text(json.dumps([asdict(one) for one in known]))
        on_step(len(known), total, None)
    return known


def _merged(
    spec: JobSpec,
    model: Network,
    prepared: Prepared,
    subset: Sequence[int],
    load: Callable[[int], TaskVector],
    on_step: OnStep,
) -> Merged:
    partial = Partial(["negmerge"], model.base, spec.merge)
    for index in subset:
        partial.add(index, load(index))
    vector = partial.result("negmerge")
    choice = choose_scale(spec, model, prepared, vector, on_step, with_curve=False)
    load_at(model, vector, choice.scale)
    parts = table_parts(prepared, model.is_classifier)

    def accuracy(side: SideName, part: Part) -> float:
        return measure(model, {side: prepared.sides[side]}, [part], on_step)[part][side].total.accuracy

    return Merged(
        list(subset),
        choice.scale,
        partial.consensus().share,
        forget=accuracy("forget", parts["forget"]),
        retain=accuracy("retain", parts.get("test", parts["retain"])),
    )
