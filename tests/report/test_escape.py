"""Others' text in reports, cards and terminals is shown, and obeyed by nobody."""

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from negmerge.naming import visible
from negmerge.report import pages
from negmerge.report.escape import code, markdown
from negmerge.spec.result import ResultDocument
from tests.support.results import SPEC, base, document, figure

HOSTILE = '"><img src=x onerror=alert(1)> | [a](javascript:x) `code` *bold* \u202e\x1b[31m # end'


@given(st.text())
def test_markdown_text_has_no_punctuation_that_is_obeyed(text: str) -> None:
    assert re.sub(r"\\([!-/:-@\[-`{-~])", r"\1", markdown(text)) == visible(text)


@pytest.mark.parametrize("text", ["https://evil.example", "www.evil.example", "a@evil.example", "$x$", "~~a~~", "&lt;"])
def test_plain_addresses_and_the_like_are_no_markup(text: str) -> None:
    assert "\\" in markdown(text)


@given(st.text(min_size=1))
def test_code_ends_where_its_fence_says(text: str) -> None:
    fence = re.match("`+", code(text))
    assert fence
    inside = code(text).removeprefix(fence[0]).removesuffix(fence[0])
    assert fence[0] not in re.findall("`+", inside)
    assert inside.strip() == visible(text).strip()


COUNT = {"accuracy": 0.5, "correct": 1, "count": 2}
METHODS = {
    "base": base(figure(9, 10)),
    "negmerge": {"scale": 1.0, "curve": [{"scale": 1.0, "forget": COUNT, "retain": COUNT}]},
}


def result(**changes: Any) -> ResultDocument:
    """A whole result, of which pages can be made."""
    return document(methods=METHODS, **changes)


@pytest.fixture(scope="module")
def spec() -> dict[str, object]:
    chosen = {"uri": "digits.zip", "select": {"classes": [HOSTILE]}}
    model = {"family": "open_clip", "weights": HOSTILE, "architecture": HOSTILE}
    return SPEC | {"forget": chosen, "base_model": model, "metadata": {HOSTILE[:60]: HOSTILE}}


def test_a_card_shows_hostile_names_as_text(spec: dict[str, object]) -> None:
    card = pages.model_card(result(spec=spec, warnings=[HOSTILE]))
    assert "\x1b" not in card
    assert "\u202e" not in card
    outside = re.sub(r"``.*?``", "", card)
    assert re.findall(r"(?<!\\)<", outside) == []
    assert re.findall(r"(?<!\\)\[", outside) == []


def test_a_report_shows_hostile_names_as_text(spec: dict[str, object]) -> None:
    page = pages.html(result(spec=spec, warnings=[HOSTILE]))
    assert "<img" not in page
    assert "\x1b" not in page
    assert "\u202e" not in page
    assert "&lt;img src=x" in page


@pytest.mark.parametrize("name", ["$\\frac$", "a$b$c", "\x1b[31mx", "layer\u202e.0.weight"])
def test_a_tensor_of_any_name_has_its_row_in_the_picture(name: str) -> None:
    page = pages.html(result(consensus={"share": 0.5, "tensors": {name: 0.5}}))
    assert "<svg" in page
    assert "\u202e" not in page
