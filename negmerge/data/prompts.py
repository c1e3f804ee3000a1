"""The words of a zero-shot head: what each class is called, and the sentences around it. No torch."""

from collections.abc import Mapping, Sequence

from negmerge.errors import DataError

DEFAULT_TEMPLATES = ("a photo of a {}.",)

TEMPLATE_RULE = "a template has {} exactly once, where the class's words go, and no other braces"


def class_words(classes: Sequence[str], class_names: Mapping[str, str]) -> list[str]:
    """The words of each class, in the order of ``classes``: its folder's name, or what ``class_names`` says.

    Raises DataError for words that are empty, or of a class that is not there.
    """
    for name, words in class_names.items():
        if name not in classes:
            raise DataError(f"class_names names {name!r}, which is no class of the data set: remove it")
        if not words.strip():
            raise DataError(f"class_names has no words for {name!r}: say what the class shows")
    return [class_names.get(name, name) for name in classes]


def is_template(text: str) -> bool:
    """Whether the text keeps ``TEMPLATE_RULE``."""
    before, place, after = text.partition("{}")
    return place == "{}" and not set("{}") & set(before + after)


def check_templates(templates: Sequence[str]) -> list[str]:
    """The templates, if there is one at least and each keeps ``TEMPLATE_RULE``. Raises DataError."""
    if not templates:
        raise DataError(f"templates is empty: give at least one sentence such as {DEFAULT_TEMPLATES[0]!r}")
    for template in templates:
        if not is_template(template):
            raise DataError(f"{template!r} is no template: {TEMPLATE_RULE}")
    return list(templates)
