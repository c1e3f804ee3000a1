"""JSON from a client: read with a limit, parsed strictly (``strict_json``), judged against a schema."""

import hashlib
import json
from dataclasses import dataclass
from typing import Any, TypeVar

from fastapi.concurrency import run_in_threadpool
from pydantic import BaseModel, ValidationError
from starlette.requests import Request

from app.errors import Invalid, Malformed, TooLarge, UnsupportedMedia
from app.intake.uploads import refuse_encoded
from negmerge.errors import FieldError
from negmerge.formats import strict_json
from negmerge.spec.job import field_errors

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
    refuse_encoded(request)
    body = bytearray()
    async for chunk in request.stream():
        body.extend(chunk)
        if len(body) > max_bytes:
            raise TooLarge(f"a JSON body may have {max_bytes} bytes (NEGMERGE_MAX_BODY_BYTES)")
    return await run_in_threadpool(_document, bytes(body))


def _document(body: bytes) -> Document:
    value = parse(body)
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
        return strict_json.loads(text)
    except strict_json.NotStrict as error:
        raise Malformed(str(error)) from None


def validated(kind: type[Model], value: Any) -> Model:
    """The value as a schema. Raises Invalid with a JSON pointer for each wrong field."""
    try:
        return kind.model_validate(value)
    except ValidationError as error:
        wrong = field_errors(error, value)
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
