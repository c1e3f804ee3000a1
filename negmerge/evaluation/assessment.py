"""What a model still knows: accuracies of both sides on every part, and for classifiers membership inference."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch

from negmerge.decoding.dataset import Decoded
from negmerge.evaluation.figures import Figures, figures_of, recorded
from negmerge.evaluation.gaps import FourFigures
from negmerge.evaluation.membership import Values, equal_sides, membership_inference, true_label_confidence
from negmerge.evaluation.metrics import Count
from negmerge.evaluation.prepared import Prepared, measure
from negmerge.models.network import Network
from negmerge.progress import OnStep, ignore
from negmerge.spec.figures import PARTS, Measured, Part, SideName


@dataclass(frozen=True)
class Assessment:
    """What a model scores. membership: forgotten samples taken for non-members, where that was asked."""

    figures: Figures
    membership: Count | None = None

    def record(self, per_class: bool = True) -> Measured:
        """The assessment as it is written, with the figures of the classes where asked for."""
        record = recorded(self.figures, per_class)
        return record if self.membership is None else record.with_membership(self.membership.record())

    @classmethod
    def of(cls, record: Measured) -> Self:
        """What ``record`` gave, whatever else is beside it."""
        return cls(figures_of(record), None if record.membership is None else Count.of(record.membership))

    def four(self) -> FourFigures | None:
        """What the gap to retraining is made of; None where one of the four is missing."""
        wanted: Sequence[tuple[Part, SideName]] = (("train", "retain"), ("train", "forget"), ("test", "retain"))
        retain, forget, test = (self.figures.get(part, {}).get(side) for part, side in wanted)
        if retain is None or forget is None or test is None or self.membership is None:
            return None
        return FourFigures(retain.total, forget.total, test.total, self.membership)


def assess(model: Network, prepared: Prepared, on_step: OnStep = ignore, parts: Sequence[Part] = PARTS) -> Assessment:
    """Measure the model as it stands on the parts, and ask membership inference where that can be asked."""
    return Assessment(measure(model, prepared.sides, parts, on_step), membership(model, prepared, on_step))


def single_parts(model: Network, prepared: Prepared) -> Sequence[Part]:
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
