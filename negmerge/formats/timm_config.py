"""The config of a timm classifier, judged before anything is built from it. No torch, for the API.

It is timm's own ``config.json`` (``architecture``, ``num_classes``, ``model_args``, ``pretrained_cfg``,
``label_names``) and, for what timm has no word for, keys of ours, ``"stem": "cifar"``, a ResNet with the 3×3 stem of
small images, and ``as_trained``, and architectures of ours, ``CIFAR_RESNETS``.
"""

import difflib
import json
import re
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from negmerge.errors import DataError, ModelError
from negmerge.formats import as_trained
from negmerge.naming import NAME_RULE, is_name, one_form, shown

CONFIG_FILE = "config.json"
WEIGHTS_FILE = "model.safetensors"

CIFAR_STEM = "cifar"
CIFAR_RESNETS = tuple(f"cifar_resnet{layers}" for layers in (20, 32, 44, 56, 110))
"""ResNets of three stages for small images (He et al. 2016, §4.2), which timm has not."""
MAX_CLASSES = 100_000
MAX_NAME = 100
"""Characters of an architecture's name; none of timm's comes near."""
MAX_SIDE = 1024
"""Pixels a side; no model of timm's takes more."""
MAX_BLOCKS = 256
"""Building a model takes a while for each block; no real one has more."""
MAX_WINDOW = 32
"""Places a side that look at each other; the most of timm's is 32 (tiny_vit_21m_512)."""
MAX_WIDTH = 16_384
"""Channels, heads, steps: the most of timm's is 10,240."""
MAX_RATIO = 64
"""Of one width to another, and of all other fractions but the bases of rotary embeddings."""
ARGUMENTS_FILE = Path(__file__).with_name("timm_arguments.json")

_DEPTHS = ("depth", "depths", "layers", "cls_attn_layers", "num_rnn_layers")
_WINDOWS = ("window_size", "window_sizes", "pretrained_window_sizes", "focal_windows")
_BASES = ("rope_theta", "rope_temperature")
_MAX_BASE = 10**6
_MAX_VALUES = 64  # of one argument, all its lists together
_CHANNELS = 3
_CALLED = {"bool": "true or false", "int": "whole numbers", "float": "numbers", "str": "a word", "dict": "an object"}
_WORD = re.compile(r"\w{0,40}", re.ASCII)
PREPROCESS = ("input_size", "interpolation", "crop_pct", "crop_mode", "mean", "std")
"""What timm's ``pretrained_cfg`` says of how images are prepared."""
_TAG = re.compile(r"[\w-]{1,60}", re.ASCII)
_CHOICES = {
    "interpolation": ("bicubic", "bilinear", "nearest", "lanczos", "box", "hamming"),
    "crop_mode": ("center", "squash", "border"),
}


def check_config(config: Any) -> None:
    """Raise ModelError unless this is the config of a classifier that is built from timm's own parts alone."""
    if not isinstance(config, dict):
        raise ModelError("the config must be an object: give the JSON of a timm folder's config.json")
    if "architecture" not in config and "model_type" in config:
        raise ModelError(
            f"the config is one of Hugging Face transformers ({config['model_type']!r:.60}), which says too little by "
            "itself: give the whole folder, with its weights and preprocessor_config.json"
        )
    check_name(config.get("architecture"))
    classes = config.get("num_classes")
    if not _whole(classes, 1, MAX_CLASSES):
        raise ModelError(f'"num_classes" must be a whole number from 1 to {MAX_CLASSES}: how many outputs the head has')
    if config.get("stem") not in (None, CIFAR_STEM):
        raise ModelError(f'"stem" must be {CIFAR_STEM!r} where it is given: the 3×3 stem of a ResNet for small images')
    if architecture_of(config) in CIFAR_RESNETS and (config.get("model_args") or config.get("stem")):
        raise ModelError(f'"{config["architecture"]}" is built one way: leave "model_args" and "stem" out')
    for key in ("model_args", "pretrained_cfg"):
        if not isinstance(config.get(key, {}), dict):
            raise ModelError(f'"{key}" must be an object')
    for key, value in config.get("model_args", {}).items():
        _check_argument(key, value, classes)
    _check_preprocess({key: value for key, value in preprocess_of(config).items() if value is not None})
    as_trained.check(config)
    names = label_names(config)
    if names is not None and not len(names) == len({one_form(name) for name in names}) == classes:
        raise ModelError(f'"label_names" must hold {classes} different names, one for each output of the head')


def check_name(architecture: Any) -> None:
    """Raise ModelError unless this is a plain name such as ``resnet18``, no address of a hub or a folder.

    A tag may follow after a dot, as in ``resnet18.a1_in1k``; which weights there are says the folder.
    """
    name, dot, tag = architecture.partition(".") if isinstance(architecture, str) else ("", "", "")
    named = len(name) <= MAX_NAME and name.isascii() and name.isidentifier()
    if not named or (dot and not _TAG.fullmatch(tag)):
        raise ModelError('"architecture" must be a plain name of timm such as resnet18, not an address')


def architecture_of(config: Mapping[str, Any]) -> str:
    """The architecture's name, without a tag."""
    name: str = config["architecture"].partition(".")[0]
    return name


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
    if not isinstance(given, list) or not all(isinstance(name, str) and is_name(name) for name in given):
        raise ModelError(
            f'"label_names" must be a list of names ({NAME_RULE}), one for each output of the head, in order'
        )
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
    places = {one_form(name): output for output, name in enumerate(names)}
    found = []
    for name, words in zip(classes, class_words, strict=True):
        output = places.get(one_form(name), places.get(one_form(words)))
        if output is None:
            more = f" and {size - 10} more" if size > 10 else ""
            raise DataError(
                f"the classifier has no output for the class {shown(name)}: its label_names are "
                f"{', '.join(names[:10])}{more}"
            )
        found.append(output)
    return found


@cache
def known_arguments() -> dict[str, list[str]]:
    """What the constructors of timm's models take, name → kinds of values, from ``make zoo``."""
    known: dict[str, list[str]] = json.loads(ARGUMENTS_FILE.read_text(encoding="utf-8"))
    return known


def _check_argument(key: str, value: Any, classes: Any) -> None:
    """One of ``model_args``: a switch, a word, a number, or lists of them, of no more than a real model has."""
    if key not in known_arguments():
        near = difflib.get_close_matches(key[:MAX_NAME], known_arguments(), 1)
        hint = f"did you mean {near[0]!r}?" if near else "leave it out"
        raise ModelError(f'"model_args" names {key[:MAX_NAME]!r}, which no model of timm takes: {hint}')
    if key == "num_classes" and value != classes:
        raise ModelError(
            f'"model_args" has "num_classes" {value!r:.100}, but "num_classes" is {classes}: leave one out'
        )
    if key == "in_chans" and value != _CHANNELS:
        raise ModelError(f'"model_args" has "in_chans" {value!r:.100}: only images of three channels are served')
    values = _flat(value)
    if len(values) > _MAX_VALUES:
        raise ModelError(f'"model_args" has {len(values)} values as {key!r}: at most {_MAX_VALUES} are taken')
    if key in _DEPTHS and values and not any(value != 0 for value in values):  # some stages of a model may have none
        raise ModelError(f'"model_args" needs a block as {key!r}: a model without any means nothing')
    for one in values:
        if what := _wanted(key, one):
            raise ModelError(f'"model_args" needs {what} as {key!r}')
        if isinstance(one, dict):
            _check_object(key, one)


def _check_object(key: str, arguments: Mapping[str, Any]) -> None:
    """An argument that is arguments of a part, such as a ResNet's blocks: each as at the top, and no object."""
    for name, value in arguments.items():
        values = _flat(value)
        if len(values) + len(arguments) > _MAX_VALUES or any(isinstance(one, dict) for one in values):
            raise ModelError(f'"model_args" has more in {key!r} than is taken: {_MAX_VALUES} values, without objects')
        try:
            _check_argument(name, value, None)
        except ModelError as error:
            raise ModelError(f"in {key!r}: {error}") from None


def _wanted(key: str, value: Any) -> str:
    """What this value of an argument should be; nothing where it may be as it is."""
    kinds, kind = known_arguments()[key], type(value).__name__
    if value is None or key == "num_classes":
        return ""
    if kind not in kinds and not (kind == "int" and "float" in kinds):
        return " or ".join(_CALLED[kind] for kind in kinds)
    if kind == "str" and not _WORD.fullmatch(value):
        return "a plain word of letters, digits and underscores"
    if kind == "int" and not _least(key) <= value <= _most(key):
        return f"whole numbers from {_least(key)} to {_most(key)}"
    if key.endswith(("drop_rate", "drop_path_rate")) and not 0 <= value < 1:
        return "a number from 0 to below 1"
    if kind == "float" and not 0 <= value <= _largest_ratio(key):
        return f"numbers from 0 to {_largest_ratio(key):g}"
    return ""


def _least(key: str) -> int:
    return -MAX_BLOCKS if key.endswith("indices") else 0


def _most(key: str) -> int:
    """The largest whole number that an argument may be."""
    if "float" in known_arguments()[key]:
        return _largest_ratio(key)
    if key in _WINDOWS:
        return MAX_WINDOW
    return MAX_BLOCKS if key in _DEPTHS else MAX_SIDE if key == "img_size" else MAX_WIDTH


def _largest_ratio(key: str) -> int:
    return _MAX_BASE if key in _BASES else MAX_RATIO


def _flat(value: Any) -> list[Any]:
    """The values of lists in lists."""
    return [one for part in value for one in _flat(part)] if isinstance(value, list) else [value]


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
    if type(crop) not in (int, float) or not 0.1 <= crop <= 1.25:
        raise ModelError('"crop_pct" must be a number from 0.1 to 1.25')
    if preprocess.get("interpolation") == "random":
        raise ModelError(
            '"interpolation" is "random", which is for training: name the one of evaluation, such as bicubic'
        )
    for key, known in _CHOICES.items():
        if preprocess.get(key, known[0]) not in known:
            raise ModelError(f'"{key}" must be one of {", ".join(known)}')


def _whole(value: Any, low: int, high: int) -> bool:
    return type(value) is int and low <= value <= high
