"""The sentences around a class's words: one rule for what a template is."""

import pytest

from negmerge.data.prompts import DEFAULT_TEMPLATES, check_templates, is_template
from negmerge.data.published import words
from negmerge.errors import DataError
from negmerge.spec.published_sets import KNOWN


@pytest.mark.parametrize("text", ["{}", "a photo of a {}.", "{}, from above"])
def test_a_template_has_one_place_for_the_words(text: str) -> None:
    assert is_template(text)


@pytest.mark.parametrize("text", ["", "a photo", "{} and {}", "{0} {}", "{} }", "{{}}", "{", "{ }"])
def test_what_has_no_place_or_two_or_other_braces_is_no_template(text: str) -> None:
    assert not is_template(text)


def test_the_template_at_fault_is_named_with_the_rule() -> None:
    with pytest.raises(DataError, match=r"'\{0\}' is no template: a template has \{\} exactly once"):
        check_templates(["{}", "{0}"])


@pytest.mark.parametrize("name", KNOWN)
def test_the_published_templates_keep_the_rule(name: str) -> None:
    assert check_templates(words.templates(name)) == list(words.templates(name))


def test_the_default_keeps_the_rule() -> None:
    assert check_templates(DEFAULT_TEMPLATES) == ["a photo of a {}."]
