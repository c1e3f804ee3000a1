"""What the guide needs of mkdocs: a page for every decision, references made of the code, no link out of docs/."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tooling.reference import commands, errors, http, schemas, settings

_LEAVES = re.compile(r"\[([^\]]+)\]\((?:\.\./)+(?:README\.md|[A-Z]+\.md|experiments|deploy/[^)]*|LICENSE)(?:#[^)]*)?\)")
_MADE = re.compile(r"^<!-- made: (.+) -->$", re.MULTILINE)

MAKERS: dict[str, Callable[[], str]] = {
    "settings": settings.page,
    "negmerge": lambda: commands.page("negmerge"),
    "python -m app": lambda: commands.page("python -m app"),
    "exit statuses": commands.statuses,
    "operations": http.tags,
    "problems": http.problems,
    "problems of all": http.everywhere,
    "schemas": lambda: schemas.sections(http.document()),
    "errors of the library": errors.of_the_library,
    "errors of the client": errors.of_the_client,
}
"""What a line ``<!-- made: NAME -->`` of a page becomes."""


def on_config(config: Any) -> Any:
    """Add a page for each decision to the navigation, by its title, which is its first heading."""
    decisions = sorted((Path(config["docs_dir"]) / "decisions").glob("*.md"))
    config["nav"].append({"Decisions": [f"decisions/{page.name}" for page in decisions]})
    return config


def on_page_markdown(markdown: str, **_: Any) -> str:
    """The page's text with what is made of the code, and with links to files that are no page as plain words.

    Raises KeyError for a line that asks for what nobody makes.
    """
    return _MADE.sub(lambda found: MAKERS[found[1]](), _LEAVES.sub(r"\1", markdown))


def on_post_page(output: str, **_: Any) -> str:
    """The page with a name for the theme's search, which is a dialog, for those who hear it."""
    return output.replace(
        'data-md-component="search" role="dialog"', 'data-md-component="search" role="dialog" aria-label="Search"'
    )
