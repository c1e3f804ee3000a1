"""What a config of ours says of a model's arithmetic where its library has no word for it: ``"as_trained"``.

``{"norm_eps": 1e-12, "gelu": "tanh"}``: what its LayerNorms add to a variance, and how its GELUs are approximated. The
library itself passes it over, and computes nearly the same.
"""

from collections.abc import Mapping
from typing import Any

from negmerge.errors import ModelError

KEY = "as_trained"
GELUS = ("none", "tanh")
MAX_EPS = 1e-2
"""The most that any library's is, 1e-5, and room for a thousand times as much."""


def check(config: Mapping[str, Any]) -> None:
    """Raise ModelError unless the key is left out or says both."""
    said = config.get(KEY)
    if said is None:
        return
    if not isinstance(said, dict) or said.keys() != {"norm_eps", "gelu"}:
        raise ModelError(f'"{KEY}" must be an object of "norm_eps" and "gelu"')
    if type(said["norm_eps"]) not in (int, float) or not 0 < said["norm_eps"] <= MAX_EPS:
        raise ModelError(f'"norm_eps" of "{KEY}" must be a number above 0, at most {MAX_EPS:g}')
    if said["gelu"] not in GELUS:
        raise ModelError(f'"gelu" of "{KEY}" must be one of {", ".join(GELUS)}')
