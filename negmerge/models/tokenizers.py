"""Prompts as numbers, by the tokenizer that a text tower was trained with.

open_clip's own comes with it. Others, such as a SigLIP's, are files in the model's folder, as ``save_pretrained`` of
transformers writes them; a hub is never asked. Shapes: T prompts, L their length in tokens.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import open_clip
import torch
from open_clip.tokenizer import get_clean_fn
from torch import Tensor

from negmerge import confined
from negmerge.errors import ModelError
from negmerge.formats.tokenizer_files import MAX_BYTES, check_there, has_files

Tokenizer = Callable[[Sequence[str]], Tensor]
"""T prompts → int64 [T, L], filled up or cut off. Raises ModelError for files that cannot be used."""

MEMORY, SECONDS = 4 * 2**30, 120
"""Bytes of address space and seconds of CPU. 901,629 words, as XLM-V has them, take 1.8 GB and 4 s."""


def tokenizer_of(config: Mapping[str, Any], beside: Mapping[str, Path], length: int) -> Tokenizer:
    """The tokenizer of an open_clip config. beside: the files of ``files_beside``; length: L. Raises ModelError."""
    text = config["model_cfg"]["text_cfg"]
    arguments = text.get("tokenizer_kwargs") or {}
    if has_files(config):
        check_there(config, {name: path.stat().st_size for name, path in beside.items()})
        folder = next(iter(beside.values())).parent
        return partial(_of_files, folder, {"clean": "whitespace"} | arguments, length, text.get("vocab_size", 49408))
    if "clean" in arguments:
        own: Tokenizer = open_clip.SimpleTokenizer(context_length=length, clean=arguments["clean"])
        return own
    return partial(open_clip.tokenize, context_length=length)


def files_beside(config: Mapping[str, Any], folder: Path | None) -> dict[str, Path]:
    """The tokenizer's files in a model's folder, by name; none for a model that has no need of them."""
    if folder is None or not has_files(config):
        return {}
    return {name: folder / name for name in MAX_BYTES if (folder / name).is_file()}


def _of_files(folder: Path, arguments: Mapping[str, Any], length: int, words: int, texts: Sequence[str]) -> Tensor:
    """As ``open_clip.HFTokenizer`` has it, without the libraries that it needs."""
    clean = get_clean_fn(arguments["clean"])
    question = {
        "folder": str(folder),
        "texts": [clean(text) for text in texts],
        "length": length,
        "strip": arguments.get("strip_sep_token", False),
    }
    try:
        answer = confined.ask("negmerge.models.token_ids", question, MEMORY, SECONDS)
    except confined.TooMuch as limit:
        most = {"memory": f"{MEMORY} bytes of memory", "seconds": f"{SECONDS} seconds"}
        raise ModelError(f"the model's tokenizer takes more than {most[limit.of]} for {len(texts)} prompts") from None
    except confined.Broken as broken:
        raise ModelError(f"the model's tokenizer cannot be used: {str(broken).strip()[-500:]}") from None
    if "wrong" in answer:
        raise ModelError(f"the model's tokenizer cannot be used: {answer['wrong']}")
    ids = answer["ids"]
    if any(len(row) != length for row in ids):
        raise ModelError(f"the model's tokenizer does not keep to {length} tokens, its text tower's length")
    found = torch.tensor(ids, dtype=torch.long)
    if not bool((found < words).all()):
        raise ModelError(f"the model's tokenizer gives the number {int(found.max())}, its text tower has {words} words")
    return found
