"""The least |τ| that trimming keeps of each model in a merge of files: exact, in one reading of the models (TIES).

A sample of all pieces says between which two magnitudes the k-th largest lies; one pass counts what is above them and
keeps what is between. Where the sample was wrong, ``trimming`` finds it in two more passes.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import Executor

import numpy as np

from negmerge.checkpoints.streams import in_order
from negmerge.checkpoints.tensors import Array
from negmerge.merging.pieces import Piece, Pieces
from negmerge.merging.trimming import kept, kth_magnitude
from negmerge.progress import OnStep

_SAMPLED_PIECES, _SAMPLED = 2048, 512
"""Of so many pieces, spread evenly, so many elements each are looked at first."""
_MARGIN = 0.005
"""Of all elements, on either side of the sample's k-th: several times what the sample is wrong by."""
_FEW = 1 << 20
"""Elements of a model that are not worth a sample."""
_BEYOND = 0x7F800000
"""The pattern of infinity: above every magnitude."""
_BETWEEN_BYTES = 1 << 27
"""What may be kept of all models that are read side by side."""


def find_floors(pieces: Pieces, places: Sequence[Piece], density: float, pool: Executor, on_step: OnStep) -> Array:
    """For each fine-tuned model the k-th largest |τ| over all ``places``; float32 [N], k as ``trimming.kept`` has it.

    Raises TensorError as ``Pieces.tau``.
    """
    size, models = sum(span.stop - span.start for _, span in places), len(pieces.tuned)
    k = kept(density, size)
    floors: list[np.float32 | None] = [None] * models
    if size >= _FEW:
        together = max(1, int(_BETWEEN_BYTES / (8 * _MARGIN * size)))
        for first in range(0, models, together):
            group = range(first, min(first + together, models))
            floors[first : group.stop] = _select(pieces, group, places, k, pool)
            on_step(group.stop, models, None)

    def exact(model: int) -> np.float32:
        found = floors[model]
        return _by_histograms(pieces, model, places, k) if found is None else found

    settled = []
    for floor in in_order(pool, exact, range(models)):
        settled.append(floor)
        on_step(len(settled), models, None)
    return np.array(settled, np.float32)


def _by_histograms(pieces: Pieces, model: int, places: Sequence[Piece], k: int) -> np.float32:
    def read() -> Iterator[Array]:
        for piece in places:
            yield pieces.tau(pieces.tuned[model], piece, pieces.base.read_float32(*piece))

    return kth_magnitude(read, k)


def _select(
    pieces: Pieces, group: Sequence[int], places: Sequence[Piece], k: int, pool: Executor
) -> list[np.float32 | None]:
    """The k-th of each model of the group; None where the sample was wrong."""
    brackets = list(in_order(pool, lambda model: _bracket(pieces, model, places, k), group))
    low, high = np.transpose(np.array(brackets, np.uint32))
    above = np.zeros(len(group), np.int64)
    between: list[list[Array]] = [[] for _ in group]
    for more, found in in_order(pool, lambda piece: pieces.selected(piece, group, low, high), places):
        above += more
        for kept_so_far, patterns in zip(between, found, strict=True):
            kept_so_far.append(patterns)
    return [_kth(np.concatenate(found), k - int(more)) for found, more in zip(between, above, strict=True)]


def _kth(patterns: Array, k: int) -> np.float32 | None:
    """The k-th largest of the bit patterns as a float32, if it is among them."""
    if not 0 < k <= len(patterns):
        return None
    place = len(patterns) - k
    return np.float32(np.partition(patterns, place)[place : place + 1].view(np.float32)[0])


def _bracket(pieces: Pieces, model: int, places: Sequence[Piece], k: int) -> tuple[int, int]:
    """Bit patterns between which a model's k-th |τ| lies, if the sample is right; the second is beyond."""
    size = sum(span.stop - span.start for _, span in places)
    looked_at = places[:: -(-len(places) // _SAMPLED_PIECES)]
    spans = [(name, slice(span.start, min(span.start + _SAMPLED, span.stop))) for name, span in looked_at]
    taus = [pieces.tau(pieces.tuned[model], piece, pieces.base.read_float32(*piece)) for piece in spans]
    patterns = np.abs(np.concatenate(taus)).view(np.uint32)
    margin = round(_MARGIN * len(patterns))
    middle = len(patterns) - round(k / size * len(patterns))
    first, last = max(middle - margin, 0), min(middle + margin, len(patterns) - 1)
    ordered = np.partition(patterns, [first, last])
    low = int(ordered[first]) if middle > margin else 0
    high = int(ordered[last]) + 1 if middle + margin < len(patterns) else _BEYOND
    return low, high
