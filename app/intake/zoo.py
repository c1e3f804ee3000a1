"""The names that open_clip and timm know, read from their files: importing them would load torch into the API."""

import ast
import difflib
import importlib.util
import re
from functools import cache
from pathlib import Path

from negmerge.errors import ModelError

_QUICK_GELU = "-quickgelu"
_LONGEST_NAME = 100
"""Characters; of a longer one so many are compared and told."""
_REGISTERED = re.compile(r"^@register_model\ndef (\w+)\(", re.MULTILINE)
_RENAMED = re.compile(r"^register_model_deprecations\(__name__, \{(.*?)\}\)", re.MULTILINE | re.DOTALL)
_OLD_NAME = re.compile(r"""['"](\w+)['"]\s*:""")


@cache
def architectures() -> frozenset[str]:
    """The built-in architectures: one JSON file each."""
    return frozenset(path.stem for path in (_folder() / "model_configs").glob("*.json"))


@cache
def tags() -> dict[str, frozenset[str]]:
    """Architecture → tags of its published weights, as ``open_clip.list_pretrained`` gives them.

    The registry is a literal of ``dict(tag=_cfg(…), …)`` calls; a tag with ``quick_gelu=True`` counts for the
    architecture with the suffix ``-quickgelu`` too.
    """
    tree = ast.parse((_folder() / "pretrained.py").read_text(encoding="utf-8"))
    values = {
        node.targets[0].id: node.value
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
    }
    registry = values["_PRETRAINED"]
    assert isinstance(registry, ast.Dict)
    found: dict[str, frozenset[str]] = {}
    for key, value in zip(registry.keys, registry.values, strict=True):
        assert isinstance(key, ast.Constant)
        name = str(key.value)
        entry = values[value.id] if isinstance(value, ast.Name) else value
        assert isinstance(entry, ast.Call)
        found[name] = frozenset(tag.arg for tag in entry.keywords if tag.arg)
        if quick := frozenset(tag.arg for tag in entry.keywords if tag.arg and _is_quick_gelu(tag.value)):
            found[name + _QUICK_GELU] = quick
    return found


def is_known(architecture: str, tag: str) -> bool:
    """Whether open_clip has published weights under this tag. It does not mind case or dashes in tags."""
    return tag.lower().replace("-", "_") in tags().get(architecture, frozenset())


@cache
def classifiers() -> frozenset[str]:
    """timm's architectures: each is a function that is registered under its own name, and perhaps under older ones.

    Found by their form, as parsing timm's files takes half a second and this a twentieth.
    """
    found: set[str] = set()
    for path in (_folder("timm") / "models").glob("*.py"):
        source = path.read_text(encoding="utf-8")
        found.update(_REGISTERED.findall(source))
        for names in _RENAMED.findall(source):
            found.update(_OLD_NAME.findall(names))
    return frozenset(found)


def check_architecture(family: str, architecture: str) -> None:
    """Raise ModelError for a name that the family's library does not have."""
    known = classifiers() if family == "timm" else architectures()
    if architecture not in known:
        near = difflib.get_close_matches(architecture[:_LONGEST_NAME], known, 3)
        hint = f": did you mean {', '.join(near)}?" if near else ""
        raise ModelError(f"{family} has no architecture {architecture[:_LONGEST_NAME]!r}{hint}")


def check_tag(family: str, architecture: str, tag: str | None) -> None:
    """Raise ModelError for a tag that open_clip has not published; timm's are looked up by the worker."""
    if family == "open_clip" and tag and not is_known(architecture, tag):
        known = ", ".join(sorted(tags().get(architecture, ()))) or "none"
        raise ModelError(f"{architecture} has no published weights {tag!r}; known are {known}")


def _is_quick_gelu(value: ast.expr) -> bool:
    if not isinstance(value, ast.Call):
        return False
    marks = [word.value for word in value.keywords if word.arg == "quick_gelu"]
    return any(isinstance(mark, ast.Constant) and mark.value is True for mark in marks)


def _folder(package: str = "open_clip") -> Path:
    spec = importlib.util.find_spec(package)
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent
