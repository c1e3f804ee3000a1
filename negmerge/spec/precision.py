"""In which precision the points and rivals of a job are trained: what a spec asks for, and what was used. No torch."""

from dataclasses import dataclass
from typing import Literal

Precision = Literal["float32", "bfloat16"]
AskedPrecision = Literal["auto", "float32", "bfloat16"]

Bfloat16By = Literal["amx", "avx512", "cuda", "emulated"]
"""What computes bf16: each of them adds up in another order, or rounds elsewhere, and so gives other bits."""


@dataclass(frozen=True)
class Trained:
    """How the points of a job are trained. by: what computes bf16; None for float32, which asks for none of it."""

    precision: Precision
    by: Bfloat16By | None = None


FLOAT32 = Trained("float32")
