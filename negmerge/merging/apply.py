"""One scale of a merged vector: ``negmerge apply``. θ* = θ₀ − λ·τ* from files, streamed as ``negmerge merge`` does.

The weights are laid out as a job's are, so the file at a job's λ has the digest that its result says.
"""

import hashlib
import math
import os
import secrets
import shutil
from concurrent.futures import Executor, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from negmerge.checkpoints.files import atomic_path, check_output, writing
from negmerge.checkpoints.streams import ModelReader, in_order
from negmerge.checkpoints.tensors import is_buffer, is_finite, raw_bytes
from negmerge.errors import CheckpointError, MergeError, ModelError, TensorError
from negmerge.formats import strict_json
from negmerge.formats.families import FAMILIES, family_of
from negmerge.formats.headers import encode_header
from negmerge.formats.hugging_face.config import is_of_transformers
from negmerge.formats.tokenizer_files import MAX_BYTES, check_there, has_files
from negmerge.memory import keep_freed_memory
from negmerge.merging.accumulators import CHUNK, chunks
from negmerge.merging.vectors import LIMIT, apply_scale, reaches_limit
from negmerge.progress import OnStep, ignore

_ALONG = 0.9
"""A cosine: a fine-tuned model's to its base is above it, a change's to what it changed far below."""
_FEW = 1000
"""Elements too few to tell a direction by."""
_LOOKED_AT = 32
"""Pieces of τ*, spread over all of it, that tell its direction: a look costs nothing beside the writing."""


@dataclass(frozen=True)
class Applied:
    """What one scale gave.

    digest: ``sha256:…`` of the weights file. rounded_away: share of Σ|λτ*| that rounding to θ₀'s types swallowed.
    """

    digest: str
    rounded_away: float


def apply(
    base: Path | str, task_vector: Path | str, out: Path | str, *, scale: float, on_step: OnStep = ignore
) -> Applied:
    """Write θ₀ − λ·τ* in constant memory: as one safetensors file, or of a model's folder as a folder of its kind.

    base: θ₀, a file or a folder, sharded too. task_vector: τ*, float32, such as a job's
    ``merged/task_vector.safetensors``; what it has not is copied, and all is at scale 0. out: a folder, which must not
    exist, where ``base`` is one and ``out`` does not end in ``.safetensors``; else a file, written atomically.
    Tensors lie sorted by name and element size, without metadata, as a job writes them.
    Raises TensorError for a tensor of τ* that θ₀ has not, or has in another shape or as a buffer, and for one that is
    not finite; CheckpointError where a file cannot be read or written, ModelError for a folder without a config of
    open_clip's or timm's, MergeError for a scale that is not finite, and where τ* is a whole model.
    """
    base, out = Path(base), Path(out)
    if not math.isfinite(scale):
        raise MergeError(f"the scale is {scale}: give a finite number")
    if not base.is_dir() or out.suffix == ".safetensors":
        return _apply_file(base, Path(task_vector), out, scale, on_step)
    if os.path.lexists(out):
        raise CheckpointError(f"{out} exists: choose another folder, or remove it first")
    files, weights = _files_of(base)
    unfinished = out.parent / f".{out.name}.{secrets.token_hex(4)}"
    try:
        with writing(out):
            unfinished.mkdir()
            for file in files:
                shutil.copyfile(file, unfinished / file.name)
        source = base / weights if (base / weights).is_file() else base
        applied = _apply_file(source, Path(task_vector), unfinished / weights, scale, on_step)
        with writing(out):
            unfinished.rename(out)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return applied


def _apply_file(base: Path, task_vector: Path, out: Path, scale: float, on_step: OnStep) -> Applied:
    check_output(out)
    with ExitStack() as stack:
        theta_0, tau = (stack.enter_context(ModelReader(path)) for path in (base, task_vector))
        _check(theta_0, tau)
        keep_freed_memory()
        pool = stack.enter_context(ThreadPoolExecutor(os.cpu_count()))
        return _Applying(theta_0, tau, scale).write(out, pool, on_step)


def _check(base: ModelReader, merged: ModelReader) -> None:
    """Raise TensorError for the first tensor of τ* that cannot be one of this base model."""
    shapes = base.shapes
    for name, shape in merged.shapes.items():
        if name not in shapes:
            raise TensorError(name, f"of {merged.path} is missing from {base.path}: name the model that it belongs to")
        if shapes[name] != shape:
            told = f"{list(shape)} in {merged.path}, but {list(shapes[name])} in the base model"
            raise TensorError(name, f"has the shape {told}")
        if is_buffer(name, base.dtype(name)):
            raise TensorError(name, f"of {merged.path} is a buffer in the base model, which never takes part")
        if merged.stored(name) != "F32":
            told = f"is {merged.stored(name)} in {merged.path}: a task vector is F32"
            raise TensorError(name, f"{told}; give merged/task_vector.safetensors of a job")


class _Applying:
    """One scale of two open files."""

    def __init__(self, base: ModelReader, merged: ModelReader, scale: float) -> None:
        self._base, self._merged, self._scale = base, merged, scale
        self._moving = merged.shapes.keys()

    def write(self, out: Path, pool: Executor, on_step: OnStep) -> Applied:
        """Piece by piece into ``out``."""
        types = {name: (self._base.stored(name), shape) for name, shape in sorted(self._base.shapes.items())}
        start, infos = encode_header(types, {})
        pieces = [(name, span) for name in infos for span in chunks(self._base.sizes[name], CHUNK)]
        state = hashlib.sha256(start)
        size = lost = 0.0
        self._check_is_no_model()
        with atomic_path(out) as temporary, temporary.open("wb") as file:
            with writing(out):
                file.write(start)
            for step, piece in enumerate(in_order(pool, self._piece, pieces), start=1):
                data = raw_bytes(piece.theta)
                with writing(out):
                    file.write(data)
                state.update(data)
                size, lost = size + piece.size, lost + piece.lost
                on_step(step, len(pieces), None)
        return Applied(f"sha256:{state.hexdigest()}", lost / size if size and self._scale else 0.0)

    def _check_is_no_model(self) -> None:
        """Raise MergeError where τ* points where θ₀ does, and is about as long: such is a model, not a change."""
        places = [(name, span) for name in self._moving for span in chunks(self._base.sizes[name], CHUNK)]
        looked_at = places[:: max(1, len(places) // _LOOKED_AT)]
        both = base = merged = 0.0  # θ₀·τ*, |θ₀|² and |τ*|²
        count = 0
        for name, span in looked_at:
            theta_0 = self._base.read_float32(name, span).astype(np.float64)
            tau = self._merged.read_float32(name, span).astype(np.float64)
            both, base, merged = both + float(theta_0 @ tau), base + float(theta_0 @ theta_0), merged + float(tau @ tau)
            count += tau.size
        if count >= _FEW and both > _ALONG * math.sqrt(base * merged) > 0 and base < 4 * merged < 16 * base:
            raise MergeError(
                f"{self._merged.path} is a whole model and no task vector, and would take the base model itself away: "
                "give merged/task_vector.safetensors of a job, or subtract what fine-tuning changed by `negmerge merge "
                f"--base {self._base.path} --tuned {self._merged.path}`"
            )

    def _piece(self, place: tuple[str, slice]) -> "_Piece":
        name, span = place
        theta_0 = self._base.read_finite(name, span)
        if name not in self._moving:
            return _Piece(theta_0)
        tau = self._merged.read_float32(name, span)
        if reaches_limit(tau):
            told = f"holds a NaN or a |τ| of {LIMIT:g} or more in {self._merged.path}"
            raise TensorError(name, f"{told}, as no task vector does")
        theta = apply_scale(theta_0, torch.from_numpy(tau), self._scale)
        if not is_finite(theta):
            stored = self._base.stored(name)
            raise TensorError(name, f"leaves the range of {stored} at scale {self._scale:g}; use a smaller one")
        sizes = np.abs(tau)
        back = (theta == theta_0).numpy() if theta_0.dtype.itemsize == 2 else np.zeros(sizes.shape, bool)
        return _Piece(theta, float(sizes.sum(dtype=np.float64)), float(sizes.sum(dtype=np.float64, where=back)))


@dataclass(frozen=True)
class _Piece:
    """A piece of θ*; its Σ|τ*|, and the part of it on elements where rounding to a 16-bit type gave θ₀ back."""

    theta: Tensor
    size: float = 0.0
    lost: float = 0.0


def _files_of(folder: Path) -> tuple[list[Path], str]:
    """What a model's folder has besides its weights, and how its library calls those. Raises ModelError."""
    found = [folder / family.config_file for family in FAMILIES.values() if (folder / family.config_file).is_file()]
    if not found:
        raise ModelError(
            f"{folder} has no config of open_clip's or timm's: "
            "let the output's name end in .safetensors, for the weights alone"
        )
    try:
        config = strict_json.loads(found[0].read_bytes())
    except strict_json.NotStrict as error:
        raise ModelError(f"{found[0]}: {error}") from None
    family = family_of(config)
    if is_of_transformers(config):
        raise ModelError(
            f"{folder} is a folder of transformers, whose tensors have other names than a job's vector: make it one of "
            f"{family.name}'s first, with `negmerge convert`"
        )
    tokenizer = [folder / name for name in MAX_BYTES if has_files(config) and (folder / name).is_file()]
    check_there(config, {path.name: path.stat().st_size for path in tokenizer})
    return [found[0], *tokenizer], family.weights_file
