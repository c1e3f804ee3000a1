"""docs/bad-input.md and docs/files.md name tests that are there."""

import re
from pathlib import Path

import pytest

PAGES = {name: Path(f"docs/{name}.md").read_text() for name in ("bad-input", "files")}
NAMED = [found for page in PAGES.values() for found in re.findall(r"`(tests/\S+\.py)::(test_\w+)`", page)]


@pytest.mark.parametrize("page", PAGES)
def test_every_row_names_a_test(page: str) -> None:
    lines = PAGES[page].splitlines()
    rows = [line for line in lines if line.startswith("| ") and not line.startswith("| What comes")]
    assert rows
    assert [row for row in rows if "::test_" not in row] == []


@pytest.mark.parametrize(("file", "name"), NAMED, ids=lambda value: value if value.startswith("test_") else "")
def test_the_test_is_there(file: str, name: str) -> None:
    assert f"def {name}(" in Path(file).read_text()
