"""What a job computes with: decoded images, labels and frozen heads of both sides, and the base model's figures.

``pipeline.prepare`` makes it once per job; ``save`` and ``load`` carry it to other workers as one safetensors file.
Images that lie on a shelf are files of their own, which that one names.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open

from negmerge.checkpoints.files import save_tensors
from negmerge.decoding.dataset import Decoded
from negmerge.decoding.files import mapped
from negmerge.decoding.shelf import Kept
from negmerge.errors import CheckpointError
from negmerge.evaluation.figures import Figures, figures_of, recorded
from negmerge.evaluation.metrics import Count, evaluate
from negmerge.models.network import Network
from negmerge.progress import OnStep, Stages, ignore
from negmerge.spec.figures import CountRecord, Measured, Part, SideName, SplitCounts
from negmerge.spec.result import DataIdentities, RivalRow


def _nowhere(reference: str) -> Kept:
    raise CheckpointError(f"the images {reference} lie elsewhere: say how to fetch them")


@dataclass(frozen=True)
class Side:
    """The forget set or the retain set: its decoded parts and what judges them (``network.Outputs``).

    classes: a name for each column of the logits, which the labels of ``parts`` count through. head: float32 [C, D]
    of a zero-shot model, empty for a classifier.
    """

    classes: tuple[str, ...]
    head: torch.Tensor
    parts: Mapping[Part, Decoded]

    def samples(self, part: Part) -> Decoded | None:
        """The part, if it was decoded and holds anything."""
        decoded = self.parts.get(part)
        return decoded if decoded is not None and decoded.ids else None


@dataclass(frozen=True)
class Prepared:
    """Both sides of a job, how many samples each part has, and what the base model scores on them.

    data: what each side's data set is (``data.identity``), for the record.
    reference: the forget accuracy that λ should match, where the rule says so. retrained: the row of the retrained
    model (``pipeline.rivals.run``), where that is what λ should match.
    """

    forget: Side
    retain: Side
    splits: SplitCounts
    data: DataIdentities
    base: Figures
    reference: Count | None = None
    retrained: RivalRow | None = None

    @property
    def sides(self) -> dict[SideName, Side]:
        return {"forget": self.forget, "retain": self.retain}

    @property
    def forget_search_part(self) -> Part:
        """Where forgetting is measured while λ is chosen.

        A forgotten class has validation samples; forgotten training samples are measured themselves.
        """
        return "validation" if self.forget.samples("validation") else "train"

    def save(self, path: Path) -> str:
        """Write all but images that are kept on a shelf as one file, which names those; returns the file's digest."""
        tensors: dict[str, torch.Tensor] = {}
        document: dict[str, Any] = {
            "splits": self.splits.as_json(),
            "data": self.data.as_json(),
            "base": recorded(self.base).as_json(),
            "reference": self.reference.record().as_json() if self.reference else None,
            "retrained": self.retrained.as_json() if self.retrained else None,
            "sides": {},
        }
        for side_name, side in self.sides.items():
            tensors[f"{side_name}.head"] = side.head.cpu().contiguous()
            ids, images = {}, {}
            for part_name, part in side.parts.items():
                if part.kept is None:
                    tensors[f"{side_name}.{part_name}.images"] = part.images
                else:
                    images[part_name] = part.kept.reference
                tensors[f"{side_name}.{part_name}.labels"] = part.labels
                ids[part_name] = list(part.ids)
            document["sides"][side_name] = {"classes": list(side.classes), "ids": ids, "images": images}
        return save_tensors(tensors, path, {"prepared": json.dumps(document)})

    @classmethod
    def load(cls, path: Path, fetch: Callable[[str], Kept] = _nowhere) -> "Prepared":
        """Read what ``save`` wrote. fetch: from the reference of images on a shelf to their file.

        Raises CheckpointError where the file is something else, or names images that nobody fetches.
        """
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            if "prepared" not in metadata:
                raise CheckpointError(f"{path.name} does not hold a prepared job")
            document = json.loads(metadata["prepared"])
            sides = {}
            for side_name, kept in document["sides"].items():
                parts: dict[Part, Decoded] = {}
                for part, ids in kept["ids"].items():
                    at, labels = f"{side_name}.{part}", file.get_tensor(f"{side_name}.{part}.labels")
                    reference = kept.get("images", {}).get(part)
                    if reference is None:
                        parts[part] = Decoded(file.get_tensor(f"{at}.images"), labels, tuple(ids))
                    else:
                        there = fetch(reference)
                        parts[part] = Decoded(mapped(there.path), labels, tuple(ids), there)
                sides[side_name] = Side(tuple(kept["classes"]), file.get_tensor(f"{side_name}.head"), parts)
        reference, retrained = document["reference"], document["retrained"]
        return cls(
            sides["forget"],
            sides["retain"],
            SplitCounts.model_validate(document["splits"]),
            DataIdentities.model_validate(document["data"]),
            figures_of(Measured.model_validate(document["base"])),
            Count.of(CountRecord.model_validate(reference)) if reference else None,
            RivalRow.model_validate(retrained) if retrained else None,
        )


def near(side: Side, part: Part, device: torch.device) -> Side:
    """The side with one part's images on the device, where they take no more than half of what is free there.

    For who measures many models on them: each visit would move them again. On the CPU they are there.
    """
    samples = side.parts[part]
    if device.type != "cuda" or 2 * samples.images.nbytes > torch.cuda.mem_get_info(device)[0]:
        return side
    return replace(side, parts={**side.parts, part: replace(samples, images=samples.images.to(device))})


def measure(model: Network, sides: Mapping[SideName, Side], parts: Sequence[Part], on_step: OnStep = ignore) -> Figures:
    """Evaluate the model as it stands on the named parts of the given sides."""
    filled = [(part, name, side) for part in parts for name, side in sides.items() if side.samples(part)]
    stages = Stages(on_step, sum(len(side.parts[part].ids) for part, _, side in filled))
    figures: Figures = {}
    for part, name, side in filled:
        samples = side.parts[part]
        on_batch = stages.next(len(samples.ids))
        figures.setdefault(part, {})[name] = evaluate(
            model, samples.images, samples.labels, side.head, side.classes, on_batch
        )
    return figures
