"""Serving the guide at /guide: static pages of the package, and which of their scripts may run."""

import base64
import hashlib
import re
from functools import cache
from pathlib import Path

from fastapi import APIRouter
from starlette.staticfiles import StaticFiles
from starlette.types import Message, Receive, Scope, Send

from app.errors import NotFound

SITE = Path(__file__).parent / "site"
PLACE = "/guide"

router = APIRouter(include_in_schema=False)

_INLINE = re.compile(r"<script(?![^>]*\b(?:src|type)=)[^>]*>(.*?)</script>", re.DOTALL)


@router.get(PLACE)
@router.get(f"{PLACE}/{{page:path}}")
def not_built(page: str = "") -> None:
    """Where a checkout has not built the guide."""
    raise NotFound("the guide is not built here: run `make docs`, then start the service again")


class Guide(StaticFiles):
    """The built pages, each with a policy under which nothing is loaded from elsewhere."""

    def __init__(self, site: Path = SITE) -> None:
        super().__init__(directory=site, html=True)
        self._headers = [
            (b"content-security-policy", policy(site).encode()),
            (b"x-content-type-options", b"nosniff"),
            (b"referrer-policy", b"same-origin"),
        ]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer with a file, and these headers."""

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *self._headers]
            await send(message)

        await super().__call__(scope, receive, with_headers)


def is_built(site: Path = SITE) -> bool:
    """Whether there is a guide to serve."""
    return (site / "index.html").is_file()


@cache
def policy(site: Path = SITE) -> str:
    """The pages' Content-Security-Policy: files of this service, and those inline scripts that the build wrote.

    mkdocs-material sets its place and its colours by a few short scripts in each page; each is allowed by its SHA-256.
    Its styles for highlighted code and tables stand in attributes, so styles may be inline; they load nothing.
    """
    found = {script for page in site.rglob("*.html") for script in _INLINE.findall(page.read_text(encoding="utf-8"))}
    hashes = sorted(base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in found)
    scripts = " ".join(["'self'", *(f"'sha256-{value}'" for value in hashes)])
    return (
        f"default-src 'none'; script-src {scripts}; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
        "font-src 'self'; connect-src 'self'; worker-src 'self'; "
        "frame-ancestors 'none'; base-uri 'none'; form-action 'self'"
    )
