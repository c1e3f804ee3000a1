"""JSON of strangers, judged before anything is made of it or kept.

Stricter than ``json.loads``: UTF-8 only, no NaN or Infinity, no key twice in an object, no NUL and no lone
surrogates (neither database can hold them), no number that is read as infinite or takes long to read, not nested
deeper than anything of ours is, and with no more values and keys than can be judged while others wait a moment.
"""

import json
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any, NoReturn

MAX_DEPTH = 32
MAX_DIGITS = 300
"""Of a whole number. More than any double has, and few enough for whoever writes them out again."""
MAX_VALUES = 250_000
"""Of a whole text; the ids of a quarter of a million samples."""
MAX_KEYS = 32_768
"""Of all objects of a text; the names of more classes than any published data set has (ImageNet-21k: 21,843)."""

_UNKEPT = re.compile("[\0\ud800-\udfff]")


class NotStrict(ValueError):
    """It is not JSON, or none that is taken here. The message says why."""


def loads(text: bytes | str) -> Any:
    """The value. Raises NotStrict."""
    try:
        decoded = text if isinstance(text, str) else text.decode()
        _check_values(decoded)
        value = json.loads(decoded, parse_constant=_no_constant, parse_int=_whole, object_pairs_hook=_Keys().unique)
    except UnicodeDecodeError:
        raise NotStrict("JSON must be UTF-8") from None
    except RecursionError:
        raise NotStrict(f"JSON may be nested {MAX_DEPTH} deep") from None
    except NotStrict:
        raise
    except ValueError as error:
        raise NotStrict(f"this is not JSON: {error}") from None
    for item in _items(value):
        if isinstance(item, str):
            _check_text(item)
        elif isinstance(item, float) and item in (float("inf"), float("-inf")):
            raise NotStrict("a number is too large")  # 1e999
    return value


def _no_constant(name: str) -> NoReturn:
    raise NotStrict(f"this is not JSON: {name} is not a JSON number")


def _whole(digits: str) -> int:
    if len(digits) > MAX_DIGITS:
        raise NotStrict(f"a number may have {MAX_DIGITS} digits")
    return int(digits)


def _check_values(text: str) -> None:
    """Before any object is made: each value but the first stands behind one of these signs."""
    if sum(map(text.count, ",[{")) >= MAX_VALUES:
        raise NotStrict(f"JSON may have {MAX_VALUES} values, commas in its strings included")


class _Keys:
    """Makes the objects of one text, and counts their keys."""

    def __init__(self) -> None:
        self._count = 0

    def unique(self, pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        """One object. Raises NotStrict for a key that is there twice, and for the first object with too many keys."""
        self._count += len(pairs)
        if self._count > MAX_KEYS:
            raise NotStrict(f"JSON may have {MAX_KEYS} keys in all its objects")
        found = dict(pairs)
        if len(found) < len(pairs):
            twice = next(name for name, times in Counter(name for name, _ in pairs).items() if times > 1)
            raise NotStrict(f"this is not JSON: the key {twice!r} is there twice")
        return found


def _items(value: Any) -> Iterator[Any]:
    """The value and all in it, keys too, level by level. Raises NotStrict where it goes too deep."""
    level, depth = [value], 0
    while level:
        if depth > MAX_DEPTH:
            raise NotStrict(f"JSON may be nested {MAX_DEPTH} deep")
        yield from level
        below: list[Any] = []
        for item in level:
            if isinstance(item, list):
                below += item
            elif isinstance(item, dict):
                below += [*item.keys(), *item.values()]
        level, depth = below, depth + 1


def _check_text(text: str) -> None:
    if _UNKEPT.search(text):
        raise NotStrict("a string holds a NUL or a lone surrogate: neither can be kept")
