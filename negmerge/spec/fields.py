"""What all parts of the spec are made of: the base class, constrained types, errors about one field."""

from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    GetJsonSchemaHandler,
    WrapValidator,
    model_validator,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, PydanticCustomError

MAX_ERRORS = 100
"""Of a document's wrong fields so many are told, and of one object's no more are looked for."""

Accuracy = Annotated[float, Field(ge=0, le=1)]
Seed = Annotated[int, Field(ge=0, lt=2**63)]
Share = Annotated[float, Field(gt=0, le=1)]
OnUnreadable = Literal["refuse", "leave_out"]
"""What becomes of images of a data set that cannot be read."""
Text = Annotated[str, Field(min_length=1, pattern=r"^[^\x00]*$")]
"""A name of something. Not empty, and without NUL, which PostgreSQL stores in no text."""

MAX_PLACE = 4096
"""Characters, as the system's own paths have at most: resolving longer ones takes time as their square."""
Place = Annotated[Text, Field(max_length=MAX_PLACE)]
"""An id, a URI, a folder, a tag."""


class Part(BaseModel):
    """Base of what strangers send as JSON. Of fields that it has not, no more are looked at than are told."""

    @model_validator(mode="before")
    @classmethod
    def _first_unknown(cls, document: Any) -> Any:
        if not isinstance(document, dict) or len(document) <= len(cls.model_fields) + MAX_ERRORS:
            return document
        unknown = islice((name for name in document if name not in cls.model_fields), MAX_ERRORS)
        return {name: document[name] for name in [*cls.model_fields, *unknown] if name in document}


class Spec(Part):
    """Base of all parts: unknown fields are errors, instances do not change, numbers are finite.

    Types are strict, as JSON tells them apart: ``"0.1"`` and ``true`` are no numbers.
    """

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


def _in_pieces(entries: Any, check: Any) -> Any:
    if not isinstance(entries, dict):
        return check(entries)
    left, checked = iter(entries.items()), dict[str, Any]()
    while piece := dict(islice(left, MAX_ERRORS)):
        checked |= check(piece)
    return checked


IN_PIECES = WrapValidator(_in_pieces)
"""For an object with any keys: its entries are checked up to the first hundred of which one is wrong."""


def at_most(number: int) -> BeforeValidator:
    """For an object with any keys: they are counted before the first one is looked at."""

    def check(entries: Any) -> Any:
        if isinstance(entries, dict) and len(entries) > number:
            raise PydanticCustomError(
                "too_long", "has {found} entries, of at most {number}", {"found": len(entries), "number": number}
            )
        return entries

    return BeforeValidator(check)


class SchemaOf:
    """For JSON that holds a part as it was accepted once: its schema is the part's, and nobody judges it again."""

    def __init__(self, part: type[Part]) -> None:
        self._part = part

    def __get_pydantic_json_schema__(self, _: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return handler(self._part.__pydantic_core_schema__)


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
