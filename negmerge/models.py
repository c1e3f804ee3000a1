"""open_clip models in the zero-shot setting: in from a folder or a registry tag, out as a folder.

Only the image tower moves; the text tower and the head made from it stay frozen (DESIGN §3). A folder is
open_clip's own: ``open_clip_config.json`` beside ``open_clip_model.safetensors``, which
``open_clip.create_model("local-dir:…")`` loads as it is.

Shapes: B images, C classes, D features, S pixels a side.
"""

import json
from collections.abc import Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

import open_clip
import torch
from open_clip.transform import PreprocessCfg, merge_preprocess_dict
from torch import Tensor
from torch.nn import functional

from negmerge import checkpoints
from negmerge.errors import DataError, ModelError, TensorError
from negmerge.model_config import CONFIG_FILE, WEIGHTS_FILE, check_config, read_config
from negmerge.prompts import check_templates

# What a constructor raises when a config asks for what cannot be built.
_UNBUILDABLE = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    RuntimeError,
    TypeError,
    ValueError,
)


class ZeroShotModel:
    """A CLIP on ``device``, in eval mode, at θ₀ until told otherwise.

    config: the folder's JSON. names: the tensors that take part, in state-dict order. base: their float32
    masters on the CPU. original: θ₀ as stored, every tensor in its own dtype, on the CPU. Whatever the
    storage type, the module computes in float32. preprocess: how images become pixels, as open_clip says it.
    """

    def __init__(
        self, module: torch.nn.Module, config: dict[str, Any], original: Mapping[str, Tensor], device: str
    ) -> None:
        self.device = torch.device(device)
        self.module: Any = module.to(self.device).eval()
        self.config = config
        self.original = {name: original[name].clone() for name in module.state_dict()}
        parameters = {name: p for name, p in module.named_parameters() if name.startswith("visual.")}
        self.names = tuple(name for name, parameter in parameters.items() if parameter.requires_grad)
        module.requires_grad_(False)
        for name in self.names:
            parameters[name].requires_grad_(True)
        self.base = {name: self.original[name].to(torch.float32) for name in self.names}
        self.image_size = _image_size(module)
        self.preprocess = PreprocessCfg(
            **merge_preprocess_dict(PreprocessCfg(), config.get("preprocess_cfg", {})) | {"size": self.image_size}
        )
        self.mean, self.std = tuple(self.preprocess.mean), tuple(self.preprocess.std)
        std = torch.tensor(self.std, device=self.device).view(1, 3, 1, 1)
        self._gain = 1 / (255 * std)
        self._offset = -torch.tensor(self.mean, device=self.device).view(1, 3, 1, 1) / std

    def parameters(self) -> list[torch.nn.Parameter]:
        """The module's own parameters that take part, in the order of ``names``."""
        own = dict(self.module.named_parameters())
        return [own[name] for name in self.names]

    def head(self, class_words: Sequence[str], templates: Sequence[str]) -> Tensor:
        """The zero-shot head, float32 [C, D] on the CPU.

        For each class the mean over templates of the normalised text features, normalised again, times
        exp(logit_scale) (CLIP, arXiv 2103.00020, §3.1.4). A SigLIP's bias is left out: it is the same for
        every class. Raises DataError without classes, or where a template has no ``{}`` for the class.
        """
        if not class_words:
            raise DataError("a zero-shot head needs at least one class")
        check_templates(templates)

        def tokens(texts: list[str]) -> Tensor:
            tokenized: Tensor = open_clip.tokenize(texts, context_length=self.module.context_length)
            return tokenized

        with torch.no_grad():
            columns = open_clip.build_zero_shot_classifier(
                self.module,
                tokens,
                class_words,
                [lambda words, t=template: t.replace("{}", words) for template in templates],
                device=self.device,
            )
            head: Tensor = (columns * self.module.logit_scale.exp()).T.float().cpu().contiguous()
        return head

    def logits(self, images: Tensor, head: Tensor) -> Tensor:
        """Features · head: uint8 [B, 3, S, S] → float32 [B, C] on the model's device. Keeps gradients."""
        pixels = images.to(self.device).to(torch.float32).mul_(self._gain).add_(self._offset)
        features = self.module.encode_image(pixels).to(torch.float32)
        with torch.autocast(self.device.type, enabled=False):
            return functional.normalize(features, dim=-1) @ head.to(self.device).T

    @torch.no_grad()
    def load_parameters(self, parameters: Mapping[str, Tensor]) -> None:
        """Put these tensors into the image tower by name; all else there, buffers too, goes back to θ₀.

        Raises TensorError for a name that does not take part.
        """
        for name in parameters:
            if name not in self.base:
                raise TensorError(name, "does not take part: only the image tower's parameters move")
        for name, place in self.module.state_dict().items():
            if name.startswith("visual."):
                place.copy_(parameters.get(name, self.original[name]))

    def restore(self) -> None:
        """Put the image tower back to θ₀, to the bit, buffers too."""
        self.load_parameters({})


def load_model(folder: Path, device: str = "cpu") -> ZeroShotModel:
    """Load a folder in open_clip's local-dir format.

    Raises ModelError where the config is missing or describes no model that we can run, CheckpointError where
    the weights cannot be read, TensorError where a tensor is missing, extra, misshapen or not finite.
    """
    config = read_config(folder / CONFIG_FILE)
    if not (folder / WEIGHTS_FILE).is_file():
        raise ModelError(f"{folder} has no {WEIGHTS_FILE}: weights are safetensors under that name")
    tensors = checkpoints.load(folder / WEIGHTS_FILE)
    with torch.device("meta"):  # shapes without memory: a config alone must not be able to fill the machine
        skeleton = _build(config["model_cfg"])
    _check_fit(tensors, skeleton.state_dict())
    module = _build(config["model_cfg"])
    module.load_state_dict(tensors)
    return ZeroShotModel(module, config, tensors, device)


def load_tag(architecture: str, tag: str, device: str = "cpu") -> ZeroShotModel:
    """Load a built-in architecture with the weights of a tag of open_clip's registry, downloaded if need be.

    Raises ModelError for an unknown name or tag, and where the weights cannot be had.
    """
    if architecture not in open_clip.list_models():
        raise ModelError(f"open_clip has no architecture {architecture!r}; see open_clip.list_models()")
    pretrained = open_clip.get_pretrained_cfg(architecture, tag)
    if not pretrained:
        known = ", ".join(open_clip.list_pretrained_tags_by_model(architecture)) or "none"
        raise ModelError(f"{architecture} has no weights tagged {tag!r}; known tags are {known}")
    # The tag knows with which activation it was trained; the bare architecture's name often says another.
    model_cfg = open_clip.get_model_config(architecture) | {"quick_gelu": bool(pretrained.get("quick_gelu", False))}
    config = {"model_cfg": model_cfg, "preprocess_cfg": merge_preprocess_dict(PreprocessCfg(), pretrained)}
    check_config(config)
    module = _build(model_cfg)
    try:
        open_clip.load_checkpoint(module, open_clip.download_pretrained(pretrained))
    except (OSError, RuntimeError, ValueError) as error:
        raise ModelError(
            f"the weights {architecture}/{tag} cannot be had here ({error}): "
            "upload them as a model, or let this machine reach the registry"
        ) from error
    original = module.state_dict()
    _check_fit(original, original)
    return ZeroShotModel(module, config, original, device)


def save_model(model: ZeroShotModel, tensors: Mapping[str, Tensor], folder: Path) -> str:
    """Write a folder that ``load_model`` and ``open_clip.create_model("local-dir:…")`` load.

    tensors: every tensor of the model, each in the dtype it is to be stored in. Returns ``sha256:…`` of the
    weights file. Raises TensorError where a tensor is missing, extra, misshapen or not finite.
    """
    _check_fit(tensors, model.original)
    folder.mkdir(parents=True, exist_ok=True)
    with checkpoints.atomic_path(folder / CONFIG_FILE) as temporary:
        temporary.write_text(json.dumps(model.config, indent=2) + "\n", encoding="utf-8")
    return checkpoints.save(tensors, folder / WEIGHTS_FILE)


def _build(model_cfg: Mapping[str, Any]) -> torch.nn.Module:
    """The module with random weights, as ``open_clip.create_model`` would make it.

    Built here because create_model logs on the root logger, which sets up logging for the whole process.
    """
    arguments = deepcopy(dict(model_cfg))
    kind = open_clip.CustomTextCLIP if arguments.pop("custom_text", False) else open_clip.CLIP
    if "timm_model_name" in arguments["vision_cfg"]:
        arguments["vision_cfg"]["timm_model_pretrained"] = False
    try:
        with torch.random.fork_rng(devices=[]):
            module: torch.nn.Module = kind(**arguments)
            _image_size(module)
    except _UNBUILDABLE as error:
        raise ModelError(f"no model can be built from model_cfg: {error}") from error
    return module


def _image_size(module: Any) -> int:
    size = module.visual.image_size
    height, width = size if isinstance(size, tuple | list) else (size, size)
    if height != width:
        raise ModelError(f"the model takes images of {height}×{width} pixels; only square ones are served")
    return int(height)


def _check_fit(tensors: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> None:
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
