"""The tutorials: their pictures are there, and what their command lines printed is of a real run and of no machine."""

import re
from pathlib import Path

import pytest

FOLDER = Path(__file__).parents[2] / "docs" / "tutorials"
WALKED = [FOLDER / "a-class.md", FOLDER / "a-persons-pictures.md"]
"""Those whose command lines `make screenshots` runs."""
OUTPUT = re.compile(r"```text\n(.*?)```", re.DOTALL)


@pytest.mark.parametrize("page", WALKED, ids=lambda page: page.stem)
def test_every_picture_is_there_and_says_in_words_what_it_shows(page: Path) -> None:
    pictures = re.findall(r"!\[([^\]]*)\]\(([^)]+)\)", page.read_text())
    assert len(pictures) >= 2
    assert [place for words, place in pictures if not words or not (page.parent / place).is_file()] == []


@pytest.mark.parametrize("page", WALKED, ids=lambda page: page.stem)
def test_what_was_printed_ends_with_what_was_asked(page: Path) -> None:
    assert "Unlearned: " in "\n".join(OUTPUT.findall(page.read_text()))


@pytest.mark.parametrize("page", WALKED, ids=lambda page: page.stem)
@pytest.mark.parametrize("pattern", [r"/(work|tmp|home|root|usr)/", r":(?!8765)\d{4,5}\b", r"\bnm_\w+", "Traceback"])
def test_nothing_in_it_is_of_one_machine(page: Path, pattern: str) -> None:
    assert re.findall(pattern, "\n".join(OUTPUT.findall(page.read_text()))) == []
