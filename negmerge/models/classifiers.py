"""timm classifiers: everything that is trained takes part, the head too; BatchNorm's statistics never do.

A folder is timm's own: ``config.json`` beside ``model.safetensors``, which ``timm.create_model("local-dir:…")`` loads
as it is; only the 3×3 stem (``"stem": "cifar"``) and ResNet-20 and its like (``cifar_resnets``) are ours, because timm
has none.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import timm
import torch
from timm.data.config import resolve_data_config
from torch import Tensor

from negmerge.decoding.preprocess import Preprocess, of_timm
from negmerge.errors import ModelError
from negmerge.formats.timm_config import (
    CIFAR_RESNETS,
    CIFAR_STEM,
    CONFIG_FILE,
    PREPROCESS,
    WEIGHTS_FILE,
    architecture_of,
    check_config,
    label_names,
    outputs_of,
    preprocess_of,
)
from negmerge.models import cifar_resnets
from negmerge.models.network import UNBUILDABLE, Network, Outputs, check_fit

_CHANNELS_AT_ONCE = 16
"""How many float32 numbers oneDNN's kernels work on at once at most: 8 with AVX2, 16 with AVX-512."""
_OF_VOLUMES = 5
"""Dimensions of what a three-dimensional convolution works on."""


class Classifier(Network):
    """A timm classifier: its own head gives one logit for each class that it knows."""

    family = "timm"
    is_classifier = True
    config_file = CONFIG_FILE
    weights_file = WEIGHTS_FILE

    def __init__(
        self, module: torch.nn.Module, config: dict[str, Any], original: Mapping[str, Tensor], device: str
    ) -> None:
        if "pretrained_cfg" not in config:  # without it, timm would not read model_args
            config = config | {"pretrained_cfg": {key: config[key] for key in PREPROCESS if key in config}}
        self._memory_format = memory_format(module)
        module = module.to(memory_format=self._memory_format)
        super().__init__(module, config, original, preprocess(module, config), device)

    def moves(self, name: str) -> bool:
        return True

    @property
    def tuned(self) -> torch.nn.Module:
        module: torch.nn.Module = self.module
        return module

    def outputs(self, classes: Sequence[str], class_words: Sequence[str], templates: Sequence[str]) -> Outputs:
        """As ``timm_config.outputs_of``; the head is the module's own. Raises DataError."""
        labels = torch.tensor(outputs_of(self.config, classes, class_words))
        return Outputs(tuple(label_names(self.config) or classes), torch.zeros(0), labels)

    def logits(self, images: Tensor, head: Tensor) -> Tensor:
        """The module's own logits; ``head`` is not used."""
        return self.features(images)

    def features(self, images: Tensor) -> Tensor:
        """The logits, one for each output of the module's own head."""
        scores: Tensor = self.module(self.pixels(images).contiguous(memory_format=self._memory_format))
        return scores.to(torch.float32)


def memory_format(module: torch.nn.Module) -> torch.memory_format:
    """How the module's tensors are to lie in memory: channels last, with which convolutions are half as fast again.

    Not where a strided 1 × 1 convolution takes fewer channels than oneDNN's kernel works on at once: laid out so, it
    writes beyond its buffer in the backward pass (torch 2.14.1, found with valgrind), and the process aborts or worse.
    With AVX2 that is below 8 channels, with AVX-512 without AMX below 16; the layout is the same on every processor.
    Nor where a tensor has five dimensions, as a LambdaNetwork's: torch would lay it out so too, and fails.
    """
    if any(tensor.ndim == _OF_VOLUMES for tensor in (*module.parameters(), *module.buffers())):
        return torch.contiguous_format
    for part in module.modules():
        if (
            isinstance(part, torch.nn.Conv2d)
            and part.kernel_size == (1, 1)
            and max(part.stride) > 1
            and part.in_channels // part.groups < _CHANNELS_AT_ONCE
        ):
            return torch.contiguous_format
    return torch.channels_last


def load_tag(architecture: str, tag: str, device: str = "cpu") -> Classifier:
    """Load a timm architecture with the published weights of a tag, downloaded if need be.

    Raises ModelError for an unknown name or tag, and where the weights cannot be had.
    """
    known = timm.list_pretrained(f"{architecture}.*") if timm.is_model(architecture) else []
    if f"{architecture}.{tag}" not in known:
        tags = ", ".join(name.partition(".")[2] for name in known) or "none"
        raise ModelError(f"timm has no weights {architecture}.{tag}: known tags of {architecture} are {tags}")
    try:
        module: Any = timm.create_model(f"{architecture}.{tag}", pretrained=True)
    except (OSError, RuntimeError, ValueError) as error:
        raise ModelError(
            f"the weights {architecture}.{tag} cannot be had here ({error}): "
            "upload them as a model, or let this machine reach the registry"
        ) from error
    kept = {key: module.pretrained_cfg.get(key) for key in (*PREPROCESS, "label_names")}
    cfg = {key: value for key, value in kept.items() if value is not None}
    cfg |= {key: list(value) for key, value in cfg.items() if isinstance(value, tuple)}
    config = {"architecture": architecture, "num_classes": module.num_classes, "pretrained_cfg": cfg}
    check_config(config)
    original = module.state_dict()
    check_fit(original, original)
    return Classifier(module, config, original, device)


def build(config: Mapping[str, Any]) -> torch.nn.Module:
    """The module with random weights, as ``timm.create_model`` makes it. Raises ModelError."""
    architecture = architecture_of(config)
    if architecture in CIFAR_RESNETS:
        with torch.random.fork_rng(devices=[]):
            return cifar_resnets.build(architecture, config["num_classes"])
    if not timm.is_model(architecture):
        raise ModelError(f"timm has no architecture {architecture!r}; see timm.list_models()")
    arguments = {key: _as_python(value) for key, value in config.get("model_args", {}).items()}
    arguments["num_classes"] = config["num_classes"]
    try:
        with torch.random.fork_rng(devices=[]):
            module: torch.nn.Module = timm.create_model(architecture, **arguments)
            if config.get("stem") == CIFAR_STEM:
                _give_cifar_stem(module)
    except UNBUILDABLE as error:
        raise ModelError(f"no {architecture} can be built from the config: {error}") from error
    return module


def _as_python(value: Any) -> Any:
    """Lists as tuples, at any depth, as timm has its arguments."""
    if isinstance(value, dict):
        return {key: _as_python(one) for key, one in value.items()}
    return tuple(_as_python(one) for one in value) if isinstance(value, list) else value


def _give_cifar_stem(module: Any) -> None:
    """A 3×3 convolution of stride 1 and no pooling in place of timm's stem for large images (He et al. 2016, §4.2)."""
    stem = getattr(module, "conv1", None)
    if not isinstance(stem, torch.nn.Conv2d) or not hasattr(module, "maxpool"):
        raise ModelError(f'"stem": {CIFAR_STEM!r} is for ResNets with a plain stem: leave it out')
    module.conv1 = torch.nn.Conv2d(3, stem.out_channels, kernel_size=3, padding=1, bias=False)
    module.maxpool = torch.nn.Identity()


def preprocess(module: torch.nn.Module, config: Mapping[str, Any]) -> Preprocess:
    """How images become pixels for the module of a config. Raises ModelError."""
    return of_timm(data_config(module, config))


def data_config(module: Any, config: Mapping[str, Any]) -> dict[str, Any]:
    """How images are prepared: what the config says, else what timm says of the architecture."""
    size = config.get("model_args", {}).get("img_size")
    sides = size if isinstance(size, list) else [size, size]
    fitting = {"input_size": [3, *sides]} if size else {}
    resolve: Callable[..., dict[str, Any]] = resolve_data_config  # timm has it without types
    return resolve({}, pretrained_cfg=dict(module.pretrained_cfg) | fitting | dict(preprocess_of(config)))
