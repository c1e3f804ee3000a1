"""The names that open_clip knows, read from its files: importing it would load torch into the API."""

import ast
import importlib.util
from functools import cache
from pathlib import Path

_QUICK_GELU = "-quickgelu"


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


def _is_quick_gelu(value: ast.expr) -> bool:
    if not isinstance(value, ast.Call):
        return False
    marks = [word.value for word in value.keywords if word.arg == "quick_gelu"]
    return any(isinstance(mark, ast.Constant) and mark.value is True for mark in marks)


def _folder() -> Path:
    spec = importlib.util.find_spec("open_clip")
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent
