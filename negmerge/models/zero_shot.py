"""open_clip models in the zero-shot setting.

Only the image tower moves; the text tower and the head made from it stay frozen. A folder is
open_clip's own: ``open_clip_config.json`` beside ``open_clip_model.safetensors``, which
``open_clip.create_model("local-dir:…")`` loads as it is.

Shapes: B images, C classes, D features, S pixels a side.
"""

from collections.abc import Mapping, Sequence
from copy import deepcopy
from pathlib import Path
from typing import Any

import open_clip
import torch
from open_clip.transform import PreprocessCfg, merge_preprocess_dict
from torch import Tensor
from torch.nn import functional

from negmerge.data.prompts import check_templates
from negmerge.decoding.preprocess import of_open_clip
from negmerge.errors import DataError, ModelError
from negmerge.formats.open_clip_config import CONFIG_FILE, WEIGHTS_FILE, check_config
from negmerge.formats.tokenizer_files import MAX_BYTES, has_files
from negmerge.models.memory_format import has_convolutions, memory_format
from negmerge.models.network import UNBUILDABLE, Network, Outputs, check_fit
from negmerge.models.tokenizers import files_beside, tokenizer_of, tokens_by_class

_CLASSES_AT_ONCE = 10
"""Whose prompts the text tower reads in one go; the last bits of a head may depend on it."""


class ZeroShotModel(Network):
    """A CLIP: features of an image times a head that is made from words."""

    family = "open_clip"
    is_classifier = False
    config_file = CONFIG_FILE
    weights_file = WEIGHTS_FILE

    def __init__(
        self,
        module: torch.nn.Module,
        config: dict[str, Any],
        original: Mapping[str, Tensor],
        device: str,
        beside: Mapping[str, Path] | None = None,
    ) -> None:
        """beside: the tokenizer's files, where the config names one that is not open_clip's own. Raises ModelError."""
        cfg = merge_preprocess_dict(PreprocessCfg(), config.get("preprocess_cfg", {}))
        preprocess = of_open_clip(PreprocessCfg(**cfg | {"size": image_size(module)}))
        super().__init__(module, config, original, preprocess, device, beside)
        if has_convolutions(self.tuned):
            self.lay_out(self.tuned, memory_format(self.tuned))
        self._tokenize = tokenizer_of(config, self.beside)

    def moves(self, name: str) -> bool:
        return name.startswith("visual.")

    @property
    def tuned(self) -> torch.nn.Module:
        tower: torch.nn.Module = self.module.visual
        return tower

    def outputs(self, classes: Sequence[str], class_words: Sequence[str], templates: Sequence[str]) -> Outputs:
        return Outputs(tuple(classes), self.head(class_words, templates), torch.arange(len(classes)))

    def head(self, class_words: Sequence[str], templates: Sequence[str]) -> Tensor:
        """The zero-shot head, float32 [C, D] on the CPU.

        For each class the mean over templates of the normalised text features, normalised again, times
        exp(logit_scale) (CLIP, arXiv 2103.00020, §3.1.4). A SigLIP's bias is left out: it is the same for
        every class. Raises DataError without classes, or where a template breaks the rule.
        """
        if not class_words:
            raise DataError("a zero-shot head needs at least one class")
        check_templates(templates)

        pieces = tokens_by_class(self._tokenize, class_words, templates, _CLASSES_AT_ONCE)
        with torch.no_grad():
            columns = open_clip.build_zero_shot_classifier(
                self.module,
                lambda _: next(pieces),
                class_words,
                [lambda words: words] * len(templates),
                _CLASSES_AT_ONCE,
                self.device,
            )
            head: Tensor = (columns * self.module.logit_scale.exp()).T.float().cpu().contiguous()
        return head

    def logits(self, images: Tensor, head: Tensor) -> Tensor:
        """Normalised features · head, as CLIP has it: head is float32 [C, D]."""
        features = self.features(images)
        with torch.autocast(self.device.type, enabled=False):
            return functional.normalize(features, dim=-1) @ head.to(self.device).T

    def features(self, images: Tensor) -> Tensor:
        """The image tower's, as they leave it."""
        features: Tensor = self.module.encode_image(self.pixels(images), normalize=False).to(torch.float32)
        return features


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
    beside = files_beside(config, fetched_tokenizer(config))  # before the weights, which are a thousand times as large
    module = build(model_cfg)
    try:
        open_clip.load_checkpoint(module, open_clip.download_pretrained(pretrained))
    except (OSError, RuntimeError, ValueError) as error:
        raise ModelError(
            f"the weights {architecture}/{tag} cannot be had here ({error}): "
            "upload them as a model, or let this machine reach the registry"
        ) from error
    original = module.state_dict()
    check_fit(original, original)
    return ZeroShotModel(module, config, original, device, beside)


def fetched_tokenizer(config: Mapping[str, Any]) -> Path | None:
    """The folder of a built-in architecture's tokenizer, fetched if need be, as its weights are. Raises ModelError."""
    if not has_files(config):
        return None
    from huggingface_hub import snapshot_download

    name = config["model_cfg"]["text_cfg"]["hf_tokenizer_name"]
    try:
        return Path(snapshot_download(name, allow_patterns=list(MAX_BYTES)))
    except (OSError, RuntimeError, ValueError) as error:
        raise ModelError(
            f"the tokenizer {name} cannot be had here ({error}): "
            "upload the model's folder with its tokenizer.json, or let this machine reach the registry"
        ) from error


def build(model_cfg: Mapping[str, Any]) -> torch.nn.Module:
    """The module with random weights, as ``open_clip.create_model`` would make it.

    Built here because create_model logs on the root logger, which sets up logging for the whole process.
    """
    arguments = deepcopy(dict(model_cfg))
    kind = open_clip.CustomTextCLIP if arguments.pop("custom_text", False) else open_clip.CLIP
    if arguments.get("multimodal_cfg") is not None:
        kind = open_clip.CoCa
    else:
        arguments.pop("multimodal_cfg", None)
    if "timm_model_name" in arguments["vision_cfg"]:
        arguments["vision_cfg"]["timm_model_pretrained"] = False
    try:
        with torch.random.fork_rng(devices=[]):
            module: torch.nn.Module = kind(**arguments)
            image_size(module)
    except UNBUILDABLE as error:
        raise ModelError(f"no model can be built from model_cfg: {error}") from error
    return module


def image_size(module: Any) -> int:
    """Pixels a side, as the module's image tower has them. Raises ModelError where it takes no square images."""
    size = module.visual.image_size
    height, width = size if isinstance(size, tuple | list) else (size, size)
    if height != width:
        raise ModelError(f"the model takes images of {height}×{width} pixels; only square ones are served")
    return int(height)
