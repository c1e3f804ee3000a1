"""Merging weight files: ``negmerge merge``. Streamed, so memory does not grow with the models.

All files are read side by side, one piece of one tensor at a time; each piece is folded, merged, applied and
written by the same functions as a job's (``accumulators``, ``methods``, ``vectors.apply_scale``), so the bits are
the same too.
"""

import hashlib
import math
import os
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch
from torch import Tensor

from negmerge.checkpoints.files import atomic_path, check_output, writing
from negmerge.checkpoints.streams import ModelReader, check_same, in_order
from negmerge.checkpoints.tensors import Array, float32, is_buffer, is_finite, raw_bytes
from negmerge.errors import MergeError, TensorError
from negmerge.formats.headers import encode_header
from negmerge.memory import keep_freed_memory
from negmerge.merging.accumulators import CHUNK, State, chunks, empty, fold, trims
from negmerge.merging.audit import Look, Tally, doubts
from negmerge.merging.methods import Balanced, NegMerge, Relaxed, Summed, summed
from negmerge.merging.partial import SINGLE, consensus_of
from negmerge.merging.rounding import digits
from negmerge.merging.trimming import kept, kth_magnitude
from negmerge.merging.twins import Twins
from negmerge.merging.vectors import LIMIT, apply_scale, reaches_limit
from negmerge.progress import OnStep, Stages, ignore
from negmerge.spec.consensus import Consensus
from negmerge.spec.job import Merge
from negmerge.spec.sweep import MAX_POINTS

Piece = tuple[str, slice]
"""A tensor's name and a span of its elements."""

PIECE = 2 * CHUNK
"""Elements merged at once: numpy's calls are then so long that threads seldom wait for each other in between."""

_AHEAD = 8  # pieces that may wait to be written: enough to keep all threads busy
_BURST_BYTES = 8 << 20  # what is sent to disk at once


@dataclass(frozen=True)
class FileMerge:
    """What a merge of files gave.

    digest: ``sha256:…`` of the file. consensus: for negmerge, how far the models agreed. rounded_away: share of Σ|λτ*|
    that the rounding to θ₀'s types swallowed. warnings: what a person must know before using the file.
    """

    digest: str
    consensus: Consensus | None
    rounded_away: float
    warnings: tuple[str, ...]


@dataclass(frozen=True)
class TensorSummary:
    """One tensor of a file; ``nonzero`` is the share of elements that are not 0, ``norm`` the Euclidean norm."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    nonzero: float
    norm: float


def merge_files(
    base: Path | str,
    tuned: Sequence[Path | str],
    out: Path | str,
    *,
    method: str = "negmerge",
    scale: float = 1.0,
    agreement: float = 1.0,
    density: float = 0.2,
    strict: bool = False,
    on_step: OnStep = ignore,
) -> FileMerge:
    """Write θ₀ − λ·τ* of the fine-tuned models as one safetensors file, with θ₀'s types and metadata.

    One pass over all files (ties: four), in constant memory; the process keeps what it frees from then on
    (``negmerge.memory``), so that a piece's arrays take the room of the last piece's. Buffers are copied from the base
    model. ``out`` is written atomically, and not touched where anything is wrong: TensorError names a tensor that is
    missing, extra, misshapen, not finite or has a |τ| ≥ 8; CheckpointError a file that cannot be read or written;
    MergeError a method, an option or a number of models that cannot be merged, and with ``strict`` whatever would be a
    warning (``merging.audit``).
    """
    out = Path(out)
    _check_options(method, len(tuned), scale, agreement, density)
    if method == Relaxed.name:
        raise MergeError("relaxed is negmerge with an agreement below 1: give that")
    options = Merge(agreement=agreement, density=density)
    merging = None if method == SINGLE else summed(method, options)
    check_output(out)
    with ExitStack() as stack:
        models = [stack.enter_context(ModelReader(Path(path))) for path in (base, *tuned)]
        for model in models[1:]:
            check_same(models[0], model)
        keep_freed_memory()
        pool = stack.enter_context(ThreadPoolExecutor(os.cpu_count()))
        merge = _Merge(models[0], models[1:], merging, scale, strict)
        size = len(merge.pieces())
        trimmed, balanced = merging is not None and trims(merging.components), isinstance(merging, Balanced)
        stages = Stages(on_step, (1 + 2 * trimmed + balanced) * size)
        if trimmed:
            merge.find_floors(pool, density, stages.next(2 * size))
        if balanced:
            merge.settle(pool, stages.next(size))
        return merge.write(out, pool, stages.next(size))


def inspect_file(path: Path) -> list[TensorSummary]:
    """Each tensor's type, shape, share of non-zeros and norm, in the file's order; streamed.

    Raises CheckpointError and TensorError as reading its header does.
    """
    summaries = []
    with ModelReader(path) as model:
        for name, shape in model.shapes.items():
            nonzero, square, size = 0, 0.0, model.sizes[name]
            for span in chunks(size):
                values = model.read(name, span).to(torch.float64).numpy()
                nonzero += int(np.count_nonzero(values))
                square += float(values @ values)
            share = nonzero / max(size, 1)
            summaries.append(TensorSummary(name, model.stored(name), shape, share, math.sqrt(square)))
    return summaries


class _Merge:
    """One merge of open files. merging: None where the only fine-tuned model's τ is τ* (task arithmetic)."""

    def __init__(
        self, base: ModelReader, tuned: Sequence[ModelReader], merging: Summed | None, scale: float, strict: bool
    ) -> None:
        self._base = base
        self._tuned = tuned
        self._merging = merging
        self._scale = scale
        self._strict = strict
        self._twins = Twins(1 + len(tuned))
        self._floors = [np.float32(0)] * len(tuned)
        self._sizes = {name: size for name, size in base.sizes.items() if not is_buffer(name, base.dtype(name))}
        types = {name: (base.stored(name), shape) for name, shape in base.shapes.items()}
        self._start, self._infos = encode_header(types, base.metadata)

    def pieces(self) -> list[Piece]:
        """All of the output, in the order of its bytes."""
        sizes = self._base.sizes
        return [(name, span) for name in self._infos for span in chunks(sizes[name], PIECE)]

    def find_floors(self, pool: Executor, density: float, on_step: OnStep) -> None:
        """What trimming must know of each whole model: the least magnitude that it keeps there."""
        keep, moving = kept(density, sum(self._sizes.values())), self._moving()

        def floor(tuned: ModelReader) -> np.float32:
            def read() -> Iterator[Array]:
                return (self._tau(tuned, piece, self._base.read_float32(*piece)) for piece in moving)

            return kth_magnitude(read, keep)

        floors: list[np.float32] = []
        for value in in_order(pool, floor, self._tuned, _AHEAD):
            floors.append(value)
            on_step(len(floors), len(self._tuned), None)
        self._floors = floors

    def settle(self, pool: Executor, on_step: OnStep) -> None:
        """What a balanced method must know of the whole merge."""
        merging, moving, total = self._merging, self._moving(), 0
        assert isinstance(merging, Balanced)

        def balance(piece: Piece) -> int:
            return merging.balance(self._state(merging, piece, self._base.read_float32(*piece)))

        for step, share in enumerate(in_order(pool, balance, moving, _AHEAD), start=1):
            total += share
            on_step(step, len(moving), None)
        self._merging = merging.settled(total)

    def _moving(self) -> list[Piece]:
        """The pieces of what takes part."""
        return [(name, span) for name, span in self.pieces() if name in self._sizes]

    def write(self, out: Path, pool: Executor, on_step: OnStep) -> FileMerge:
        """Merge piece by piece into ``out``."""
        pieces = self.pieces()
        agreed = dict.fromkeys(self._sizes, 0)
        state = hashlib.sha256(self._start)
        total, sent = Tally(), 0
        with atomic_path(out) as temporary, temporary.open("wb") as file:
            with writing(out):
                file.write(self._start)
            finished = in_order(pool, self._merged, pieces, _AHEAD)
            for step, ((name, _), merged) in enumerate(zip(pieces, finished, strict=True), start=1):
                data = raw_bytes(merged.theta)
                with writing(out):
                    file.write(data)
                    sent = _send_to_disk(file, sent)
                state.update(data)
                if name in agreed:
                    agreed[name] += merged.agreeing
                    total += merged.tally
                    self._twins.compare(merged.keys)
                on_step(step, len(pieces), None)
            warnings = self._doubts(total)
            if warnings and self._strict:
                raise MergeError(
                    f"{'; '.join(warnings)}. Nothing was written: leave out strict to write it all the same"
                )
        consensus = None
        if isinstance(self._merging, NegMerge):
            consensus = consensus_of(agreed, self._sizes, self._merging.needed(len(self._tuned)))
        rounded_away = total.rounded_away if self._scale else 0.0
        return FileMerge(f"sha256:{state.hexdigest()}", consensus, rounded_away, tuple(warnings))

    def _doubts(self, total: Tally) -> list[str]:
        """What the merge must not be silent about."""
        names = [str(model.path) for model in (self._base, *self._tuned)]
        return doubts(
            total,
            self._scale,
            self._twins.found() if self._sizes else [],
            names,
            self._narrowest([self._base]),
            self._narrowest(self._tuned),
        )

    def _narrowest(self, models: Sequence[ModelReader]) -> str:
        """The type of the fewest digits among the tensors that take part, in the format's words."""
        types = {model.stored(name): digits(model.dtype(name)) for model in models for name in self._sizes}
        return min(types, key=lambda stored: types[stored], default="")

    def _merged(self, piece: Piece) -> "_Merged":
        """A piece of θ*, and what must be told of it."""
        name, span = piece
        theta_0 = self._base.read_finite(name, span)
        if name not in self._sizes:
            for tuned in self._tuned:
                tuned.read_finite(name, span)
            return _Merged(theta_0)
        agreeing = 0
        values = float32(theta_0)
        look = Look(values, theta_0.dtype, self._twins)
        if self._merging is None:
            merged = self._tau(self._tuned[0], piece, values, look)
        else:
            state = self._state(self._merging, piece, values, look)
            if isinstance(self._merging, NegMerge):
                consensus = self._merging.consensus(state, len(self._tuned))
                agreeing = int(np.count_nonzero(consensus))
                merged = self._merging.kept(state, consensus, len(self._tuned))
            else:
                merged = self._merging.merge(state, len(self._tuned))
        theta = apply_scale(theta_0, torch.from_numpy(merged), self._scale)
        if not is_finite(theta):
            raise TensorError(
                name, f"leaves the range of {self._base.stored(name)} at scale {self._scale:g}; use a smaller one"
            )
        return _Merged(theta, agreeing, look.tally(theta_0, theta, merged), look.keys)

    def _state(self, merging: Summed, piece: Piece, theta_0: Array, look: Look | None = None) -> State:
        """All models' τ on a piece, folded."""
        state = empty(merging.components, theta_0.size, len(self._tuned))
        for tuned, floor in zip(self._tuned, self._floors, strict=True):
            fold(state, self._tau(tuned, piece, theta_0, look), floor)
        return state

    def _tau(self, tuned: ModelReader, piece: Piece, theta_0: Array, look: Look | None = None) -> Array:
        """One model's τ on a piece, checked."""
        tau = tuned.read_float32(*piece)
        if look:
            look.at_model(tau, tuned.dtype(piece[0]))
        tau -= theta_0
        if reaches_limit(tau):
            raise TensorError(piece[0], f"is not finite in {tuned.path}, or is {LIMIT:g} or more from the base model")
        if look:
            look.at_vector(tau)
        return tau


@dataclass(frozen=True)
class _Merged:
    """A piece of θ*; of what takes part, also how many elements are in consensus (negmerge) and what a look found."""

    theta: Tensor
    agreeing: int = 0
    tally: Tally = field(default_factory=Tally)
    keys: Mapping[int, int] = field(default_factory=dict)


def _send_to_disk(file: BinaryIO, start: int) -> int:
    """Have the system write to disk what follows ``start``, once it is much: the last sync then has little left.

    Returns up to where it was told to. Pages stay in its cache, since none is on disk yet (posix_fadvise(2)).
    """
    end = file.tell()
    if end - start < _BURST_BYTES:
        return start
    os.posix_fadvise(file.fileno(), start, end - start, os.POSIX_FADV_DONTNEED)
    return end


def _check_options(method: str, models: int, scale: float, agreement: float, density: float) -> None:
    if models == 0:
        raise MergeError("there is no fine-tuned model to merge: name at least one")
    if models > MAX_POINTS:
        raise MergeError(f"{models} models are more than the {MAX_POINTS} that can be added exactly")
    if method == SINGLE and models != 1:
        raise MergeError(f"{SINGLE} takes one fine-tuned model, not {models}: choose the best, or merge them")
    if not math.isfinite(scale):
        raise MergeError(f"the scale is {scale}: give a finite number")
    for name, share in (("agreement", agreement), ("density", density)):
        if not 0 < share <= 1:
            raise MergeError(f"{name} is {share}: give a share above 0 and at most 1")
