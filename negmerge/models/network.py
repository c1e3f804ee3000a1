"""A model that is to unlearn, whatever its family: θ₀, the tensors that take part, and logits from images.

Families are in files of their own: ``zero_shot`` (open_clip) and ``classifiers`` (timm); ``loading`` opens either.

Shapes: B images, C classes, S pixels a side.
"""

import json
import shutil
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor

from negmerge.checkpoints.files import atomic_path, save_tensors
from negmerge.checkpoints.tensors import digest
from negmerge.decoding.preprocess import Preprocess
from negmerge.errors import TensorError
from negmerge.models.hugging_face import TransformersFolder

UNBUILDABLE = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    RuntimeError,
    TypeError,
    ValueError,
)
"""What a constructor raises when a config asks for what cannot be built."""


@dataclass(frozen=True)
class Outputs:
    """What the columns of a model's logits mean for one data set.

    classes: a name for each column. head: what ``logits`` needs besides the model itself; float32, on the CPU.
    labels: int64, for each class of the data set its column.
    """

    classes: tuple[str, ...]
    head: Tensor
    labels: Tensor


class Network(ABC):
    """A model on ``device``, in eval mode, at θ₀ until told otherwise.

    config: the folder's JSON. names: the tensors that take part, in state-dict order. base: their float32
    masters on the CPU. original: θ₀ as stored, every tensor in its own dtype, on the CPU. Whatever the
    storage type, the module computes in float32. preprocess: how images become pixels, as its own library says it.
    is_classifier: whether the model has a head of its own, rather than one made of class words. is_expansion: whether
    it is linear in its parameters, around θ₀. beside: other files of its folder, by name, which go wherever it goes.
    theirs: the folder of transformers that it came in, if it did.
    """

    family: ClassVar[str]
    is_classifier: ClassVar[bool]
    is_expansion: ClassVar[bool] = False
    config_file: ClassVar[str]
    weights_file: ClassVar[str]

    def __init__(
        self,
        module: torch.nn.Module,
        config: dict[str, Any],
        original: Mapping[str, Tensor],
        preprocess: Preprocess,
        device: str,
        beside: Mapping[str, Path] | None = None,
    ) -> None:
        self.beside = dict(beside or {})
        self.theirs: TransformersFolder | None = None
        self.device = torch.device(device)
        self.module: Any = module.to(self.device).eval()
        self.config = config
        self.preprocess = preprocess
        self.original = {name: original[name].clone() for name in module.state_dict()}
        self.names = tuple(
            name
            for name, parameter in module.named_parameters()
            if parameter.requires_grad and self.moves(name) and parameter.is_floating_point()
        )
        module.requires_grad_(False)
        for parameter in self.parameters():
            parameter.requires_grad_(True)
        self.base = {name: self.original[name].to(torch.float32) for name in self.names}
        std = torch.tensor(preprocess.std, device=self.device).view(1, 3, 1, 1)
        self._gain = 1 / (255 * std)
        self._offset = -torch.tensor(preprocess.mean, device=self.device).view(1, 3, 1, 1) / std
        self._memory_format = torch.contiguous_format

    def lay_out(self, looking: torch.nn.Module, memory_format: torch.memory_format) -> None:
        """Let the part that looks at pixels, and the pixels themselves, lie so in memory; the values stay."""
        looking.to(memory_format=memory_format)
        self._memory_format = memory_format

    @cached_property
    def digest(self) -> str:
        """``sha256:…`` of θ₀, over every tensor (``checkpoints.tensors.digest``). Nobody changes ``original``."""
        return digest(self.original)

    @abstractmethod
    def moves(self, name: str) -> bool:
        """Whether a tensor belongs to what fine-tuning works on: its parameters take part, its buffers are put back."""

    @property
    @abstractmethod
    def tuned(self) -> torch.nn.Module:
        """The module that is in training mode while a point is fine-tuned."""

    @abstractmethod
    def outputs(self, classes: Sequence[str], class_words: Sequence[str], templates: Sequence[str]) -> Outputs:
        """What the logits mean for a data set with these classes, words and prompts. Raises DataError."""

    @abstractmethod
    def logits(self, images: Tensor, head: Tensor) -> Tensor:
        """uint8 [B, 3, S, S] → float32 [B, C] on the model's device. Keeps gradients."""

    @abstractmethod
    def features(self, images: Tensor) -> Tensor:
        """What logits are made of: uint8 [B, 3, S, S] → float32 [B, D] on the model's device. Keeps gradients."""

    def pixels(self, images: Tensor) -> Tensor:
        """uint8 [B, 3, S, S] → normalised float32 of the same shape, on the model's device, as it is to lie there."""
        pixels = images.to(self.device).to(torch.float32, memory_format=self._memory_format)
        return pixels.mul_(self._gain).add_(self._offset)

    def parameters(self) -> list[torch.nn.Parameter]:
        """The module's own parameters that take part, in the order of ``names``."""
        own = dict(self.module.named_parameters())
        return [own[name] for name in self.names]

    @torch.no_grad()
    def load_parameters(self, parameters: Mapping[str, Tensor]) -> None:
        """Put these tensors into the module by name; all else that moves, buffers too, goes back to θ₀.

        Raises TensorError for a name that does not take part.
        """
        for name in parameters:
            if name not in self.base:
                raise TensorError(name, "does not take part: it is a buffer, or frozen")
        self.load_state(parameters)

    @torch.no_grad()
    def load_state(self, state: Mapping[str, Tensor]) -> None:
        """As ``load_parameters``, but buffers may be given too: a model that was trained in another way has its own."""
        for name, place in self.module.state_dict().items():
            if self.moves(name):
                place.copy_(state.get(name, self.original[name]))

    def restore(self) -> None:
        """Put the model back to θ₀, to the bit, buffers too."""
        self.load_parameters({})

    def save(self, tensors: Mapping[str, Tensor], folder: Path | str) -> str:
        """Write a folder that ``loading.load_model`` and the family's own library load.

        tensors: every tensor of the model, each in the dtype it is to be stored in. Returns ``sha256:…`` of the
        weights file. Raises TensorError where a tensor is missing, extra, misshapen or not finite.
        """
        folder = Path(folder)
        check_fit(tensors, self.original)
        folder.mkdir(parents=True, exist_ok=True)
        with atomic_path(folder / self.config_file) as temporary:
            temporary.write_text(json.dumps(self.config, indent=2) + "\n", encoding="utf-8")
        for name, path in self.beside.items():
            with atomic_path(folder / name) as temporary:
                shutil.copyfile(path, temporary)
        return save_tensors(tensors, folder / self.weights_file)


def check_fit(tensors: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> None:
    """Raise TensorError for the first tensor that is missing, extra, misshapen or not finite."""
    for name, place in expected.items():
        if name not in tensors:
            raise TensorError(name, "is missing: these weights are of another architecture, or incomplete")
        tensor = tensors[name]
        if tensor.shape != place.shape:
            raise TensorError(name, f"has the shape {list(tensor.shape)}, the architecture's is {list(place.shape)}")
        if tensor.is_floating_point() != place.is_floating_point():
            raise TensorError(name, f"is {tensor.dtype}, the architecture's is {place.dtype}")
        if tensor.is_floating_point() and not bool(torch.isfinite(tensor).all()):
            raise TensorError(name, "holds a NaN or an infinity: give finite weights")
    for name in tensors:
        if name not in expected:
            raise TensorError(name, "is extra: the architecture has no such tensor")
