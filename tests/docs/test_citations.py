"""Nothing here refers to a document that is not here: who reads the repository alone can follow every reference."""

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
FOLDERS = ("app", "benchmarks", "demo", "deploy", "docs", "experiments", "negmerge", "tests", "worker")
TEXT = {".jinja", ".json", ".md", ".py", ".toml", ".yml"}
FILES = [
    path
    for path in [*ROOT.iterdir(), *(path for folder in FOLDERS for path in (ROOT / folder).rglob("*"))]
    if path.is_file() and (path.suffix in TEXT or path.name in ("Makefile", "Dockerfile"))
]
MADE = {"MODEL_CARD.md"}
"""Pages that a job writes."""


def cited(pattern: str) -> dict[str, set[str]]:
    """What the pattern finds → the files that it is found in."""
    found: dict[str, set[str]] = {}
    for path in FILES:
        for name in re.findall(pattern, path.read_text()):
            found.setdefault(name, set()).add(str(path.relative_to(ROOT)))
    return found


def test_every_page_that_is_cited_is_there() -> None:
    pages = cited(r"(?<![\w./-])(docs/[\w/-]+\.md|[A-Z_]{4,}\.md)\b")
    assert "docs/method.md" in pages
    assert {name: where for name, where in pages.items() if name not in MADE and not (ROOT / name).is_file()} == {}


def test_no_section_is_cited_of_a_document_without_a_source() -> None:
    """A section stands behind what can be found elsewhere: an arXiv number, authors and a year, an RFC."""
    assert cited(r"\b[A-Z]{4,} §") == {}
