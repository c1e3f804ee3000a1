"""One piece of a merge of files: the same elements of all models become θ*'s, with what must be told of them.

``Pieces`` does so in numpy, by the functions of a job's merge; it is the reference, for any method and type, and says
what is wrong. ``compiled.CompiledPieces`` gives the same bits for most in a fraction of the time.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from negmerge.checkpoints.streams import ModelReader
from negmerge.checkpoints.tensors import Array, float32, is_buffer, is_finite, raw_bytes
from negmerge.errors import TensorError
from negmerge.merging.accumulators import CHUNK, State, empty, fold
from negmerge.merging.audit import Look, Tally
from negmerge.merging.methods import Balanced, NegMerge, Summed
from negmerge.merging.twins import Twins
from negmerge.merging.vectors import LIMIT, apply_scale, reaches_limit

Piece = tuple[str, slice]
"""A tensor's name and a span of its elements."""

_LONGEST = 2 * CHUNK
"""Elements; numpy's calls are then so long that threads seldom wait for each other in between."""


@dataclass(frozen=True)
class Merged:
    """A piece of θ*; of what takes part, also what a merge of files must tell.

    data: its elements in θ₀'s type, row-major, little-endian. agreeing: elements in consensus (negmerge). tally, keys:
    what a look found (``audit``). undecided: elements that would be others if a balanced method knew the whole model's
    balance; balance: the piece's part of that.
    """

    data: memoryview
    agreeing: int = 0
    tally: Tally = field(default_factory=Tally)
    keys: Mapping[int, int] = field(default_factory=dict)
    undecided: int = 0
    balance: int = 0


class Pieces:
    """The models of one merge. merging: None where the only fine-tuned model's τ is τ* (task arithmetic).

    sizes: elements of each tensor that takes part. floors: the least |τ| that trimming keeps of each model, to be set
    before a piece is merged by a method that trims. longest: elements that a piece should have at most.
    """

    def __init__(
        self, base: ModelReader, tuned: Sequence[ModelReader], merging: Summed | None, scale: float, twins: Twins
    ) -> None:
        self.base, self.tuned, self.merging, self.scale = base, tuned, merging, scale
        self.sizes = {name: size for name, size in base.sizes.items() if not is_buffer(name, base.dtype(name))}
        self.floors = np.zeros(len(tuned), np.float32)
        self.longest = _LONGEST
        self._twins = twins

    def merged(self, piece: Piece) -> Merged:
        """A piece of θ*. Raises TensorError where a value is not finite, a |τ| is 8 or more, or θ* leaves its type."""
        name, span = piece
        theta_0 = self.base.read_finite(name, span)
        if name not in self.sizes:
            for tuned in self.tuned:
                tuned.read_finite(name, span)
            return Merged(raw_bytes(theta_0))
        agreeing = undecided = balance = 0
        values = float32(theta_0)
        look = Look(values, theta_0.dtype, self._twins)
        merging, models = self.merging, len(self.tuned)
        if merging is None:
            merged = self.tau(self.tuned[0], piece, values, look)
        else:
            state = self._state(merging, piece, values, look)
            if isinstance(merging, NegMerge):
                consensus = merging.consensus(state, models)
                agreeing = int(np.count_nonzero(consensus))
                merged = merging.kept(state, consensus, models)
            else:
                merged = merging.merge(state, models)
            if isinstance(merging, Balanced):
                undecided, balance = merging.undecided(state), merging.balance(state)
        theta = apply_scale(theta_0, torch.from_numpy(merged), self.scale)
        if not is_finite(theta):
            stored = self.base.stored(name)
            raise TensorError(name, f"leaves the range of {stored} at scale {self.scale:g}; use a smaller one")
        tally = look.tally(theta_0, theta, merged)
        return Merged(raw_bytes(theta), agreeing, tally, look.keys, undecided, balance)

    def selected(self, piece: Piece, group: Sequence[int], low: Array, high: Array) -> tuple[Array, list[Array]]:
        """How many |τ| of a piece are ``high`` or more, and the bit patterns of those from ``low`` on to below it.

        group: models, counted from 0. low, high: uint32, and both answers: for each of them. Raises TensorError as
        ``tau``.
        """
        theta_0 = self.base.read_float32(*piece)
        taus = [self.tau(self.tuned[model], piece, theta_0) for model in group]
        patterns = [np.abs(tau).view(np.uint32) for tau in taus]
        above = np.array([np.count_nonzero(one >= most) for one, most in zip(patterns, high, strict=True)])
        inside = [(least <= one) & (one < most) for one, least, most in zip(patterns, low, high, strict=True)]
        return above, [one[within] for one, within in zip(patterns, inside, strict=True)]

    def _state(self, merging: Summed, piece: Piece, theta_0: Array, look: Look) -> State:
        """All models' τ on a piece, folded."""
        state = empty(merging.components, theta_0.size, len(self.tuned))
        for tuned, floor in zip(self.tuned, self.floors, strict=True):
            fold(state, self.tau(tuned, piece, theta_0, look), floor)
        return state

    def tau(self, tuned: ModelReader, piece: Piece, theta_0: Array, look: Look | None = None) -> Array:
        """One model's τ on a piece, float32; theta_0: θ₀'s, float32. Raises TensorError, as ``merged``."""
        tau = tuned.read_float32(*piece)
        if look:
            look.at_model(tau, tuned.dtype(piece[0]))
        tau -= theta_0
        if reaches_limit(tau):
            raise TensorError(piece[0], f"is not finite in {tuned.path}, or is {LIMIT:g} or more from the base model")
        if look:
            look.at_vector(tau)
        return tau
