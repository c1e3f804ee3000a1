"""Single samples that a person can look at: what the model takes them for, before and after."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from negmerge.evaluation.prepared import Prepared
from negmerge.models.network import Network
from negmerge.spec.examples import Example, Examples
from negmerge.spec.figures import Part, SideName

SHOWN = 24
"""Most samples of a side."""


@dataclass(frozen=True)
class Chosen:
    """Which samples are shown: of each side the part that it is reported on, and places in that part, in order."""

    parts: Mapping[SideName, Part]
    places: Mapping[SideName, Sequence[int]]


def choose(prepared: Prepared) -> Chosen:
    """Samples spread evenly over each side's part, so that every class has some; the same for the same job."""
    parts: dict[SideName, Part] = {"retain": "test"}
    parts["forget"] = "test" if prepared.forget.samples("test") else "train"
    places = {}
    for side, part in parts.items():
        samples = prepared.sides[side].samples(part)
        count = 0 if samples is None else len(samples.ids)
        shown = min(SHOWN, count)
        places[side] = [i * count // shown for i in range(shown)]
    return Chosen(parts, places)


@torch.no_grad()
def taken_for(model: Network, prepared: Prepared, chosen: Chosen) -> dict[SideName, list[str]]:
    """What the model as it stands takes the samples for, by class name; ties go to the first class."""
    model.module.eval()
    found: dict[SideName, list[str]] = {}
    for side, places in chosen.places.items():
        kept = prepared.sides[side]
        if places:
            images = kept.parts[chosen.parts[side]].images[torch.tensor(places)]
            answers = model.logits(images, kept.head).argmax(dim=1).tolist()
            found[side] = [kept.classes[answer] for answer in answers]
    return found


def examples(
    prepared: Prepared, chosen: Chosen, before: Mapping[SideName, list[str]], after: Mapping[SideName, list[str]]
) -> Examples:
    """The chosen samples with both answers."""
    return Examples(
        parts=dict(chosen.parts),
        forget=_side(prepared, chosen, "forget", before, after),
        retain=_side(prepared, chosen, "retain", before, after),
    )


def _side(
    prepared: Prepared,
    chosen: Chosen,
    side: SideName,
    before: Mapping[SideName, list[str]],
    after: Mapping[SideName, list[str]],
) -> list[Example]:
    kept = prepared.sides[side]
    places = chosen.places[side]
    if not places:
        return []
    samples = kept.parts[chosen.parts[side]]
    return [
        Example(id=samples.ids[place], class_name=kept.classes[int(samples.labels[place])], before=old, after=new)
        for place, old, new in zip(places, before[side], after[side], strict=True)
    ]
