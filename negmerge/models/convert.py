"""A state dict that was trained elsewhere, as a model's folder, or as plain safetensors for ``negmerge merge``."""

import secrets
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from negmerge.checkpoints.files import save_tensors, writing
from negmerge.checkpoints.foreign import read_state
from negmerge.checkpoints.reparametrised import unmasked
from negmerge.errors import CheckpointError, ModelError, TensorError
from negmerge.formats.families import OPEN_CLIP, family_of
from negmerge.formats.hugging_face.config import is_of_transformers
from negmerge.models import loading as models
from negmerge.models.built_in import config_for
from negmerge.models.clip_states import fitted_clip
from negmerge.models.fitting import check_named, check_nearest, fitted, prefix_of, under
from negmerge.models.network import Network, check_fit
from negmerge.models.zero_shot import fetched_tokenizer


@dataclass(frozen=True)
class Converted:
    """``sha256:…`` of the weights file, and what was done to names and tensors, in words."""

    digest: str
    done: tuple[str, ...]


def convert(
    file: Path, config_file: Path, folder: Path, *, key: str | None = None, prefix: str | None = None
) -> Converted:
    """Write the weights of ``file`` and the config as the folder that the config's library loads.

    file: a pickled checkpoint, safetensors, or a folder of either. config_file: the JSON of an
    ``open_clip_config.json``, of timm's ``config.json``, or of transformers' with ``preprocessor_config.json`` beside
    it; a tokenizer's files beside it come along. folder: made here, whole or not at all; must not exist. key: where in
    the checkpoint the weights lie; prefix: of the names that are the model's. Tensors keep their types.
    Raises ModelError for a config that describes no model we can run, CheckpointError for what is no state dict,
    TensorError for a tensor that does not fit the architecture.
    """
    config = models.read_config(config_file, family_of)
    state = _under(read_state(file, key), prefix, file)
    if is_of_transformers(config):
        return _written(models.of_transformers(config, config_file.parent, state), folder, ())
    return _converted(config, state, folder, config_file.parent)


def convert_built_in(
    file: Path,
    architecture: str,
    folder: Path,
    *,
    classes: int | None = None,
    key: str | None = None,
    prefix: str | None = None,
) -> Converted:
    """As ``convert``, with the config of a built-in architecture of open_clip's or timm's, or one of ours.

    classes: the number of a classifier's outputs; by default as its weights have it. What the name leaves open, such as
    how images become pixels, is among what was done.
    """
    state = _under(read_state(file, key), prefix, file)
    guessed = config_for(architecture, state, classes)
    converted = _converted(guessed.config, state, folder, fetched_tokenizer(guessed.config))
    return Converted(converted.digest, (*converted.done, *guessed.told))


def convert_back(file: Path, like: Path, folder: Path) -> Converted:
    """Write weights under the names of open_clip or timm in the layout of transformers, as another folder has it.

    like: the folder of transformers that the weights came in; its config and other files come along. Raises as
    ``convert``.
    """
    model = models.load_model(like)
    if model.theirs is None:
        raise ModelError(f"{like} is no folder of transformers: name the one that the model came in")
    state = read_state(file)
    check_fit(state, model.original)
    theirs = model.theirs
    return _whole(folder, lambda unfinished: Converted(theirs.save(state, unfinished), ()))


def _converted(config: dict[str, Any], state: dict[str, Tensor], folder: Path, beside: Path | None) -> Converted:
    expected = models.tensors_of(config)
    state, done = fitted(state, expected)
    if family_of(config) is OPEN_CLIP:
        state, moved = fitted_clip(state, expected)
        done += moved
    check_named(state, expected)
    _check_prefix(state, expected)
    check_nearest(state, expected)
    return _written(models.of_tensors(config, state, folder=beside), folder, tuple(done))


def _written(model: Network, folder: Path, done: tuple[str, ...]) -> Converted:
    return _whole(folder, lambda unfinished: Converted(model.save(model.original, unfinished), done))


def _whole(folder: Path, write: Callable[[Path], Converted]) -> Converted:
    """What ``write`` makes of a folder, which appears whole or not at all."""
    unfinished = folder.parent / f".{folder.name}.{secrets.token_hex(4)}"
    try:
        converted = write(unfinished)
        with writing(folder):
            unfinished.rename(folder)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return converted


def convert_plain(file: Path, out: Path, *, key: str | None = None, prefix: str | None = None) -> Converted:
    """Write the tensors of ``file`` as one safetensors file, names and types as they are; masks of pruning are applied.

    Raises as ``read_state``.
    """
    state, done = unmasked(_under(read_state(file, key), prefix, file))
    return Converted(save_tensors(state, out), tuple(done))


def _under(state: dict[str, Tensor], prefix: str | None, file: Path) -> dict[str, Tensor]:
    if prefix is None:
        return state
    found = under(state, prefix)
    if not found:
        first = ", ".join(sorted(state)[:5])
        raise CheckpointError(f"{file} has no tensor whose name begins with {prefix!r}: the first are {first}")
    return found


def _check_prefix(state: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> None:
    """Raise TensorError where most of the architecture's tensors are there under a prefix, with others beside them."""
    prefix = prefix_of(state, expected)
    if not prefix:
        return
    for name in expected:
        if prefix + name not in state:
            others = ", ".join(sorted(other for other in state if not other.startswith(prefix))[:5]) or "none"
            told = f"is missing: most tensors are under {prefix!r}, and the others are called {others}"
            raise TensorError(name, f"{told}. Bring all under the names of the architecture first")
    missing = next(iter(expected))
    told = f"is there as {prefix + missing!r}: give --prefix {prefix}, which leaves out the others"
    raise TensorError(missing, told)
