"""The config of an open_clip model, judged before anything is built from it. No torch, for the API."""

from collections.abc import Mapping, Sequence
from typing import Any

from negmerge.errors import ModelError
from negmerge.formats import as_trained
from negmerge.formats.tokenizer_files import check_tokenizer

CONFIG_FILE = "open_clip_config.json"
WEIGHTS_FILE = "open_clip_model.safetensors"

VOCABULARY = 49408
"""Words of open_clip's built-in byte-pair vocabulary, the only one that needs no download."""
MIN_CONTEXT, MAX_CONTEXT = 8, 1024
"""Words of a prompt, begin and end included. CLIP takes 77, Long-CLIP 248; attention takes memory as their square."""
MAX_LAYERS = 256
"""Building a model takes a while for each layer; no real one has more."""

MAX_SIDE = 1024
"""Pixels a side; the most of open_clip's is 384."""
MAX_WIDTH = 16_384
"""Channels, heads, features; the most of open_clip's is 1,792."""
MAX_PLACES = 2**23
"""Places of an image times the width, in a table of sines by numpy; 384 pixels of a ViT-gopt make 0.9 million."""
MAX_VOCABULARY = 2**20
"""The most of open_clip's is 901,629."""
MAX_RATIO = 64
MAX_EPS = 1e-2
"""What a LayerNorm adds to a variance; the most of open_clip's is 1e-5."""

_WIDTHS = ("width", "head_width", "heads", "patch_size", "attn_pooler_queries", "attn_pooler_heads")
_DROPPED = ("patch_dropout", "timm_drop", "timm_drop_path")
_GELUS = ("none", "tanh")
_CHOICES = {
    "mode": ("RGB",),
    "interpolation": ("bicubic", "bilinear", "random"),
    "resize_mode": ("shortest", "longest", "squash"),
}


def check_config(config: Any) -> None:
    """Raise ModelError unless this is the config of a model with an image and a text tower, built from local parts.

    Refused are parts that would be fetched from a hub (text towers, timm models by address), and sizes and depths that
    no real model has. A tokenizer of another library must lie beside the weights (``tokenizer_files``).
    """
    model_cfg = config.get("model_cfg") if isinstance(config, dict) else None
    if not isinstance(model_cfg, dict):
        raise ModelError('the config has no "model_cfg": give the JSON of an open_clip_config.json')
    vision, text = model_cfg.get("vision_cfg"), model_cfg.get("text_cfg")
    if not isinstance(vision, dict) or not isinstance(text, dict):
        raise ModelError('"model_cfg" needs "embed_dim", and objects as "vision_cfg" and "text_cfg"')
    if not _whole(model_cfg.get("embed_dim"), 2, MAX_WIDTH):  # of one, a normalised feature is 1 or -1
        raise ModelError(f'"model_cfg" needs "embed_dim", a whole number from 2 to {MAX_WIDTH}')
    _check_towers(vision, text)
    _check_text(text)
    towers: dict[str, Mapping[str, Any]] = {"vision_cfg": vision, "text_cfg": text}
    if model_cfg.get("multimodal_cfg") is not None:
        towers["multimodal_cfg"] = _decoder(model_cfg, vision, text)
    elif wanted := [name for name, tower in towers.items() if tower.get("output_tokens")]:
        raise ModelError(
            f"{wanted[0]}.output_tokens is not served: but in a CoCa, a tower must give one feature vector"
        )
    for name, tower in towers.items():
        _check_depth(tower, name)
        _check_sizes(tower, name)
    preprocess = config.get("preprocess_cfg", {})
    if not isinstance(preprocess, dict):
        raise ModelError('"preprocess_cfg" must be an object')
    _check_preprocess({key: value for key, value in preprocess.items() if value is not None})
    as_trained.check(config)


def _check_towers(vision: Mapping[str, Any], text: Mapping[str, Any]) -> None:
    if text.get("hf_model_name"):
        raise ModelError(
            f"text_cfg.hf_model_name is {str(text['hf_model_name'])[:100]!r}, a text tower of transformers, which is "
            "not served: give a model with a text tower of open_clip's own"
        )
    timm_name = vision.get("timm_model_name") or "none"
    if not (isinstance(timm_name, str) and timm_name.replace(".", "_").isidentifier()):
        raise ModelError("vision_cfg.timm_model_name must be a plain name of timm, not an address")


def _check_text(text: Mapping[str, Any]) -> None:
    """Raise ModelError for a tokenizer that is not served, or that the text tower has no room for."""
    check_tokenizer(text)
    fewest = 1 if text.get("hf_tokenizer_name") else VOCABULARY
    if not _whole(text.get("vocab_size", VOCABULARY), fewest, MAX_VOCABULARY):
        raise ModelError(
            f"text_cfg.vocab_size must be {fewest} or more, as many words as the tokenizer has, and at most "
            f"{MAX_VOCABULARY}"
        )
    for key in ("pad_id", "eos_id"):
        if not _whole(text.get(key, 0), 0, MAX_VOCABULARY - 1):
            raise ModelError(f"text_cfg.{key} must be the number of a word")


def _decoder(model_cfg: Mapping[str, Any], vision: Mapping[str, Any], text: Mapping[str, Any]) -> Mapping[str, Any]:
    """The third tower of a CoCa, which nothing here reads, and which is kept as it is. Raises ModelError."""
    decoder = model_cfg["multimodal_cfg"]
    if not isinstance(decoder, dict) or not model_cfg.get("custom_text"):
        raise ModelError('"multimodal_cfg" must be an object, beside "custom_text": true, as a CoCa has it')
    for name, tower in (("vision_cfg", vision), ("text_cfg", text)):
        if tower.get("output_tokens") is not True:
            raise ModelError(f"{name}.output_tokens must be true in a CoCa")
    for key in ("n_queries", "dim_head"):
        if not _whole(decoder.get(key, 1), 1, MAX_WIDTH):
            raise ModelError(f"multimodal_cfg.{key} must be a whole number from 1 to {MAX_WIDTH}")
    return decoder


def _check_depth(tower: Mapping[str, Any], name: str) -> None:
    if not _whole(tower.get("context_length", 77), MIN_CONTEXT, MAX_CONTEXT):
        raise ModelError(f"{name}.context_length must be a whole number from {MIN_CONTEXT} to {MAX_CONTEXT}")
    layers = tower.get("layers", 12)
    counts = layers if isinstance(layers, list) else [layers]
    if len(counts) not in (1, 4) or not all(_whole(count, 1, MAX_LAYERS) for count in counts):
        raise ModelError(f"{name}.layers must be a whole number from 1 to {MAX_LAYERS}, or four of them (a ResNet)")


def _check_sizes(tower: Mapping[str, Any], name: str) -> None:
    """Raise ModelError for a size or a share that no real tower has; null leaves it to open_clip."""
    for key in _WIDTHS:
        if tower.get(key) is not None and not _whole(tower[key], 1, MAX_WIDTH):
            raise ModelError(f"{name}.{key} must be a whole number from 1 to {MAX_WIDTH}")
    side = tower.get("image_size", 224)
    sides = side if isinstance(side, list) and len(side) == 2 else [side, side]
    if not all(_whole(one, 1, MAX_SIDE) for one in sides):
        raise ModelError(f"{name}.image_size must be a whole number from 1 to {MAX_SIDE}: pixels a side")
    if not _number(ratio := tower.get("mlp_ratio", 4.0)) or not 0 < ratio <= MAX_RATIO:
        raise ModelError(f"{name}.mlp_ratio must be a number above 0, at most {MAX_RATIO}")
    if (initial := tower.get("ls_init_value")) is not None and not (_number(initial) and 0 <= initial <= MAX_RATIO):
        raise ModelError(f"{name}.ls_init_value must be a number from 0 to {MAX_RATIO}")
    _check_places(tower, name, sides)
    _check_arguments(tower, name)
    for key in _DROPPED:
        if (share := tower.get(key)) is not None and not (_number(share) and 0 <= share < 1):
            raise ModelError(f"{name}.{key} must be a share from 0 to below 1")


def _check_places(tower: Mapping[str, Any], name: str, sides: Sequence[int]) -> None:
    """Raise ModelError for a table of sines of more places than a real tower has."""
    patch, width = tower.get("patch_size") or 16, tower.get("width") or 768
    places = (sides[0] // patch) * (sides[1] // patch)
    if tower.get("pos_embed_type") == "sin_cos_2d" and places * width > MAX_PLACES:
        raise ModelError(
            f"{name} asks for sines of {places} places in {width} channels, at most {MAX_PLACES} in all: "
            "look at its image_size, patch_size and width"
        )


def _check_arguments(tower: Mapping[str, Any], name: str) -> None:
    """Raise ModelError for arguments of layers that no real tower has; null leaves them to open_clip."""
    norm, act = tower.get("norm_kwargs") or {}, tower.get("act_kwargs") or {}
    if not isinstance(norm, dict) or norm.keys() - {"eps"}:
        raise ModelError(f"{name}.norm_kwargs may have eps alone")
    if not _number(eps := norm.get("eps", 1e-5)) or not 0 < eps <= MAX_EPS:
        raise ModelError(f"{name}.norm_kwargs.eps must be a number above 0, at most {MAX_EPS:g}")
    if not isinstance(act, dict) or act.keys() - {"approximate"} or act.get("approximate", "none") not in _GELUS:
        raise ModelError(f"{name}.act_kwargs may have approximate alone, one of {', '.join(_GELUS)}")


def _check_preprocess(preprocess: Mapping[str, Any]) -> None:
    for key in ("mean", "std"):
        numbers = preprocess.get(key, [0.5, 0.5, 0.5])
        if not isinstance(numbers, list | tuple) or len(numbers) != 3:
            raise ModelError(f"preprocess_cfg.{key} must be a list of three numbers")
        low = 0.0 if key == "mean" else 1e-3
        if not all(_number(number) and low <= number <= 1 for number in numbers):
            raise ModelError(f"preprocess_cfg.{key} must hold numbers from {low:g} to 1")
    for key, known in _CHOICES.items():
        if preprocess.get(key, known[0]) not in known:
            raise ModelError(f"preprocess_cfg.{key} must be one of {', '.join(known)}")


def _whole(value: Any, low: int, high: int) -> bool:
    return type(value) is int and low <= value <= high


def _number(value: Any) -> bool:
    return type(value) in (int, float)
