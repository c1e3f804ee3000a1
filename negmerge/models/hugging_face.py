"""A folder of transformers as the model of open_clip or timm that computes the same, and back again, to the bit."""

import json
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from negmerge.checkpoints.files import atomic_path, save_tensors, writing
from negmerge.errors import TensorError
from negmerge.formats.hugging_face.config import CONFIG_FILE, WEIGHTS_FILE, kind_of, library_config
from negmerge.formats.hugging_face.files import beside, processors
from negmerge.formats.hugging_face.pairs import Pair
from negmerge.formats.tokenizer_files import TOKENIZER_FILE

Tensors = dict[str, Tensor]


@dataclass(frozen=True)
class TransformersFolder:
    """What a folder of transformers holds besides the weights, for them to become one again.

    config: its JSON. beside: its other files, by name. passed_over: tensors of it that nothing computes with.
    """

    config: dict[str, Any]
    beside: dict[str, Path]
    passed_over: Tensors

    def save(self, tensors: Mapping[str, Tensor], folder: Path) -> str:
        """Write weights, given by the library's names, in the layout of transformers; returns the file's ``sha256:…``.

        ``from_pretrained`` loads the folder. The weights are one file, whatever they came in.
        """
        with writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
            for name, path in self.beside.items():
                shutil.copyfile(path, folder / name)
        with atomic_path(folder / CONFIG_FILE) as temporary:
            temporary.write_text(json.dumps(self.config, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        theirs = as_transformers(tensors, kind_of(self.config).pairs(self.config))
        return save_tensors(theirs | self.passed_over, folder / WEIGHTS_FILE, {"format": "pt"})


def library_config_of(config: dict[str, Any], folder: Path) -> dict[str, Any]:
    """What the library's own config would hold for this one, with the files beside it. Raises ModelError."""
    files = beside(folder)
    return library_config(config, processors(files), TOKENIZER_FILE in files)


def read(
    config: dict[str, Any], folder: Path, state: Mapping[str, Tensor], expected: Mapping[str, Tensor]
) -> tuple[TransformersFolder, Tensors]:
    """What is kept of a folder, and its weights by the library's names. expected: the library's tensors, by name.

    Raises ModelError for the config, TensorError, naming theirs, for a tensor that is missing, extra or misshapen.
    """
    kind = kind_of(config)
    passed_over = {name: tensor for name, tensor in state.items() if name.endswith(kind.passed_over)}
    for name, tensor in passed_over.items():
        if tensor.is_floating_point():
            raise TensorError(name, f"is {tensor.dtype}, where whole numbers are: save the model again")
    left = {name: tensor for name, tensor in state.items() if name not in passed_over}
    return TransformersFolder(config, beside(folder), passed_over), as_library(left, list(kind.pairs(config)), expected)


def as_library(state: Mapping[str, Tensor], pairs: Iterable[Pair], expected: Mapping[str, Tensor]) -> Tensors:
    """Tensors by the library's names, in its arrangement. Raises TensorError, naming theirs."""
    found: Tensors = {}
    left = set(state)
    for pair in pairs:
        for name in pair.theirs:
            if name not in state:
                raise TensorError(name, "is missing: these weights are of another architecture, or incomplete")
        left -= {*pair.theirs}
        places = [expected[name] for name in pair.ours]
        found |= zip(pair.ours, _arranged(pair, [state[name] for name in pair.theirs], places), strict=True)
    if left:
        raise TensorError(min(left), "is extra: the architecture that the config names has no such tensor")
    return found


def as_transformers(tensors: Mapping[str, Tensor], pairs: Iterable[Pair]) -> Tensors:
    """The other way round: tensors by the names of transformers, in their arrangement."""
    found: Tensors = {}
    for pair in pairs:
        whole = _joined([tensors[name] for name in pair.ours])
        whole = _nested(whole.t() if pair.transposed else whole, pair.nested)
        parts = whole.chunk(len(pair.theirs)) if len(pair.theirs) > 1 else (whole,)
        found |= {name: part.contiguous() for name, part in zip(pair.theirs, parts, strict=True)}
    return found


def _arranged(pair: Pair, theirs: list[Tensor], places: list[Tensor]) -> list[Tensor]:
    """Ours of a pair, each of its place's shape. Raises TensorError."""
    for name, tensor in zip(pair.theirs, theirs, strict=True):
        first = theirs[0]
        if tensor.dtype != first.dtype or tensor.shape != first.shape:
            raise TensorError(name, f"is {tensor.dtype} {list(tensor.shape)}, beside {first.dtype} {list(first.shape)}")
    whole = _nested(_joined(theirs), -pair.nested)
    whole = whole.t().contiguous() if pair.transposed else whole
    shape = _joined(places).shape
    if whole.shape != shape:
        told = f"has the shape {list(theirs[0].shape)}, which is not what the config says"
        raise TensorError(pair.theirs[0], f"{told}: it would become {list(whole.shape)}, and {list(shape)} is needed")
    return list(torch.split(whole, [len(place) for place in places])) if len(places) > 1 else [whole]


def _joined(tensors: list[Tensor]) -> Tensor:
    """One below the other; a single one as it is."""
    return torch.cat(tensors) if len(tensors) > 1 else tensors[0]


def _nested(tensor: Tensor, brackets: int) -> Tensor:
    """With so many more dimensions of one in front, or fewer."""
    for _ in range(brackets):
        tensor = tensor.unsqueeze(0)
    for _ in range(-brackets):
        tensor = tensor.squeeze(0)
    return tensor
