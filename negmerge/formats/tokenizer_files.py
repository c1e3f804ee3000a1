"""Whose tokenizer a text tower was trained with, as its config says: open_clip's own, or files beside the weights.

No torch, for the API.
"""

from collections.abc import Mapping
from typing import Any

from negmerge.errors import ModelError

TOKENIZER_FILE = "tokenizer.json"
SETTINGS_FILES = ("special_tokens_map.json", "tokenizer_config.json")
"""Where the padding is named; of two that name it the later holds."""
MAX_BYTES = {TOKENIZER_FILE: 128 * 2**20} | dict.fromkeys(SETTINGS_FILES, 2**20)
"""The largest known are Gemma's, 34 MB, and XLM-V's of 901,629 words."""

CLEANINGS = ("lower", "whitespace", "canonicalize")
"""What open_clip does to a prompt before its words are looked up."""

_MAX_NAME = 200


def has_files(config: Mapping[str, Any]) -> bool:
    """Whether the model's tokenizer is in files beside the weights. config: one that is judged, of any family."""
    return bool(config.get("model_cfg", {}).get("text_cfg", {}).get("hf_tokenizer_name"))


def check_tokenizer(text: Mapping[str, Any]) -> None:
    """Raise ModelError for a ``text_cfg`` whose tokenizer is not served. What its files hold is judged elsewhere."""
    name = text.get("hf_tokenizer_name")
    if name and not (isinstance(name, str) and len(name) <= _MAX_NAME):
        raise ModelError(f"text_cfg.hf_tokenizer_name must be a text of at most {_MAX_NAME} characters")
    if text.get("tokenizer_mode"):
        raise ModelError("text_cfg.tokenizer_mode is not served: only tokenizers as their own files have them are")
    arguments = text.get("tokenizer_kwargs") or {}
    if not isinstance(arguments, dict):
        raise ModelError("text_cfg.tokenizer_kwargs must be an object")
    served = {"clean", "strip_sep_token"} if name else {"clean"}
    if unknown := sorted(arguments.keys() - served):
        raise ModelError(f"text_cfg.tokenizer_kwargs.{unknown[0]} is not served: only {', '.join(sorted(served))}")
    if arguments.get("clean", "lower") not in CLEANINGS:
        raise ModelError(f"text_cfg.tokenizer_kwargs.clean must be one of {', '.join(CLEANINGS)}")
    if type(arguments.get("strip_sep_token", False)) is not bool:
        raise ModelError("text_cfg.tokenizer_kwargs.strip_sep_token must be true or false")


def check_there(config: Mapping[str, Any], there: Mapping[str, int]) -> None:
    """Raise ModelError where the tokenizer's file is not there, or a file is too large. there: bytes by name."""
    if not has_files(config):
        return
    name = config["model_cfg"]["text_cfg"]["hf_tokenizer_name"]
    if TOKENIZER_FILE not in there:
        raise ModelError(
            f"text_cfg.hf_tokenizer_name is {name}, which is never fetched: put its {TOKENIZER_FILE} and "
            "tokenizer_config.json beside the config (open_clip's tokenizer.save_pretrained(FOLDER) writes them), and "
            "send the whole folder"
        )
    for file, size in there.items():
        if size > MAX_BYTES[file]:
            raise ModelError(f"{file} has {size} bytes, of at most {MAX_BYTES[file]}")
