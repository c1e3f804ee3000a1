"""How a name says the part that samples belong to: train, validation or test. No files, no torch."""

import re

PARTS = {
    **dict.fromkeys(("train", "training"), "train"),
    **dict.fromkeys(("val", "valid", "validation"), "validation"),
    **dict.fromkeys(("test", "testing"), "test"),
}
"""What people, Roboflow and others call the parts, in lower case."""

_WORDS = re.compile(r"[A-Z]?[a-z]+|[A-Z]+")
_TAILS = re.compile(r"(set|data|images|imgs)$")


def part_called(name: str) -> str | None:
    """The part that is called so, in any case; None where it is none."""
    return PARTS.get(name.lower())


def parts_within(name: str) -> frozenset[str]:
    """The parts that words of the name say: train in ``seg_train``, ``TrainData``, ``trainset-00.tar``."""
    words = [word.lower() for word in _WORDS.findall(name)]
    return frozenset(PARTS[one] for word in words for one in (word, _TAILS.sub("", word)) if one in PARTS)


def split_part(name: str) -> tuple[str | None, list[str]]:
    """The part that a path's first folder says, and the rest of the path."""
    first, *rest = name.split("/")
    part = part_called(first) if rest else None
    return (part, rest) if part else (None, [first, *rest])
