"""A config of transformers, read field by field: strangers write it, and what it leaves out has a known value."""

from collections.abc import Mapping
from typing import Any

from negmerge.errors import ModelError

Config = Mapping[str, Any]

MOST = 2**20
"""The largest whole number that any field has; what the library's own config may have is judged after it."""


def whole(config: Config, key: str, usual: int) -> int:
    """A whole number above 0. Raises ModelError."""
    value = config.get(key, usual)
    if type(value) is not int or not 1 <= value <= MOST:
        raise ModelError(f'"{key}" must be a whole number from 1 to {MOST}')
    return value


def wholes(config: Config, key: str, usual: list[int], most: int) -> list[int]:
    """One or more whole numbers above 0. Raises ModelError."""
    values = config.get(key, usual)
    if not isinstance(values, list) or not 1 <= len(values) <= most:
        raise ModelError(f'"{key}" must be a list of 1 to {most} whole numbers')
    return [whole({key: value}, key, 1) for value in values]


def number(config: Config, key: str, usual: float) -> float:
    """A number above 0. Raises ModelError."""
    value = config.get(key, usual)
    if type(value) not in (int, float) or not 0 < value <= MOST:
        raise ModelError(f'"{key}" must be a number above 0')
    return float(value)


def switch(config: Config, key: str, usual: bool) -> bool:
    """True or false. Raises ModelError."""
    value = config.get(key, usual)
    if type(value) is not bool:
        raise ModelError(f'"{key}" must be true or false')
    return value


def part(config: Config, key: str) -> dict[str, Any]:
    """An object, empty where it is left out or null. Raises ModelError."""
    value = config.get(key)
    if value is not None and not isinstance(value, dict):
        raise ModelError(f'"{key}" must be an object')
    return dict(value or {})


def side(config: Config, key: str, usual: int) -> int:
    """Pixels a side of a square, which may be written as two equal ones. Raises ModelError."""
    value = config.get(key, usual)
    if isinstance(value, list) and len(value) == 2 and value[0] == value[1]:
        value = value[0]
    return whole({key: value}, key, usual)


def approximation(config: Config, usual: str = "gelu") -> str:
    """How the activation approximates a GELU, ``none`` or ``tanh``. Raises ModelError for any other activation."""
    return GELUS[choice(config, "hidden_act", usual, tuple(GELUS))]


def choice(config: Config, key: str, usual: str, known: tuple[str, ...]) -> str:
    """One of a few words. Raises ModelError."""
    value = config.get(key, usual)
    if not isinstance(value, str) or value not in known:
        raise ModelError(f'"{key}" is {value!r:.100}: of this architecture only {", ".join(known)} can be served')
    return value


GELUS = {"gelu": "none", "gelu_pytorch_tanh": "tanh", "gelu_new": "tanh"}
"""transformers' name → torch's. ``gelu_new`` is the same formula, written out."""


def ratio(config: Config, inner: str, outer: str, usual: tuple[int, int]) -> float:
    """The width of a layer's middle to its ends, by which open_clip and timm say it. Raises ModelError."""
    middle, ends = whole(config, inner, usual[0]), whole(config, outer, usual[1])
    found = middle / ends
    if int(ends * found) != middle:
        raise ModelError(f'"{inner}" {middle} is no share of "{outer}" {ends} that can be written as a number')
    return found


def check_channels(config: Config) -> None:
    """Raise ModelError where images have other channels than red, green and blue."""
    if config.get("num_channels", 3) != 3:
        raise ModelError(f'"num_channels" is {config["num_channels"]!r:.20}: only images of three channels are served')


def heads(config: Config, key: str, width: int, usual: int) -> int:
    """The number of attention heads, of which each has the same width. Raises ModelError."""
    found = whole(config, key, usual)
    if width % found:
        raise ModelError(f'"{key}" is {found}, of which no whole number makes a width of {width}')
    return found
