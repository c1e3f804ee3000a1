"""Images that are in both sets: what is to be forgotten there is kept and measured here."""

import hashlib
from collections.abc import Iterator
from typing import Any

from negmerge.prepared import Side

SHOWN = 5


def duplicates(forget: Side, retain: Side) -> dict[str, Any]:
    """Kept images that are pixel for pixel a forgotten one, after they were brought to the model's size.

    ``{"count": n, "examples": [{"forget": id, "retain": id}, …]}`` with at most five examples, in the order of the
    parts and of the ids. Two names of one archive, or a copy of a picture under another name, are found in this way;
    a picture that was saved again with loss is not. A retain set's train part counts only where it was decoded.
    """
    known = {pixels: sample for sample, pixels in reversed(list(_images(forget)))}
    found = [(known[pixels], sample) for sample, pixels in _images(retain) if pixels in known]
    examples = [{"forget": forgotten, "retain": kept} for forgotten, kept in found[:SHOWN]]
    return {"count": len(found), "examples": examples}


def _images(side: Side) -> Iterator[tuple[str, bytes]]:
    """Every decoded sample's id, with what stands for its pixels."""
    for part in side.parts.values():
        for sample, image in zip(part.ids, part.images.numpy(), strict=True):
            yield sample, hashlib.sha256(image).digest()
