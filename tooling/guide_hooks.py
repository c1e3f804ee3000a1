"""What the guide needs of mkdocs: a page for every decision, and no links that leave docs/ for the repository."""

import re
from pathlib import Path
from typing import Any

_LEAVES = re.compile(r"\[([^\]]+)\]\((?:\.\./)+(?:README\.md|[A-Z]+\.md|experiments|deploy/[^)]*|LICENSE)(?:#[^)]*)?\)")


def on_config(config: Any) -> Any:
    """Add a page for each decision to the navigation, by its title, which is its first heading."""
    decisions = sorted((Path(config["docs_dir"]) / "decisions").glob("*.md"))
    config["nav"].append({"Decisions": [f"decisions/{page.name}" for page in decisions]})
    return config


def on_page_markdown(markdown: str, **_: Any) -> str:
    """The page's text, with links to files that are no page of the guide as plain words."""
    return _LEAVES.sub(r"\1", markdown)
