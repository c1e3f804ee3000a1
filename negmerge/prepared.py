"""What a job computes with: decoded images, labels and frozen heads of both sides, and the base model's figures.

``prepare`` makes it once per job; ``save`` and ``load`` carry it to other workers as one safetensors file, whose
images are mapped from disk, not read.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open

from negmerge.archives import Sample
from negmerge.checkpoints import save as save_tensors
from negmerge.data import Dataset, Decoded, decode
from negmerge.errors import CheckpointError, SelectionError
from negmerge.metrics import Count, Evaluation, evaluate
from negmerge.network import Network, Outputs
from negmerge.progress import OnStep, Stages, ignore
from negmerge.selection import split
from negmerge.spec import JobSpec

PARTS = ("train", "validation", "test")

Figures = dict[str, dict[str, Evaluation]]
"""part → side → evaluation; a part without samples of a side has no entry for it."""


@dataclass(frozen=True)
class Side:
    """The forget set or the retain set: its decoded parts and what judges them (``network.Outputs``).

    classes: a name for each column of the logits, which the labels of ``parts`` count through. head: float32 [C, D]
    of a zero-shot model, empty for a classifier.
    """

    classes: tuple[str, ...]
    head: torch.Tensor
    parts: dict[str, Decoded]

    def samples(self, part: str) -> Decoded | None:
        """The part, if it was decoded and holds anything."""
        decoded = self.parts.get(part)
        return decoded if decoded is not None and decoded.ids else None


@dataclass(frozen=True)
class Prepared:
    """Both sides of a job, how many samples each part has, and what the base model scores on them.

    unseen: what it scores on unseen samples of the forget set's data set, where the rule ``match_unseen`` asks.
    """

    forget: Side
    retain: Side
    splits: dict[str, dict[str, int]]
    base: Figures
    unseen: Count | None = None

    @property
    def sides(self) -> dict[str, Side]:
        return {"forget": self.forget, "retain": self.retain}

    @property
    def forget_search_part(self) -> str:
        """Where forgetting is measured while λ is chosen.

        A forgotten class has validation samples; forgotten training samples are measured themselves.
        """
        return "validation" if self.forget.samples("validation") else "train"

    def save(self, path: Path) -> str:
        """Write all of it as one file; returns the file's digest."""
        tensors: dict[str, torch.Tensor] = {}
        document: dict[str, Any] = {
            "splits": self.splits,
            "base": as_json(self.base),
            "unseen": self.unseen.as_json() if self.unseen else None,
            "sides": {},
        }
        for side_name, side in self.sides.items():
            tensors[f"{side_name}.head"] = side.head.cpu().contiguous()
            ids = {}
            for part_name, part in side.parts.items():
                tensors[f"{side_name}.{part_name}.images"] = part.images
                tensors[f"{side_name}.{part_name}.labels"] = part.labels
                ids[part_name] = list(part.ids)
            document["sides"][side_name] = {"classes": list(side.classes), "ids": ids}
        return save_tensors(tensors, path, {"prepared": json.dumps(document)})

    @classmethod
    def load(cls, path: Path) -> "Prepared":
        """Read what ``save`` wrote. Raises CheckpointError where the file is something else."""
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            if "prepared" not in metadata:
                raise CheckpointError(f"{path.name} does not hold a prepared job")
            document = json.loads(metadata["prepared"])
            sides = {}
            for side_name, kept in document["sides"].items():
                parts = {
                    part: Decoded(
                        file.get_tensor(f"{side_name}.{part}.images"),
                        file.get_tensor(f"{side_name}.{part}.labels"),
                        tuple(ids),
                    )
                    for part, ids in kept["ids"].items()
                }
                sides[side_name] = Side(tuple(kept["classes"]), file.get_tensor(f"{side_name}.head"), parts)
        unseen = Count.from_json(document["unseen"]) if document["unseen"] else None
        return cls(sides["forget"], sides["retain"], document["splits"], from_json(document["base"]), unseen)


def prepare(spec: JobSpec, model: Network, forget: Dataset, retain: Dataset, on_step: OnStep = ignore) -> Prepared:
    """Cut both data sets, decode every image once, compute the heads, and measure the base model.

    The retain set's train part is decoded only where it comes from the forget set's own data set: a control set
    is there to be measured on, never trained on, and its train part may be ImageNet's.
    Raises SelectionError, DataError and ModelError.
    """
    splits = split(spec.forget, spec.retain, forget.index, retain.index)
    one_data_set = spec.forget.source == spec.retain.source
    taken = {
        "forget": {part: getattr(splits.forget, part) for part in PARTS},
        "retain": {part: getattr(splits.retain, part) for part in (PARTS if one_data_set else PARTS[1:])},
    }
    half = sum(len(samples) for parts in taken.values() for samples in parts.values())
    stages = Stages(on_step, 2 * half)
    forget_outputs = _outputs(model, forget)
    retain_outputs = forget_outputs if one_data_set else _outputs(model, retain)
    forget_side = _side(model, forget, forget_outputs, taken["forget"], stages)
    retain_side = _side(model, retain, retain_outputs, taken["retain"], stages)
    model.restore()
    base = measure(model, {"forget": forget_side, "retain": retain_side}, PARTS, stages.next(half))
    unseen = None
    if spec.scale_rule == "match_unseen":
        unseen = _unseen(model, forget, forget_side, forget_outputs, splits.unseen)
    return Prepared(forget_side, retain_side, splits.counts(), base, unseen)


def measure(model: Network, sides: Mapping[str, Side], parts: Sequence[str], on_step: OnStep = ignore) -> Figures:
    """Evaluate the model as it stands on the named parts of the given sides."""
    held = [(part, name, side) for part in parts for name, side in sides.items() if side.samples(part)]
    stages = Stages(on_step, sum(len(side.parts[part].ids) for part, _, side in held))
    figures: Figures = {}
    for part, name, side in held:
        samples = side.parts[part]
        on_batch = stages.next(len(samples.ids))
        figures.setdefault(part, {})[name] = evaluate(
            model, samples.images, samples.labels, side.head, side.classes, on_batch
        )
    return figures


def as_json(figures: Figures, per_class: bool = True) -> dict[str, Any]:
    """part → side → {"accuracy", "correct", "count", and per class where asked for}."""
    return {
        part: {side: found.as_json() if per_class else found.total.as_json() for side, found in sides.items()}
        for part, sides in figures.items()
    }


def from_json(document: Mapping[str, Any]) -> Figures:
    """What ``as_json`` wrote."""
    return {
        part: {side: Evaluation.from_json(found) for side, found in sides.items()} for part, sides in document.items()
    }


def _unseen(model: Network, forget: Dataset, side: Side, outputs: Outputs, samples: Sequence[Sample]) -> Count:
    """What the base model scores on validation samples of the forget set's data set that stay."""
    if not samples:
        raise SelectionError(
            "match_unseen compares with unseen samples of the forget set's data set, and there are none: "
            "choose another rule",
            "/scale_search/rule",
        )
    decoded = _decoded(model, forget, outputs, samples)
    return evaluate(model, decoded.images, decoded.labels, side.head, side.classes).total


def _outputs(model: Network, dataset: Dataset) -> Outputs:
    return model.outputs(dataset.index.classes, dataset.class_words, dataset.templates)


def _side(
    model: Network, dataset: Dataset, outputs: Outputs, parts: Mapping[str, Sequence[Sample]], stages: Stages
) -> Side:
    decoded = {
        name: _decoded(model, dataset, outputs, samples, stages.next(len(samples))) for name, samples in parts.items()
    }
    return Side(outputs.classes, outputs.head, decoded)


def _decoded(
    model: Network, dataset: Dataset, outputs: Outputs, samples: Sequence[Sample], on_step: OnStep = ignore
) -> Decoded:
    """Pixels, with labels that count through the model's outputs instead of the data set's classes."""
    decoded = decode(dataset, samples, model.preprocess, on_step)
    return replace(decoded, labels=outputs.labels[decoded.labels])
