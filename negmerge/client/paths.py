"""Paths below the service's URL, whatever an id or an artifact is called."""

from urllib.parse import quote

from negmerge.client.errors import NotFound
from negmerge.naming import shown


def below(*parts: str) -> str:
    """``/v1/…``: each part is one step, and no sign of it leads elsewhere. Raises NotFound for no name."""
    return "/v1/" + "/".join(map(_step, parts))


def _step(part: str) -> str:
    if not part.strip("."):  # empty, or one that a URL takes for a way up
        raise NotFound(404, "not-found", "There is no such thing", f"{shown(part)} is no name of anything", [])
    return quote(part, safe="")
