"""The config of a timm classifier, judged before anything is built from it. No torch, for the API.

It is timm's own ``config.json`` (``architecture``, ``num_classes``, ``model_args``, ``pretrained_cfg``,
``label_names``) and one key of ours, ``"stem": "cifar"``, for what timm has no word for: a ResNet with the 3×3 stem
of small images.
"""

from collections.abc import Mapping, Sequence
from math import isfinite
from typing import Any

from negmerge.errors import DataError, ModelError

CONFIG_FILE = "config.json"
WEIGHTS_FILE = "model.safetensors"

CIFAR_STEM = "cifar"
MAX_CLASSES = 100_000
MAX_NAME = 100
"""Characters of an architecture's name; none of timm's comes near."""
MAX_SIDE = 4096
"""Pixels a side; no served model takes more."""
MAX_BLOCKS = 256
"""Building a model takes a while for each block; no real one has more."""

# What may be said about an architecture: sizes and plain choices. Whatever names a file, a hub or code may not.
_DEPTHS = ("depth", "depths", "layers")
_SIZES = (
    *("img_size", "patch_size", "embed_dim", "channels", "num_heads", "head_dim", "window_size", "stem_width"),
    *("base_width", "cardinality", "reg_tokens", "block_reduce_first", "down_kernel_size"),
)
_NUMBERS = (
    *("mlp_ratio", "init_values", "drop_rate", "drop_path_rate", "proj_drop_rate", "attn_drop_rate"),
    *("pos_drop_rate", "patch_drop_rate"),
)
_SWITCHES = ("qkv_bias", "class_token", "pre_norm", "final_norm", "fc_norm", "avg_down", "replace_stem_pool")
_WORDS = {
    "global_pool": ("", "avg", "max", "avgmax", "catavgmax", "token", "map"),
    "stem_type": ("", "deep", "deep_tiered"),
}
PREPROCESS = ("input_size", "interpolation", "crop_pct", "crop_mode", "mean", "std")
"""What timm's ``pretrained_cfg`` says of how images are prepared."""
_CHOICES = {
    "interpolation": ("bicubic", "bilinear", "nearest"),
    "crop_mode": ("center", "squash", "border"),
}


def check_config(config: Any) -> None:
    """Raise ModelError unless this is the config of a classifier that is built from timm's own parts alone."""
    if not isinstance(config, dict):
        raise ModelError("the config must be an object: give the JSON of a timm folder's config.json")
    check_name(config.get("architecture"))
    classes = config.get("num_classes")
    if not _whole(classes, 1, MAX_CLASSES):
        raise ModelError(f'"num_classes" must be a whole number from 1 to {MAX_CLASSES}: how many outputs the head has')
    if config.get("stem") not in (None, CIFAR_STEM):
        raise ModelError(f'"stem" must be {CIFAR_STEM!r} where it is given: the 3×3 stem of a ResNet for small images')
    for key in ("model_args", "pretrained_cfg"):
        if not isinstance(config.get(key, {}), dict):
            raise ModelError(f'"{key}" must be an object')
    for key, value in config.get("model_args", {}).items():
        _check_argument(key, value)
    _check_preprocess({key: value for key, value in preprocess_of(config).items() if value is not None})
    names = label_names(config)
    if names is not None and len(set(names)) != classes:
        raise ModelError(f'"label_names" must hold {classes} different names, one for each output of the head')


def check_name(architecture: Any) -> None:
    """Raise ModelError unless this is a plain name such as ``resnet18``, no address of a hub or a folder."""
    named = isinstance(architecture, str) and len(architecture) <= MAX_NAME
    if not (named and architecture.isascii() and architecture.isidentifier()):
        raise ModelError('"architecture" must be a plain name of timm such as resnet18, not an address')


def preprocess_of(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """What the config says of how images are prepared. timm's older folders say it beside all else."""
    preprocess: Mapping[str, Any] = config.get("pretrained_cfg", config)
    return preprocess


def label_names(config: Mapping[str, Any]) -> list[str] | None:
    """What each output of the head is called, in order; None where the config does not say. Raises ModelError."""
    given = config.get("label_names", preprocess_of(config).get("label_names"))
    if given is None:
        given = config.get("labels")  # as older folders have it
    if given is None:
        return None
    if isinstance(given, dict):  # timm allows output → name
        given = [given.get(str(output)) for output in range(len(given))]
    if not isinstance(given, list) or not all(isinstance(name, str) and name for name in given):
        raise ModelError('"label_names" must be a list of names, one for each output of the head, in order')
    return given


def outputs_of(config: Mapping[str, Any], classes: Sequence[str], class_words: Sequence[str]) -> list[int]:
    """For each class of a data set the output of the head that means it.

    The config's ``label_names`` say which output is which, by a class's name or its words; without them the outputs are
    the data set's classes, sorted by name. Raises DataError where these are not as many, or where a class has none.
    """
    names, size = label_names(config), int(config["num_classes"])
    if names is None:
        if len(classes) != size:
            raise DataError(
                f"the classifier's head has {size} outputs and the data set {len(classes)} classes: "
                'say in the config\'s "label_names" which output is which'
            )
        return list(range(size))
    places = {name: output for output, name in enumerate(names)}
    found = []
    for name, words in zip(classes, class_words, strict=True):
        output = places.get(name, places.get(words))
        if output is None:
            more = f" and {size - 10} more" if size > 10 else ""
            raise DataError(
                f"the classifier has no output for the class {name!r}: its label_names are "
                f"{', '.join(names[:10])}{more}"
            )
        found.append(output)
    return found


def _check_argument(key: str, value: Any) -> None:
    """A switch, a word, a number, or a size or a list of sizes."""
    values = value if isinstance(value, list) else [value]
    if key in _SWITCHES:
        allowed, what = isinstance(value, bool), "true or false"
    elif key in _WORDS:
        allowed, what = value in _WORDS[key], f"one of {', '.join(map(repr, _WORDS[key]))}"
    elif key in _NUMBERS:
        allowed, what = type(value) in (int, float) and isfinite(value) and 0 <= value <= 64, "a number from 0 to 64"
    elif key in _DEPTHS:
        allowed = all(_whole(one, 0, MAX_BLOCKS) for one in values) and len(values) <= 8
        what = f"whole numbers up to {MAX_BLOCKS}, at most 8 of them"
    elif key in _SIZES:
        allowed = all(_whole(one, 0, MAX_SIDE) for one in values) and len(values) <= 8
        what = f"whole numbers up to {MAX_SIDE}, at most 8 of them"
    else:
        raise ModelError(f'"model_args" names {key!r}, which is not served: leave it out')
    if not allowed:
        raise ModelError(f'"model_args" needs {what} as {key!r}')


def _check_preprocess(preprocess: Mapping[str, Any]) -> None:
    size = preprocess.get("input_size", [3, 224, 224])
    if not (isinstance(size, list) and len(size) == 3 and all(_whole(one, 1, MAX_SIDE) for one in size)):
        raise ModelError(f'"input_size" must be three whole numbers up to {MAX_SIDE}, such as [3, 32, 32]')
    if size[0] != 3 or size[1] != size[2]:
        raise ModelError(f'"input_size" is {size}: only square images of three channels are served')
    for key, low in (("mean", 0.0), ("std", 1e-3)):
        numbers = preprocess.get(key, [0.5, 0.5, 0.5])
        if not (isinstance(numbers, list) and len(numbers) == 3):
            raise ModelError(f'"{key}" must be a list of three numbers')
        if not all(type(number) in (int, float) and low <= number <= 1 for number in numbers):
            raise ModelError(f'"{key}" must hold numbers from {low:g} to 1')
    crop = preprocess.get("crop_pct", 1.0)
    if type(crop) not in (int, float) or not 0.1 <= crop <= 1:
        raise ModelError('"crop_pct" must be a number from 0.1 to 1')
    for key, known in _CHOICES.items():
        if preprocess.get(key, known[0]) not in known:
            raise ModelError(f'"{key}" must be one of {", ".join(known)}')


def _whole(value: Any, low: int, high: int) -> bool:
    return type(value) is int and low <= value <= high
