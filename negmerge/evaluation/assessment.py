"""What a model still knows: accuracies of both sides on every part, and for classifiers membership inference."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from negmerge.decoding.dataset import Decoded
from negmerge.evaluation.gaps import FourFigures
from negmerge.evaluation.membership import Values, equal_sides, membership_inference, true_label_confidence
from negmerge.evaluation.metrics import Count
from negmerge.evaluation.prepared import PARTS, Figures, Prepared, as_json, from_json, measure
from negmerge.models.network import Network
from negmerge.progress import OnStep, ignore


@dataclass(frozen=True)
class Assessment:
    """What a model scores. membership: forgotten samples taken for non-members, where that was asked."""

    figures: Figures
    membership: Count | None = None

    def as_json(self, per_class: bool = True) -> dict[str, Any]:
        """part → side → count, and ``membership``."""
        asked = {} if self.membership is None else {"membership": self.membership.as_json()}
        return as_json(self.figures, per_class) | asked

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> "Assessment":
        """What ``as_json`` wrote, whatever else is beside it."""
        asked = document.get("membership")
        parts = {part: document[part] for part in PARTS if part in document}
        return cls(from_json(parts), Count.from_json(asked) if asked else None)

    def four(self) -> FourFigures | None:
        """What the gap to retraining is made of; None where one of the four is missing."""
        found = [
            self.figures.get(part, {}).get(side)
            for part, side in (("train", "retain"), ("train", "forget"), ("test", "retain"))
        ]
        retain, forget, test = found
        if retain is None or forget is None or test is None or self.membership is None:
            return None
        return FourFigures(retain.total, forget.total, test.total, self.membership)


def assess(model: Network, prepared: Prepared, on_step: OnStep = ignore, parts: Sequence[str] = PARTS) -> Assessment:
    """Measure the model as it stands on the parts, and ask membership inference where that can be asked."""
    return Assessment(measure(model, prepared.sides, parts, on_step), membership(model, prepared, on_step))


def single_parts(model: Network, prepared: Prepared) -> Sequence[str]:
    """Where one model of the many is measured: on test, where its scale was chosen, and where it is compared."""
    on_train = prepared.forget_search_part == "train" or prepared.forget.samples("test") is None
    if asks_membership(model, prepared) or on_train:
        return PARTS
    return PARTS[1:]


def asks_membership(model: Network, prepared: Prepared) -> bool:
    """Membership inference is the classifiers' protocol; it needs the retain set's training and test samples."""
    retain = prepared.retain
    return model.is_classifier and retain.samples("train") is not None and retain.samples("test") is not None


def membership(model: Network, prepared: Prepared, on_step: OnStep = ignore) -> Count | None:
    """How many of the forgotten training samples are taken for samples that the model never saw.

    Members are training samples of the retain set, non-members its test samples, equally many of each.
    """
    if not asks_membership(model, prepared):
        return None
    train, test = prepared.retain.parts["train"], prepared.retain.parts["test"]
    members, others = equal_sides(train.ids, test.ids)
    asked = prepared.forget.parts["train"]
    return membership_inference(
        _confidences(model, train, members, prepared.retain.head, on_step),
        _confidences(model, test, others, prepared.retain.head, on_step),
        _confidences(model, asked, range(len(asked.ids)), prepared.forget.head, on_step),
    )


@torch.no_grad()
def _confidences(
    model: Network, samples: Decoded, places: Sequence[int], head: torch.Tensor, on_step: OnStep, batch: int = 256
) -> Values:
    """The true label's probability of the chosen samples, float64 [len(places)]."""
    model.module.eval()
    found = []
    for chosen in torch.split(torch.tensor(places), batch):
        logits = model.logits(samples.images[chosen], head)
        found.append(true_label_confidence(logits, samples.labels[chosen].to(model.device)).cpu())
        on_step(len(found), -(-len(places) // batch), None)
    values: Values = torch.cat(found).numpy().astype(np.float64)
    return values
