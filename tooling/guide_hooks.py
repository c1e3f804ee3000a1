"""What the guide needs of mkdocs: links that leave docs/ lead to nothing in it, so they become their words."""

import re
from typing import Any

_LEAVES = re.compile(r"\[([^\]]+)\]\((?:\.\./)+(?:README\.md|[A-Z]+\.md|experiments|deploy/[^)]*|LICENSE)(?:#[^)]*)?\)")


def on_page_markdown(markdown: str, **_: Any) -> str:
    """The page's text, with links to files that are no page of the guide as plain words."""
    return _LEAVES.sub(r"\1", markdown)
