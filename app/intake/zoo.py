"""The names that open_clip and timm know, from ``zoo.json``: importing the two would load torch into the API.

``make zoo`` asks the installed libraries and writes the file (``tooling.zoo``); a test says when it is old.
"""

import difflib
import json
from functools import cache
from pathlib import Path
from typing import Any

from negmerge.errors import ModelError
from negmerge.formats.timm_config import CIFAR_RESNETS

FILE = Path(__file__).with_name("zoo.json")

_LONGEST_NAME = 100
"""Characters; of a longer one so many are compared and told."""


@cache
def architectures() -> frozenset[str]:
    """open_clip's built-in architectures."""
    return frozenset(_read()["architectures"])


@cache
def unserved() -> dict[str, str]:
    """open_clip's architectures that no job can use → why not."""
    return dict(_read()["unserved"])


@cache
def tags() -> dict[str, frozenset[str]]:
    """Architecture → tags of its published weights, as ``open_clip.list_pretrained`` gives them."""
    return {architecture: frozenset(known) for architecture, known in _read()["tags"].items()}


def is_known(architecture: str, tag: str) -> bool:
    """Whether open_clip has published weights under this tag. It does not mind case or dashes in tags."""
    return tag.lower().replace("-", "_") in tags().get(architecture, frozenset())


@cache
def tower_parameters() -> dict[str, int]:
    """open_clip's architectures with published weights → parameters of the image tower."""
    return dict(_read()["tower_parameters"])


@cache
def classifiers() -> frozenset[str]:
    """timm's architectures, by their names and by older ones that it still takes, and our own."""
    return frozenset([*_read()["classifiers"], *CIFAR_RESNETS])


@cache
def classifier_tags() -> dict[str, frozenset[str]]:
    """timm's architectures → tags of their published weights."""
    return {architecture: frozenset(known) for architecture, known in _read()["classifier_tags"].items()}


def check_architecture(family: str, architecture: str) -> None:
    """Raise ModelError for a name that the family's library does not have, or that no job can use."""
    known = classifiers() if family == "timm" else architectures()
    if architecture not in known:
        near = difflib.get_close_matches(architecture[:_LONGEST_NAME], known, 3)
        hint = f": did you mean {', '.join(near)}?" if near else ""
        raise ModelError(f"{family} has no architecture {architecture[:_LONGEST_NAME]!r}{hint}")
    if family == "open_clip" and architecture in unserved():
        raise ModelError(f"{architecture} cannot be used: {unserved()[architecture]}")


def check_tag(family: str, architecture: str, tag: str | None) -> None:
    """Raise ModelError for a tag that the family's library has not published."""
    if not tag:
        return
    published = classifier_tags() if family == "timm" else tags()
    if not (tag in published.get(architecture, ()) if family == "timm" else is_known(architecture, tag)):
        known = ", ".join(sorted(published.get(architecture, ()))) or "none"
        raise ModelError(f"{architecture} has no published weights {tag!r}; known are {known}")


@cache
def _read() -> dict[str, Any]:
    document: dict[str, Any] = json.loads(FILE.read_text(encoding="utf-8"))
    return document
