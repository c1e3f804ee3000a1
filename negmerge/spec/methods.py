"""The merge methods as a spec names them. No numpy, no torch: the methods themselves are in ``merging.methods``.

``methods.json`` is written from those classes by ``make names``, so that another method is one class.
"""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

FILE = Path(__file__).with_name("methods.json")

_KNOWN: dict[str, dict[str, Any]] = json.loads(FILE.read_text(encoding="utf-8"))

_OTHERS = {
    "base": "base model",
    "retrain": "retrained",
    "fine_tune": "fine-tuned on retain",
    "gradient_ascent": "gradient ascent",
    "random_label": "random label",
    "l1_sparse": "ℓ1-sparse",
    "influence": "influence unlearning",
    "boundary_shrink": "boundary shrink",
    "salun": "SalUn",
}
"""What tables call that which is no merge."""

METHOD_NAMES = tuple(_KNOWN)
"""The names of all merge methods, the default first."""

if TYPE_CHECKING:
    MethodName = str
else:
    MethodName = Literal[METHOD_NAMES]
"""One of ``METHOD_NAMES``: pydantic refuses any other."""


def needs_kept_vectors(method: str) -> bool:
    """Whether the method reads every task vector again when all are there, so that a job must keep them."""
    return bool(_KNOWN[method]["needs_kept_vectors"])


def needs_singles(method: str) -> bool:
    """Whether every point is searched as a single model for it."""
    return bool(_KNOWN[method]["needs_singles"])


def components(method: str) -> frozenset[str]:
    """What is added up for the method: components of an accumulator."""
    return frozenset(_KNOWN[method]["components"])


def options_added_with(method: str) -> list[str]:
    """The options of a spec's ``merge`` on which it depends what is added up, not only what is made of it."""
    return list(_KNOWN[method]["options"])


def label(method: str) -> str:
    """What a table calls a merge method, a rival or the base model; its name where nothing else is known."""
    return str(_KNOWN[method]["label"]) if method in _KNOWN else _OTHERS.get(method, method)


def colour(method: str) -> str:
    """The method's colour in every picture and table, as ``#rrggbb``."""
    return str(_KNOWN[method]["colour"])
