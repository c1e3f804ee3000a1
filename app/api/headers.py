"""What requests say by their method and headers, as RFC 9110 reads them."""

import re

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

_WEIGHT = re.compile(r"q=(0(\.\d{0,3})?|1(\.0{0,3})?)", re.IGNORECASE)


def header(headers: Headers, name: str) -> str | None:
    """A header's value; of one on several lines all, with commas between them (§5.3)."""
    return ", ".join(headers.getlist(name)) or None


def prefers(accept: str, wanted: str, other: str) -> bool:
    """Whether ``Accept`` asks for one media type by its own name, and no less than for the other (§12.5.1)."""
    weights = _weights(accept)
    asked, whole = weights.get(wanted, 0.0), f"{other.partition('/')[0]}/*"
    return asked > 0 and asked >= weights.get(other, weights.get(whole, 0.0))


def names(header: str | None, etag: str, *, weak: bool) -> bool:
    """Whether a list of entity tags has this one, or is ``*`` (§13.1.1 strong, §13.1.2 weak comparison)."""
    if header is None:
        return False
    tags = [tag.strip() for tag in header.split(",")]
    return tags == ["*"] or etag in (tag.removeprefix("W/") if weak else tag for tag in tags)


def _weights(accept: str) -> dict[str, float]:
    """Media type in lower case → its weight; 1 where none is given, 0 where it is no weight."""
    found: dict[str, float] = {}
    for one in accept.split(","):
        media_type, *parameters = (part.strip() for part in one.split(";"))
        given = [parameter for parameter in parameters if parameter.lower().startswith("q=")]
        match = _WEIGHT.fullmatch(given[0]) if given else None
        weight = float(match[1]) if match else 0.0 if given else 1.0
        found[media_type.lower()] = min(weight, found.get(media_type.lower(), 1.0))  # twice: the one that asks for less
    return found


class HeadAsGet:
    """HEAD wherever there is GET, with the same headers and no body (§9.3.2). Routes of files answer HEAD themselves.

    ``Accept`` is left out: an event stream without its events would hold a connection for nothing.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await self._app(scope, receive, send)
            return
        refused = False
        headers = [(name, value) for name, value in scope["headers"] if name != b"accept"]
        asked, as_get = dict(scope), dict(scope) | {"method": "GET", "headers": headers}

        async def if_taken(message: Message) -> None:
            nonlocal refused
            refused = refused or message.get("status") == 405
            if not refused:
                scope["route"] = asked.get("route")  # for whoever counts
                await send(message)

        async def without_body(message: Message) -> None:
            scope["route"] = as_get.get("route")
            await send(message if message["type"] == "http.response.start" else dict(message) | {"body": b""})

        await self._app(asked, receive, if_taken)
        if refused:
            await self._app(as_get, receive, without_body)
