"""Numbers as people write them, and the largest scale. No pydantic: a command's help needs them too."""

import re
from typing import Any

MAX_SCALE = 1000
"""Largest fixed λ: as a |τ| is below 8, θ₀ − λ·τ then stays finite in every storage type, float16 too."""

_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)


def plain_number(text: Any) -> Any:
    """A number that came as text, as people and JSON write it: Python alone reads ``1_0`` as 10. Raises ValueError."""
    if isinstance(text, str) and not _NUMBER.fullmatch(text):
        raise ValueError("write it as a finite number, such as 20 or 0.6")
    return text
