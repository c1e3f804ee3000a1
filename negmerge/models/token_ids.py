"""``python -m negmerge.models.token_ids``: what a tokenizer's files make of prompts.

In a process of its own (``tokenizers`` asks): a normaliser may make a gigabyte of one letter, and the library that
reads the files panics where they are broken.
"""

import json
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer
from tokenizers.normalizers import BertNormalizer

from negmerge import confined
from negmerge.formats import strict_json
from negmerge.formats.tokenizer_files import SETTINGS_FILES, TOKENIZER_FILE

_BATCH = 1000
_PADDINGS = {
    "Bert": "[PAD]",
    "T5": "<pad>",
    "MT5": "<pad>",
    "Gemma": "<pad>",
    "XLMRoberta": "<pad>",
    "Roberta": "<pad>",
}
"""With what the classes of transformers fill up where the files leave it to them."""
_LEFT = frozenset({"Gemma", "Llama", "CodeLlama", "Siglip2", "XLNet", "Cohere", "CpmAnt"})
"""The classes that fill up on the left where the files leave it to them; all others do it on the right."""
_OF_BERT = {"do_lower_case": "lowercase", "tokenize_chinese_chars": "handle_chinese_chars"}
"""Settings by which transformers changes what tokenizer.json says → the part of it that they change."""


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
    _check_as_written(tokenizer, settings)
    padding, padding_id = _padding(tokenizer, settings)
    stripped = _special(tokenizer, settings, "sep_token") if strip else None
    if strip and stripped is None:
        raise _Unusable('strip_sep_token is asked for, but the settings name no "sep_token" that the tokenizer knows')
    filled = _side(settings, "padding_side", _usual_side(tokenizer, settings))
    tokenizer.enable_truncation(length, direction=_side(settings, "truncation_side", "right"))
    tokenizer.enable_padding(length=length, pad_id=padding_id, pad_token=padding, direction=filled)
    ids = []
    for start in range(0, len(texts), _BATCH):
        for encoding in tokenizer.encode_batch(texts[start : start + _BATCH]):
            ids.append([0 if stripped and one == stripped[1] else one for one in encoding.ids])
    return ids


def _settings(folder: Path) -> dict[str, Any]:
    """What the settings' files say; null is said only where no other file says better."""
    settings: dict[str, Any] = {}
    for name in SETTINGS_FILES:
        if (folder / name).exists():
            try:
                found = strict_json.loads((folder / name).read_bytes())
            except strict_json.NotStrict as error:
                raise _Unusable(f"{name}: {error}") from None
            if not isinstance(found, dict):
                raise _Unusable(f"{name} must hold an object")
            settings |= {key: value for key, value in found.items() if value is not None or key not in settings}
    return settings


def _check_as_written(tokenizer: Tokenizer, settings: dict[str, Any]) -> None:
    """Raise _Unusable where the settings ask for another tokenizer than tokenizer.json holds."""
    if settings.get("split_special_tokens"):
        raise _Unusable('"split_special_tokens" is not served: save the tokenizer without it')
    if isinstance(tokenizer.normalizer, BertNormalizer):
        for key, part in _OF_BERT.items():
            if settings.get(key) is not None and settings[key] != getattr(tokenizer.normalizer, part):
                raise _Unusable(
                    f'"{key}" is {json.dumps(settings[key])} in the settings, and {TOKENIZER_FILE} has it otherwise: '
                    "save the tokenizer again with save_pretrained"
                )


def _padding(tokenizer: Tokenizer, settings: dict[str, Any]) -> tuple[str, int]:
    """With what prompts are filled up: as the settings name it, else the tokenizer's class, else tokenizer.json."""
    kind = _class(settings)
    usual = {"pad_token": _PADDINGS[kind]} if kind in _PADDINGS else {}
    if "pad_token" not in settings | usual and tokenizer.padding:
        return tokenizer.padding["pad_token"], tokenizer.padding["pad_id"]
    found = _special(tokenizer, usual | settings, "pad_token")
    if found is None:
        raise _Unusable(
            'no "pad_token" is named that the tokenizer knows, so nobody can tell with what prompts are filled up: '
            "put its tokenizer_config.json beside it"
        )
    return found


def _special(tokenizer: Tokenizer, settings: dict[str, Any], key: str) -> tuple[str, int] | None:
    """A token with a meaning of its own, and its id, as the settings name it."""
    said = settings.get(key)
    if isinstance(said, dict):
        said = said.get("content")
    found = tokenizer.token_to_id(said) if isinstance(said, str) else None
    return None if found is None else (str(said), found)


def _class(settings: dict[str, Any]) -> str:
    """Of transformers, without its endings: ``Gemma`` for ``GemmaTokenizerFast``."""
    return str(settings.get("tokenizer_class", "")).removesuffix("Fast").removesuffix("Tokenizer")


def _usual_side(tokenizer: Tokenizer, settings: dict[str, Any]) -> str:
    """Where prompts are filled up if no setting says it: as tokenizer.json has it, else the tokenizer's class."""
    if tokenizer.padding:
        side: str = tokenizer.padding["direction"]
        return side
    return "left" if _class(settings) in _LEFT else "right"


def _side(settings: dict[str, Any], key: str, usual: str) -> str:
    side: str = settings.get(key) or usual
    if side not in ("left", "right"):
        raise _Unusable(f'tokenizer_config.json has "{key}" {json.dumps(side)}, which must be "left" or "right"')
    return side


if __name__ == "__main__":
    confined.answer(answer)
