"""Serving the page's own files, to whoever asks: the sign-in page needs them."""

from fastapi import APIRouter, Response

from app.errors import NotFound
from app.page.assets import assets
from app.page.routing import PageRoute

router = APIRouter(route_class=PageRoute, include_in_schema=False)

_YEAR = 365 * 24 * 3600


@router.get("/assets/{fingerprint}/{name}")
def get_asset(fingerprint: str, name: str) -> Response:
    """A file of the page. Of another version than the present one there is none any more."""
    known = assets()
    if fingerprint != known.fingerprint or name not in known.files:
        raise NotFound("there is no such file: load the page again")
    content, media = known.files[name]
    return Response(content, media_type=media, headers={"Cache-Control": f"public, max-age={_YEAR}, immutable"})
