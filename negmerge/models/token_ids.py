"""``python -m negmerge.models.token_ids``: what a tokenizer's files make of prompts.

In a process of its own (``tokenizers`` asks): a normaliser may make a gigabyte of one letter, and the library that
reads the files panics where they are broken.
"""

import json
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from negmerge import confined
from negmerge.formats import strict_json
from negmerge.formats.tokenizer_files import SETTINGS_FILES, TOKENIZER_FILE

_BATCH = 1000
_PADDINGS, _SEPARATORS = ("[PAD]", "<pad>"), ("[SEP]", "</s>")
"""What the libraries' own classes are called by, where the files do not say."""


class _Unusable(Exception):
    """What is wrong with the files, in words."""


def answer(question: dict[str, Any]) -> dict[str, Any]:
    """``ids``, a list of ``length`` numbers for each text; or ``wrong``, in words."""
    try:
        return {"ids": _ids(Path(question["folder"]), question["texts"], question["length"], question["strip"])}
    except _Unusable as error:
        return {"wrong": str(error)}
    except MemoryError:
        raise
    except BaseException as error:  # the library's panics are no Exceptions
        if not isinstance(error, Exception) and type(error).__name__ != "PanicException":
            raise
        return {"wrong": f"{TOKENIZER_FILE}: {str(error)[:500]}"}


def _ids(folder: Path, texts: list[str], length: int, strip: bool) -> list[list[int]]:
    settings = _settings(folder)
    tokenizer = Tokenizer.from_file(str(folder / TOKENIZER_FILE))
    padding, padding_id = _padding(tokenizer, settings)
    tokenizer.enable_truncation(length, direction=_side(settings, "truncation_side"))
    tokenizer.enable_padding(
        length=length, pad_id=padding_id, pad_token=padding, direction=_side(settings, "padding_side")
    )
    stripped = _special(tokenizer, settings, "sep_token", _SEPARATORS) if strip else None
    ids = []
    for start in range(0, len(texts), _BATCH):
        for encoding in tokenizer.encode_batch(texts[start : start + _BATCH]):
            ids.append([0 if stripped and one == stripped[1] else one for one in encoding.ids])
    return ids


def _settings(folder: Path) -> dict[str, Any]:
    settings: dict[str, Any] = {}
    for name in SETTINGS_FILES:
        if (folder / name).exists():
            try:
                found = strict_json.loads((folder / name).read_bytes())
            except strict_json.NotStrict as error:
                raise _Unusable(f"{name}: {error}") from None
            if not isinstance(found, dict):
                raise _Unusable(f"{name} must hold an object")
            settings |= found
    return settings


def _padding(tokenizer: Tokenizer, settings: dict[str, Any]) -> tuple[str, int]:
    found = _special(tokenizer, settings, "pad_token", _PADDINGS)
    if found is None and tokenizer.padding:
        found = tokenizer.padding["pad_token"], tokenizer.padding["pad_id"]
    if found is None:
        raise _Unusable(
            'tokenizer_config.json names no "pad_token" that the tokenizer knows: prompts cannot be filled up'
        )
    return found


def _special(
    tokenizer: Tokenizer, settings: dict[str, Any], key: str, usual: tuple[str, ...]
) -> tuple[str, int] | None:
    """A token with a meaning of its own, and its id: as the settings name it, or by a usual name."""
    said = settings.get(key)
    if isinstance(said, dict):
        said = said.get("content")
    for token in [said] if isinstance(said, str) else usual:
        if (found := tokenizer.token_to_id(token)) is not None:
            return token, found
    return None


def _side(settings: dict[str, Any], key: str) -> str:
    side: str = settings.get(key) or "right"
    if side not in ("left", "right"):
        raise _Unusable(f'tokenizer_config.json has "{key}" {json.dumps(side)}, which must be "left" or "right"')
    return side


if __name__ == "__main__":
    confined.answer(answer)
