"""Images that both sets hold: forgotten on one side, kept and measured on the other."""

import hashlib
from collections.abc import Iterator

from negmerge.evaluation.prepared import Side
from negmerge.progress import OnStep, ignore
from negmerge.spec.result import Duplicate, Duplicates

SHOWN = 5
POLLED = 256  # images between two calls of on_step: a fraction of a second


def duplicates(forget: Side, retain: Side, on_step: OnStep = ignore) -> Duplicates:
    """Kept images that are pixel for pixel a forgotten one, after they were brought to the model's size.

    At most five examples are named, in the order of the parts and of the ids. Two names of one
    archive, or a copy of a picture under another name, are found in this way; a picture that was saved again with loss
    is not. A retain set's train part counts only where it was decoded.
    Raises what on_step raises.
    """
    known = {pixels: sample for sample, pixels in reversed(list(_images(forget, on_step)))}
    found = [(known[pixels], sample) for sample, pixels in _images(retain, on_step) if pixels in known]
    examples = [Duplicate(forget=forgotten, retain=kept) for forgotten, kept in found[:SHOWN]]
    return Duplicates(count=len(found), examples=examples)


def _images(side: Side, on_step: OnStep) -> Iterator[tuple[str, bytes]]:
    """Every decoded sample's id, with what stands for its pixels."""
    for part in side.parts.values():
        for place, (sample, image) in enumerate(zip(part.ids, part.images.numpy(), strict=True)):
            if place % POLLED == 0:
                on_step(place, len(part.ids), None)
            yield sample, hashlib.sha256(image).digest()
