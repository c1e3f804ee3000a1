"""Answers of another version of the service, read as far as this one knows them. pydantic only.

What goes out is judged strictly, what comes in is not: ``read`` passes over fields that it does not know, and takes a
value that it does not know, of a field that is marked ``Open``, as it is. Whoever validates otherwise is as strict as
ever. For answers of an older service, a field that came later has a default.
"""

from collections.abc import Callable
from typing import Annotated, Any, TypeVar

from pydantic import TypeAdapter, ValidationError, ValidationInfo, WrapValidator

T = TypeVar("T")

_TOLERANT = object()


class Unknown(str):
    """A value that another version knows. It has a ``value``, as a member of an enumeration has."""

    __slots__ = ()

    @property
    def value(self) -> str:
        """The value itself."""
        return str(self)


def _known_or_as_it_is(value: Any, check: Callable[[Any], Any], info: ValidationInfo) -> Any:
    try:
        return check(value)
    except ValidationError:
        if not is_tolerant(info) or not isinstance(value, str):
            raise
        return Unknown(value)


Open = Annotated[T, WrapValidator(_known_or_as_it_is)]
"""One of a few words, to which later versions may add: ``read`` gives an ``Unknown`` for another."""


def is_tolerant(info: ValidationInfo) -> bool:
    """Whether ``read`` is what validates."""
    return info.context is _TOLERANT


def read(kind: type[T], body: bytes | str) -> T:
    """An answer as a record. Raises pydantic's ValidationError for what no version would answer."""
    return TypeAdapter(kind).validate_json(body, extra="ignore", context=_TOLERANT)
