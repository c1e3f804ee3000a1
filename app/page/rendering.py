"""From a template and what it shows to an answer. What strangers named is escaped, and what cannot be seen is shown."""

from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from starlette.requests import Request
from starlette.responses import HTMLResponse

from app.guide import serving
from app.page import words
from app.page.assets import asset
from app.page.guard import Visitor
from app.page.navigation import entries
from negmerge.naming import visible


def render(
    request: Request, template: str, visitor: Visitor | None = None, status: int = 200, **context: Any
) -> HTMLResponse:
    """A template as an answer. visitor: who is signed in, for the navigation and for what they may press."""
    text = (
        environment()
        .get_template(template)
        .render(
            asset=asset,
            visitor=visitor,
            token_field=_token_field(visitor),
            entries=entries(visitor),
            path=request.url.path,
            guide=serving.PLACE if serving.is_built() else None,
            **context,
        )
    )
    return HTMLResponse(text, status)


@cache
def environment() -> Environment:
    """The templates, made once."""
    made = Environment(
        loader=PackageLoader("app.page"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=_seen,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    made.filters |= words.FILTERS
    return made


def _seen(value: Any) -> Any:
    return visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value


def _token_field(visitor: Visitor | None) -> Markup:
    """What every form of the page holds."""
    token = "" if visitor is None else visitor.token
    return Markup('<input type="hidden" name="token" value="{}">').format(token)
