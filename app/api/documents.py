"""JSON from a client: read with a limit and judged strictly before anything is made of it.

Stricter than ``json.loads``: UTF-8 only, no NaN or Infinity, no key twice in an object, no NUL and no lone
surrogates (neither database can hold them), and not nested deeper than anything of ours is.
"""

import hashlib
import json
from dataclasses import dataclass
from typing import Any, NoReturn, TypeVar

from pydantic import BaseModel, ValidationError
from starlette.requests import Request

from app.errors import Invalid, Malformed, TooLarge, UnsupportedMedia
from negmerge.errors import FieldError
from negmerge.spec import field_errors

MAX_DEPTH = 32

Model = TypeVar("Model", bound=BaseModel)


@dataclass(frozen=True)
class Document:
    """A JSON object, and the SHA-256 of its canonical form: the same for any order of keys and any spaces."""

    value: dict[str, Any]
    sha256: str


async def read(request: Request, max_bytes: int) -> Document:
    """The request's body as a JSON object. Raises UnsupportedMedia, TooLarge and Malformed."""
    if media_type(request) != "application/json":
        raise UnsupportedMedia("send JSON with 'Content-Type: application/json'")
    body = bytearray()
    async for chunk in request.stream():
        body.extend(chunk)
        if len(body) > max_bytes:
            raise TooLarge(f"a JSON body may have {max_bytes} bytes (NEGMERGE_MAX_BODY_BYTES)")
    value = parse(bytes(body))
    if not isinstance(value, dict):
        raise Malformed("the body must be a JSON object")
    canonical = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return Document(value, hashlib.sha256(canonical.encode()).hexdigest())


def media_type(request: Request) -> str:
    """The Content-Type without its parameters, in lower case."""
    return request.headers.get("content-type", "").partition(";")[0].strip().lower()


def parse(text: bytes | str) -> Any:
    """JSON, strictly. Raises Malformed."""
    try:
        decoded = text if isinstance(text, str) else text.decode()
        value = json.loads(decoded, parse_constant=_no_constant, object_pairs_hook=_unique)
    except UnicodeDecodeError:
        raise Malformed("JSON must be UTF-8") from None
    except RecursionError:
        raise Malformed(f"JSON may be nested {MAX_DEPTH} deep") from None
    except ValueError as error:
        raise Malformed(f"this is not JSON: {error}") from None
    _check(value)
    return value


def validated(kind: type[Model], value: Any) -> Model:
    """The value as a schema. Raises Invalid with a JSON pointer for each wrong field."""
    try:
        return kind.model_validate(value)
    except ValidationError as error:
        wrong = field_errors(error.errors(), value)
        detail = "; ".join(f"{field.pointer or '/'}: {field.detail}" for field in wrong)
        raise Invalid(detail, wrong) from None


def form(fields: dict[str, str], json_fields: frozenset[str]) -> dict[str, Any]:
    """The text parts of a form as one document: ``json_fields`` hold JSON, the others plain text."""
    document: dict[str, Any] = {}
    for name, text in fields.items():
        try:
            document[name] = parse(text) if name in json_fields else text
        except Malformed as error:
            raise Invalid(f"the part {name!r}: {error}", [FieldError(f"/{name}", str(error))]) from None
    return document


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise ValueError(f"the key {next(n for n in names if names.count(n) > 1)!r} is there twice")
    return found


def _check(value: Any) -> None:
    level, depth = [value], 0
    while level:
        if depth > MAX_DEPTH:
            raise Malformed(f"JSON may be nested {MAX_DEPTH} deep")
        below: list[Any] = []
        for item in level:
            if isinstance(item, str):
                _check_text(item)
            elif isinstance(item, float) and item in (float("inf"), float("-inf")):
                raise Malformed("a number is too large")  # 1e999
            elif isinstance(item, list):
                below += item
            elif isinstance(item, dict):
                below += [*item.keys(), *item.values()]
        level, depth = below, depth + 1


def _check_text(text: str) -> None:
    if "\0" in text or any("\ud800" <= sign <= "\udfff" for sign in text):
        raise Malformed("a string holds a NUL or a lone surrogate: neither can be kept")
