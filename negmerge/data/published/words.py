"""What the classes of a named data set are called in prompts, and the sentences around them. No torch.

Templates and words are those of the published zero-shot heads: github openai/CLIP, ``data/prompts.md`` and the notebook
``Prompt_Engineering_for_ImageNet`` (1,000 names in the order of the sorted WordNet ids, 80 templates), as
github mlfoundations/task_vectors uses them (``src/datasets/templates.py`` and the data sets' own modules). Where those
have no list, the rule is theirs too: the class's folder with spaces for underscores. No published head is known for
FashionMNIST, CUB200 and TinyImageNet: their words are those of the data sets' own files (FashionMNIST's of its README,
since the files hold none), with the default template.
"""

import json
import re
from collections.abc import Mapping
from functools import cache
from importlib.resources import files
from typing import Any

from negmerge.data.prompts import DEFAULT_TEMPLATES
from negmerge.errors import DataError


def templates(name: str) -> tuple[str, ...]:
    """The published templates of the data set; the default one where none are."""
    return tuple(_document("templates").get(name, DEFAULT_TEMPLATES))


def words(name: str, class_name: str) -> str:
    """What the class is called in a prompt. Raises DataError for a class that the published list does not have."""
    listed: Mapping[str, str] | None = _document("imagenet") if name == "ImageNet" else _document("words").get(name)
    if listed is not None:
        if class_name not in listed:
            first = min(listed)
            raise DataError(f"{class_name!r} is no class of {name}: its classes are called as {first!r} is")
        return listed[class_name]
    if name == "FashionMNIST":
        return class_name
    if name == "CUB200":  # 001.Black_footed_Albatross
        class_name = class_name.split(".", 1)[-1]
    if name == "SUN397":  # a_apse_indoor in the published folders, apse/indoor in the data set's own
        class_name = re.sub("^[a-z]_", "", class_name).replace("/", " ")
    return class_name.replace("_", " ")


@cache
def _document(name: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(files(__package__).joinpath(f"{name}.json").read_text(encoding="utf-8"))
    return document
