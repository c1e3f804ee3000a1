"""Merging weight files: ``negmerge merge``. Streamed, so memory does not grow with the models.

All files are read side by side, one piece of one tensor at a time; each piece is folded, merged, applied and
written by the same functions as a job's (``accumulators``, ``methods``, ``vectors.apply_scale``), so the bits are
the same too.
"""

import hashlib
import math
import os
from collections.abc import Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from negmerge.checkpoints.files import atomic_path, check_output, writing
from negmerge.checkpoints.streams import ModelReader, check_same, in_order
from negmerge.errors import MergeError
from negmerge.formats.headers import encode_header
from negmerge.memory import keep_freed_memory
from negmerge.merging.accumulators import chunks, trims
from negmerge.merging.audit import Tally, doubts
from negmerge.merging.floors import find_floors
from negmerge.merging.methods import Balanced, NegMerge, Relaxed, summed
from negmerge.merging.partial import SINGLE, consensus_of
from negmerge.merging.pieces import Merged, Pieces
from negmerge.merging.rounding import digits
from negmerge.merging.twins import Twins
from negmerge.progress import OnStep, Stages, frozen_at, ignore
from negmerge.spec.consensus import Consensus
from negmerge.spec.job import Merge
from negmerge.spec.sweep import MAX_POINTS

_STEPS = 1000  # in which progress is told
_MUCH = 500_000_000  # float32 elements of all models
_SLOWER = 5  # how many of them numpy merges in the time of one of a 16-bit type
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

    One pass over all files, in constant memory (ties: two, and rarely more); the process keeps what it frees from then
    on (``negmerge.memory``), so that a piece's arrays take the room of the last piece's. Buffers are copied from the
    base model. ``out`` is written atomically, and not touched where anything is wrong: TensorError names a tensor that
    is missing, extra, misshapen, not finite or has a |τ| ≥ 8; CheckpointError a file that cannot be read or written;
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
        twins = Twins(len(models))
        merge = _Merge(_way(models)(models[0], models[1:], merging, scale, twins), twins, strict)
        trimmed = merging is not None and trims(merging.components)
        stages = Stages(on_step, _STEPS * (1 + trimmed))
        if trimmed:
            merge.find_floors(pool, density, stages.next(_STEPS))
        return merge.write(out, pool, stages.next(_STEPS))


def _way(models: Sequence[ModelReader]) -> type[Pieces]:
    """The compiled loops for much, numpy for little: to load the loops takes longer than numpy then does."""
    base = models[0]
    elements = sum(size if base.stored(name) == "F32" else _SLOWER * size for name, size in base.sizes.items())
    if elements * len(models) < _MUCH:
        return Pieces
    from negmerge.merging.compiled import CompiledPieces  # here, because numba takes long to import

    return CompiledPieces


class _Merge:
    """One merge of open files."""

    def __init__(self, pieces: Pieces, twins: Twins, strict: bool) -> None:
        self._pieces = pieces
        self._twins = twins
        self._strict = strict
        base = pieces.base
        types = {name: (base.stored(name), shape) for name, shape in base.shapes.items()}
        self._start, self._infos = encode_header(types, base.metadata)
        self._places = [(name, span) for name in self._infos for span in chunks(base.sizes[name], pieces.longest)]

    def find_floors(self, pool: Executor, density: float, on_step: OnStep) -> None:
        """What trimming must know of each whole model."""
        moving = [(name, span) for name, span in self._places if name in self._pieces.sizes]
        self._pieces.floors = find_floors(self._pieces, moving, density, pool, on_step)

    def write(self, out: Path, pool: Executor, on_step: OnStep) -> FileMerge:
        """Merge piece by piece into ``out``; again where some elements depend on all of the model, which is rare."""
        with atomic_path(out) as temporary:
            written = self._write(out, temporary, pool, on_step)
            merging = self._pieces.merging
            if written.undecided and isinstance(merging, Balanced):
                self._pieces.merging = merging.settled(written.balance)
                written = self._write(out, temporary, pool, frozen_at(on_step, 1, 1))
            warnings = self._doubts(written.tally)
            if warnings and self._strict:
                raise MergeError(
                    f"{'; '.join(warnings)}. Nothing was written: leave out strict to write it all the same"
                )
        consensus = None
        if isinstance(merging, NegMerge):
            consensus = consensus_of(written.agreed, self._pieces.sizes, merging.needed(len(self._pieces.tuned)))
        rounded_away = written.tally.rounded_away if self._pieces.scale else 0.0
        return FileMerge(written.digest, consensus, rounded_away, tuple(warnings))

    def _write(self, out: Path, temporary: Path, pool: Executor, on_step: OnStep) -> "_Written":
        """All pieces into ``temporary``, in the order of its bytes."""
        written = _Written(dict.fromkeys(self._pieces.sizes, 0))
        state, sent = hashlib.sha256(self._start), 0
        with temporary.open("wb") as file:
            with writing(out):
                file.write(self._start)
            merged = in_order(pool, self._pieces.merged, self._places)
            for step, ((name, _), piece) in enumerate(zip(self._places, merged, strict=True), start=1):
                with writing(out):
                    file.write(piece.data)
                    sent = _send_to_disk(file, sent)
                state.update(piece.data)
                if name in written.agreed:
                    written.add(name, piece)
                    self._twins.compare(piece.keys)
                on_step(step, len(self._places), None)
        written.digest = f"sha256:{state.hexdigest()}"
        return written

    def _doubts(self, total: Tally) -> list[str]:
        """What the merge must not be silent about."""
        base, tuned = self._pieces.base, self._pieces.tuned
        return doubts(
            total,
            self._pieces.scale,
            self._twins.found() if self._pieces.sizes else [],
            [str(model.path) for model in (base, *tuned)],
            self._narrowest([base]),
            self._narrowest(tuned),
        )

    def _narrowest(self, models: Sequence[ModelReader]) -> str:
        """The type of the fewest digits among the tensors that take part, in the format's words."""
        types = {model.stored(name): digits(model.dtype(name)) for model in models for name in self._pieces.sizes}
        return min(types, key=lambda stored: types[stored], default="")


@dataclass
class _Written:
    """What all pieces together came to. agreed: elements in consensus, by tensor."""

    agreed: dict[str, int]
    tally: Tally = field(default_factory=Tally)
    undecided: int = 0
    balance: int = 0
    digest: str = ""

    def add(self, name: str, piece: Merged) -> None:
        self.agreed[name] += piece.agreeing
        self.tally += piece.tally
        self.undecided += piece.undecided
        self.balance += piece.balance


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
