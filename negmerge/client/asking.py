"""One question and its answer: tried again where that is safe, and every problem as an error."""

import random
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from negmerge.client.effects import Call, Close, Flow, Head, Item, Lost, Policy, Request, Retries, Sleep, opened, read
from negmerge.client.errors import NotUnderstood, Problem, Unreachable
from negmerge.spec import newer
from negmerge.spec.resources import Page
from negmerge.spec.resources import Problem as ProblemRecord

T = TypeVar("T")
Record = TypeVar("Record", bound=BaseModel)

PASSING = frozenset({429, 502, 503, 504})
"""Statuses after which the same request may well succeed."""
REFUSED = frozenset({429})
"""Of these, those that say that nothing was begun."""
MAX_ANSWER_BYTES = 256 * 2**20
"""The most that an answer has that is held in memory; a result document of a large sweep has some megabytes."""
PAGE = 200
"""Entries that are asked for at once: as many as the service gives of one kind."""


def begun(request: Request) -> Call[Head]:
    """The beginning of an answer that is no error; its body is still to be read.

    Raises Unreachable after all tries, NotUnderstood, and the Problem that the service tells.
    """
    retries: Retries = yield Policy()
    attempt, unsure = 0, False
    while True:
        attempt += 1
        try:
            head = yield from opened(request)
            if head.status < 300 or head.status in request.answers or (unsure and head.status in request.settled):
                _check_plain(head, request)
                return head
            problem = yield from _problem(head, request)
        except Lost as lost:
            if attempt > retries.attempts or (lost.sent and not request.repeatable):
                raise Unreachable(f"the service does not answer: {lost}") from None
            unsure = unsure or lost.sent
            yield Sleep(pause(retries, attempt))
            continue
        unsure = unsure or head.status in PASSING - REFUSED
        wait = max(pause(retries, attempt), retry_after(head) or 0.0)
        passing = head.status in (PASSING if request.repeatable else REFUSED)
        if not passing or attempt > retries.attempts or wait > retries.most_wait_seconds:
            raise problem
        yield Sleep(wait)


def answered(request: Request) -> Call[bytes]:
    """The whole body of an answer. Tried again as ``begun``, also where the connection is cut in the middle of it."""
    retries: Retries = yield Policy()
    for attempt in range(1, retries.attempts + 2):
        head = yield from begun(request)
        try:
            return (yield from _body(head))
        except Lost as lost:
            if not request.repeatable or attempt > retries.attempts:
                raise Unreachable(f"the answer was cut off: {lost}") from None
            yield Sleep(pause(retries, attempt))
    raise AssertionError("the last try returns or raises")


def asked(request: Request, kind: type[Record]) -> Call[Record]:
    """The answer as a record. Raises NotUnderstood where it is none."""
    return understood((yield from answered(request)), kind)


def gone(path: str) -> Call[None]:
    """Delete something. Where an answer was lost and the next one says that there is no such thing, it was deleted."""
    yield from answered(Request("DELETE", path, settled=frozenset({404, 410})))


def listed(path: str, kind: type[Record], params: Mapping[str, Any], limit: int | None = PAGE) -> Flow[Record]:
    """All entries of a list, page after page. limit: entries of a page; None where the list has no pages."""
    cursor: str | None = None
    while True:
        query = {**params, "limit": limit, "cursor": cursor}
        page = understood((yield from answered(Request("GET", path, query))), Page[kind])  # type: ignore[valid-type]
        for entry in page.data:
            yield Item(entry)
        if page.next_cursor is None:
            return
        cursor = page.next_cursor


def understood(body: bytes, kind: type[T]) -> T:
    """A body as what it should be, whatever a newer service says besides. Raises NotUnderstood."""
    try:
        return newer.read(kind, body)
    except ValidationError as error:
        first = error.errors()[0]
        place = "/".join(map(str, first["loc"])) or "its whole"
        older = first["type"] == "missing"
        asked = "and not older than this client" if older else "and of this client's version"
        raise NotUnderstood(
            f"the answer is not one that this client knows ({place}: {first['msg']}): is the URL that of a NegMerge "
            f"service, {asked}?"
        ) from None


def _check_plain(head: Head, request: Request) -> None:
    """Raise NotUnderstood for an answer that was packed on its way: its bytes are none of the service's."""
    if head.headers.get("content-encoding", "identity") != "identity":
        raise NotUnderstood(f"a proxy packs what the service answers to {request.path}: let it leave that as it is")


def pause(retries: Retries, attempt: int) -> float:
    """Seconds before the next try; drawn, so that many clients do not come back at the same moment."""
    whole: float = min(retries.most_seconds, retries.first_seconds * 2 ** (attempt - 1))
    return whole * random.uniform(0.5, 1)


def retry_after(head: Head) -> float | None:
    """Seconds that ``Retry-After`` asks for (RFC 9110 §10.2.3), as a number or a date; None where it says nothing."""
    value = head.headers.get("retry-after", "").strip()
    if value.isascii() and value.isdigit():
        return float(value[:9])
    try:
        return max(0.0, (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError):  # no date, or one without a zone
        return None


def _problem(head: Head, request: Request) -> Call[Exception]:
    """What an answer that is no success means. Returns it, since the same request may be tried again."""
    if head.status in (301, 302, 303, 307, 308):
        yield Close(head.answer)
        where = head.headers.get("location", "elsewhere")
        return NotUnderstood(f"the service sends {request.path} on to {where}: give that as its URL, if it is yours")
    told = head.headers.get("content-type", "").partition(";")[0].strip() == "application/problem+json"
    if told and request.method != "HEAD":
        body = yield from _body(head)
        return Problem.of(understood(body, ProblemRecord))
    yield Close(head.answer)
    return Problem.of(
        ProblemRecord(
            type="about:blank",
            title="An answer that is not the service's",
            status=head.status,
            detail=f"{request.method} {request.path} was answered with status {head.status}, and not by the service "
            "itself: is there a proxy before it, or another service at its URL?",
            instance=request.path,
            errors=[],
        )
    )


def _body(head: Head) -> Call[bytes]:
    body = bytearray()
    while (piece := (yield from read(head))) is not None:
        body += piece
        if len(body) > MAX_ANSWER_BYTES:
            raise NotUnderstood(f"the answer has more than {MAX_ANSWER_BYTES} bytes: is this a NegMerge service?")
    return bytes(body)
