"""Which data a result is over: a data set's identity, small enough to be printed beside the figures. No torch."""

import hashlib
from collections import Counter
from collections.abc import Iterable

from negmerge.data.archives import Index
from negmerge.spec.figures import PARTS
from negmerge.spec.references import DatasetRef
from negmerge.spec.result import DataIdentity
from negmerge.spec.sources import PublishedDataset, called, last_part


def identity(ref: DatasetRef, index: Index) -> DataIdentity:
    """What tells two variants of a data set apart; it is the same on every machine, whatever lies around it.

    name: the published name, the ``ds_…`` id, or the last part of the URI; root: the last folder of the root, None
    where there is none; classes, samples: how many there are, samples for each part that the data set itself says
    (``unsaid``: the parts are cut from these); ids: SHA-256 over the sorted ids, a line each, in UTF-8; left_out:
    the ids of images that could not be read.
    """
    samples = Counter(sample.part or "unsaid" for sample in index.samples)
    left_out = {"left_out": list(index.left_out)} if index.left_out else {}
    return DataIdentity(
        **left_out,
        name=called(ref.source),
        root=last_part(ref.source.root) if isinstance(ref.source, PublishedDataset) else None,
        classes=len(index.classes),
        samples={part: samples[part] for part in (*PARTS, "unsaid") if samples[part]},
        ids=f"sha256:{ids_digest(sample.id for sample in index.samples)}",
    )


def ids_digest(ids: Iterable[str]) -> str:
    """SHA-256, in hexadecimal, of the ids in the order of their bytes, each with a line feed behind it.

    So ``LC_ALL=C sort FILE | sha256sum`` gives it for a file with an id in each line.
    """
    digest = hashlib.sha256()
    for line in sorted(f"{sample_id}\n".encode() for sample_id in ids):
        digest.update(line)
    return digest.hexdigest()
