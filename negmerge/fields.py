"""What all parts of the spec are made of: the base class and the constrained types."""

from collections.abc import Iterable
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Accuracy = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Seed = Annotated[int, Field(ge=0, lt=2**63)]
Share = Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)]
NonNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class Spec(BaseModel):
    """Base of all parts: unknown fields are errors, instances do not change."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def listed(names: Iterable[str]) -> str:
    """Names for a message: "a, b", or "none"."""
    return ", ".join(names) or "none"
