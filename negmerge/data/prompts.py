"""The words of a zero-shot head: what each class is called, and the sentences around it. No torch."""

from collections.abc import Mapping, Sequence

from negmerge.data.classes import called
from negmerge.errors import DataError
from negmerge.naming import is_seen, shown

DEFAULT_TEMPLATES = ("a photo of a {}.",)

TEMPLATE_RULE = (
    "a template has {} exactly once, where the class's words go, no other braces, and no characters that cannot be seen"
)


def class_words(classes: Sequence[str], class_names: Mapping[str, str]) -> list[str]:
    """The words of each class, in the order of ``classes``: its folder's name, or what ``class_names`` says.

    Raises DataError for words that are empty or cannot be seen, or of a class that is not there.
    """
    found = {}
    for given, words in class_names.items():
        name = called(given, classes)
        if name not in classes:
            raise DataError(f"class_names names {shown(given)}, which is no class of the data set: remove it")
        if not words.strip() or not is_seen(words):
            raise DataError(
                f"class_names has no words for {shown(name)} that can all be seen: say what the class shows"
            )
        found[name] = words
    return [found.get(name, name) for name in classes]


def is_template(text: str) -> bool:
    """Whether the text keeps ``TEMPLATE_RULE``."""
    before, place, after = text.partition("{}")
    return place == "{}" and not set("{}") & set(before + after) and is_seen(text)


def check_templates(templates: Sequence[str]) -> list[str]:
    """The templates, if there is one at least and each keeps ``TEMPLATE_RULE``. Raises DataError."""
    if not templates:
        raise DataError(f"templates is empty: give at least one sentence such as {DEFAULT_TEMPLATES[0]!r}")
    for template in templates:
        if not is_template(template):
            raise DataError(f"{shown(template)} is no template: {TEMPLATE_RULE}")
    return list(templates)
