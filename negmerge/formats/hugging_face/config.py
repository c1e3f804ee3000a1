"""A config of transformers: whether it is one, which library's model it is, and what that library calls it all."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from negmerge.errors import ModelError
from negmerge.formats import open_clip_config, timm_config
from negmerge.formats.hugging_face import clip, resnet, siglip, swin, vit
from negmerge.formats.hugging_face.fields import Config
from negmerge.formats.hugging_face.files import PROCESSOR_FILES
from negmerge.formats.hugging_face.images import image_processor
from negmerge.formats.hugging_face.pairs import Pair

CONFIG_FILE = "config.json"
WEIGHTS_FILE = "model.safetensors"


@dataclass(frozen=True)
class Kind:
    """An architecture of transformers, and the library whose model it is."""

    name: str
    family: str
    library_config: Callable[[Config, Config | None, bool], dict[str, Any]]
    pairs: Callable[[Config], Iterator[Pair]]
    passed_over: tuple[str, ...]


KINDS = {
    module.MODEL_TYPE: Kind(module.CLASS, family, module.library_config, module.pairs, module.PASSED_OVER)
    for family, modules in {"open_clip": (clip, siglip), "timm": (vit, resnet, swin)}.items()
    for module in modules
}
"""By ``model_type``."""


def is_of_transformers(config: Any) -> bool:
    """Whether this is a config of transformers: timm's says its ``architecture``, open_clip's its ``model_cfg``."""
    return isinstance(config, dict) and "model_type" in config and not {"architecture", "model_cfg"} & config.keys()


def kind_of(config: Config) -> Kind:
    """Raises ModelError for an architecture that is not served, naming those that are."""
    model_type, classes = config.get("model_type"), config.get("architectures")
    kind = KINDS.get(model_type) if isinstance(model_type, str) else None
    if kind is None or classes not in (None, [kind.name]):
        told = classes[0] if isinstance(classes, list) and classes else model_type
        served = ", ".join(one.name for one in KINDS.values())
        raise ModelError(
            f"the model is a {told!r:.100} of Hugging Face transformers, of which {served} are served: "
            "give one of these, or a model in open_clip's or timm's format"
        )
    return kind


def check_config(config: Any) -> None:
    """Raise ModelError unless open_clip or timm has the very model that this config of transformers describes."""
    _judged(config, kind_of(config), None, True)


def library_config(config: Config, files: Mapping[str, Any], has_tokenizer: bool) -> dict[str, Any]:
    """What open_clip's or timm's own config would hold. Raises ModelError.

    files: the documents of ``PROCESSOR_FILES`` that lie beside the config, by name.
    """
    document = next((files[name] for name in PROCESSOR_FILES if name in files), None)
    if not isinstance(document, dict):
        raise ModelError(
            f"there is no {PROCESSOR_FILES[0]} beside the config, which says how images become pixels: "
            "AutoImageProcessor.from_pretrained(…).save_pretrained(FOLDER) writes it"
        )
    return _judged(config, kind_of(config), image_processor(document), has_tokenizer)


def outputs_config(config: dict[str, Any]) -> dict[str, Any]:
    """Of any family's classifier, the config that says what its outputs are called. Raises ModelError."""
    return _judged(config, kind_of(config), None, True) if is_of_transformers(config) else config


def _judged(config: Config, kind: Kind, processor: Config | None, has_tokenizer: bool) -> dict[str, Any]:
    found = kind.library_config(config, processor, has_tokenizer)
    check = open_clip_config.check_config if kind.family == "open_clip" else timm_config.check_config
    try:
        check(found)
    except ModelError as error:
        raise ModelError(f"in the words of {kind.family}: {error}") from None
    return found
