"""What all parts of the spec are made of: the base class, constrained types, errors about one field."""

from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic_core import PydanticCustomError

Accuracy = Annotated[float, Field(ge=0, le=1)]
Seed = Annotated[int, Field(ge=0, lt=2**63)]
Share = Annotated[float, Field(gt=0, le=1)]
OnUnreadable = Literal["refuse", "leave_out"]
"""What becomes of images of a data set that cannot be read."""
Text = Annotated[str, Field(min_length=1, pattern=r"^[^\x00]*$")]
"""A name of something. Not empty, and without NUL, which PostgreSQL stores in no text."""


class Spec(BaseModel):
    """Base of all parts: unknown fields are errors, instances do not change, numbers are finite.

    Types are strict, as JSON tells them apart: ``"0.1"`` and ``true`` are no numbers.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


def field_error(field: str, detail: str, *below: str) -> PydanticCustomError:
    """An error that a check of a whole part raises about one of its fields, for the pointer to end there.

    below: the way on from that field, where the error is about something in it.
    """
    return PydanticCustomError("about_field", "{detail}", {"fields": [field, *below], "detail": detail})


def kind(value: Any) -> str:
    """Which branch of a union a value means by its JSON type: ``object`` or ``other``.

    With it as the discriminator, only the branch that was meant reports errors.
    """
    return "object" if isinstance(value, Mapping | BaseModel) else "other"


def listed(names: Iterable[str]) -> str:
    """Names for a message: "a, b", or "none"."""
    return ", ".join(names) or "none"
