"""Pieces of a merge by the loops of ``kernels``: the bits and the tallies of ``pieces``, which stays for all else."""

import threading
from collections.abc import Mapping, Sequence

import numpy as np

from negmerge.checkpoints.streams import ModelReader
from negmerge.checkpoints.tensors import Array
from negmerge.formats.headers import ITEM_BYTES
from negmerge.merging import kernels
from negmerge.merging.audit import Tally, noise_at
from negmerge.merging.methods import MagMax, NegMerge, Relaxed, Summed, Ties, Uniform
from negmerge.merging.pieces import Merged, Piece, Pieces
from negmerge.merging.rounding import ALL_DIGITS, digits_of
from negmerge.merging.twins import BASE, Twins

_KINDS = {"F32": kernels.F32, "BF16": kernels.BF16, "F16": kernels.F16}
_LOOPS: Mapping[type[Summed] | None, int] = {
    NegMerge: kernels.NEGMERGE,
    Relaxed: kernels.NEGMERGE,
    Uniform: kernels.UNIFORM,
    MagMax: kernels.MAGMAX,
    Ties: kernels.TIES,
    None: kernels.MAGMAX,
}
"""The loop of each method; None: one model's τ is τ*, which is what MagMax makes of one."""

_MINUS_ZERO = 0x8000
"""Of a 16-bit type."""
_LAST_DIGITS = np.uint32(0xFF)
"""Eight of float32's, which are not all 0 in any model that has not been rounded."""
_CACHED_BYTES = 5 << 19
"""Of a piece of all models: about what a core's second cache holds."""
_SHORTEST = 1 << 13
"""Elements of a piece; of so few, Python takes as long as the loops."""


class CompiledPieces(Pieces):
    """Pieces that stay in a core's cache from being read to being merged."""

    def __init__(
        self, base: ModelReader, tuned: Sequence[ModelReader], merging: Summed | None, scale: float, twins: Twins
    ) -> None:
        super().__init__(base, tuned, merging, scale, twins)
        while self.longest > _SHORTEST and 4 * self.longest * (1 + len(tuned)) > _CACHED_BYTES:
            self.longest //= 2
        self._room = threading.local()
        self._types = {name: self._type_of(name) for name in self.sizes}

    def merged(self, piece: Piece) -> Merged:
        name, span = piece
        size, stored = span.stop - span.start, self._types.get(name)
        loop = _LOOPS.get(None if self.merging is None else type(self.merging))
        if loop is None or stored is None:
            return super().merged(piece)
        room = self._read(piece, range(len(self.tuned)))
        out = np.empty(size * ITEM_BYTES[stored], np.uint8)
        noisy = stored != "F32"
        noises = self._merge(loop, room, stored, size, noisy, out)
        if noises is None and not noisy:
            noises = self._merge(loop, room, stored, size, True, out)
        if noises is None or room.tallies[kernels.REFUSED]:
            return super().merged(piece)
        return _told(room, out, noises, self._keys(room, ITEM_BYTES[stored], size))

    def selected(self, piece: Piece, group: Sequence[int], low: Array, high: Array) -> tuple[Array, list[Array]]:
        size = piece[1].stop - piece[1].start
        above, lengths = np.zeros((2, len(group)), np.int64)
        found = np.empty((len(group), size), np.uint32)
        if stored := self._types.get(piece[0]):
            rows, kind = self._read(piece, group).stored[: 1 + len(group)], _KINDS[stored]
            if not kernels.select_piece(rows, kind, size, low, high, found, lengths, above):
                return above, [row[:length].copy() for row, length in zip(found, lengths, strict=True)]
        return super().selected(piece, group, low, high)

    def _type_of(self, name: str) -> str | None:
        """The type that all models have a tensor in, if there are loops for it."""
        stored = self.base.stored(name)
        alike = all(tuned.stored(name) == stored for tuned in self.tuned)
        return stored if alike and stored in _KINDS else None

    def _read(self, piece: Piece, group: Sequence[int]) -> "_Room":
        """θ₀'s piece and those of a group of models, in this thread's room."""
        if not hasattr(self._room, "own"):
            self._room.own = _Room(1 + len(self.tuned), self.longest)
        room: _Room = self._room.own
        for row, model in zip(room.rows, (self.base, *(self.tuned[i] for i in group)), strict=False):
            model.read_into(*piece, row)
        return room

    def _merge(
        self, loop: int, room: "_Room", stored: str, size: int, noisy: bool, out: Array
    ) -> tuple[float, float, float] | None:
        """Run the loop; returns what rounding may have done to τ* (``_noises``)."""
        needed = self.merging.needed(len(self.tuned)) if isinstance(self.merging, NegMerge) else 0
        majority = self.merging.majority if isinstance(self.merging, Ties) else 0
        kernels.merge_piece(
            loop,
            room.stored,
            _KINDS[stored],
            size,
            needed,
            self.floors,
            majority,
            np.float32(self.scale),
            noisy,
            out,
            room.every,
            room.several,
            room.tallies,
        )
        return _noises(room, noisy)

    def _keys(self, room: "_Room", width: int, size: int) -> dict[int, int]:
        """For each model that had its like so far, the first one that it is equal to here."""
        keys = {BASE: BASE}
        if not self._twins.found():
            return keys
        if width == ITEM_BYTES["F32"]:
            values = [row[: size * width].view(np.float32) for row in room.stored]
        else:  # numpy has no bfloat16: the bits, with one zero
            bits = [row[: size * width].view(np.uint16) for row in room.stored]
            values = [np.where(one == _MINUS_ZERO, np.uint16(0), one) for one in bits]
        for group in self._twins.found():
            seen: list[int] = []
            for model in group:
                keys[model] = next((one for one in seen if np.array_equal(values[one], values[model])), model)
                if keys[model] == model:
                    seen.append(model)
        return keys


class _Room:
    """What one thread merges in, from piece to piece: as ``kernels.merge_piece`` has it. rows: those of ``stored``."""

    def __init__(self, models: int, size: int) -> None:
        self.stored = np.empty((models, 4 * size), np.uint8)
        self.rows = [row.data for row in self.stored]
        self.every = np.empty(models, np.uint32)
        self.several = np.empty(models, np.bool_)
        self.tallies = np.empty(kernels.TALLIES, np.float64)


def _noises(room: _Room, noisy: bool) -> tuple[float, float, float] | None:
    """What rounding the fine-tuned models, the base model, or both, may have done to τ*, as ``audit.Look`` has it.

    None where the loop cannot tell: models of different digits among each other, or it was not ``noisy``.
    """
    if (room.every & _LAST_DIGITS).all():  # what else is said below, of most models at once
        return 0.0, 0.0, 0.0
    kept, *tuned = (
        digits_of(int(every), bool(several)) for every, several in zip(room.every, room.several, strict=True)
    )
    if {kept, *tuned} == {ALL_DIGITS}:
        return 0.0, 0.0, 0.0
    if not noisy or len(set(tuned)) > 1:
        return None
    of_tuned, of_base = room.tallies[kernels.TUNED_NOISE], room.tallies[kernels.BASE_NOISE]
    if tuned[0] < kept:
        return noise_at(tuned[0], of_tuned), 0.0, 0.0
    if kept < tuned[0]:
        return 0.0, noise_at(kept, of_base), 0.0
    return 0.0, 0.0, noise_at(kept, of_tuned + of_base)


def _told(room: _Room, out: Array, noises: tuple[float, float, float], keys: Mapping[int, int]) -> Merged:
    found = room.tallies.tolist()
    size, lost, square = found[kernels.SIZE : kernels.SQUARE + 1]
    tally = Tally(int(found[kernels.CHANGED]), size, lost, square, *noises)
    agreeing, undecided, balance = (int(found[k]) for k in (kernels.AGREEING, kernels.UNDECIDED, kernels.BALANCE))
    return Merged(out.data, agreeing, tally, keys, undecided, balance)
