"""Prompts as numbers, by the tokenizer that a text tower was trained with.

open_clip's own comes with it. Others, such as a SigLIP's, are files in the model's folder, as ``save_pretrained`` of
transformers writes them; a hub is never asked. Shapes: T prompts, L their length in tokens.
"""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import open_clip
import torch
from open_clip.tokenizer import SimpleTokenizer, get_clean_fn
from torch import Tensor

from negmerge import confined
from negmerge.errors import ModelError
from negmerge.formats.tokenizer_files import MAX_BYTES, check_there, has_files

MEMORY, SECONDS = 4 * 2**30, 120
"""Bytes of address space and seconds of CPU. 901,629 words, as XLM-V has them, take 1.8 GB and 4 s."""


class Tokenizer(Protocol):
    """T prompts → int64 [T, L], filled up or cut off. Raises ModelError for files that cannot be used."""

    at_once: int
    """Of so many prompts it makes short work, of more it is asked again."""

    def __call__(self, texts: Sequence[str]) -> Tensor: ...


class OwnTokenizer:
    """open_clip's own. clean: what is done to a prompt before (``CLEANINGS``)."""

    at_once = 1

    def __init__(self, length: int, clean: str) -> None:
        self._length = length
        self._tokenize = open_clip.tokenize if clean == "lower" else SimpleTokenizer(clean=clean)

    def __call__(self, texts: Sequence[str]) -> Tensor:
        found: Tensor = self._tokenize(list(texts), context_length=self._length)
        return found


class FileTokenizer:
    """One that is files in a folder, as ``open_clip.HFTokenizer`` has it, without the libraries that that needs.

    Each question is a process of its own (``token_ids``), which reads the files again. words: of the text tower.
    """

    at_once = 50_000

    def __init__(self, folder: Path, length: int, words: int, clean: str, strip: bool) -> None:
        self._folder, self._length, self._words, self._strip = folder, length, words, strip
        self._clean = get_clean_fn(clean)

    def __call__(self, texts: Sequence[str]) -> Tensor:
        ids = self._ids([self._clean(text) for text in texts])
        if any(len(row) != self._length for row in ids):
            raise ModelError(f"the model's tokenizer does not keep to {self._length} tokens, its text tower's length")
        found = torch.tensor(ids, dtype=torch.long)
        if not bool((found < self._words).all()):
            most = int(found.max())
            raise ModelError(f"the model's tokenizer gives the number {most}, its text tower has {self._words} words")
        return found

    def _ids(self, texts: Sequence[str]) -> list[list[int]]:
        question = {"folder": str(self._folder), "texts": texts, "length": self._length, "strip": self._strip}
        try:
            answer = confined.ask("negmerge.models.token_ids", question, MEMORY, SECONDS)
        except confined.TooMuch as limit:
            most = {"memory": f"{MEMORY} bytes of memory", "seconds": f"{SECONDS} seconds"}[limit.of]
            raise ModelError(f"the model's tokenizer takes more than {most} for {len(texts)} prompts") from None
        except (confined.Starved, confined.Broken) as error:
            raise ModelError("the model's tokenizer could not be read in a process of its own") from error
        if "wrong" in answer:
            raise ModelError(f"the model's tokenizer cannot be used: {answer['wrong']}")
        ids: list[list[int]] = answer["ids"]
        return ids


def tokenizer_of(config: Mapping[str, Any], beside: Mapping[str, Path]) -> Tokenizer:
    """The tokenizer of an open_clip config. beside: the files of ``files_beside``. Raises ModelError."""
    text = config["model_cfg"]["text_cfg"]
    arguments = text.get("tokenizer_kwargs") or {}
    length = text.get("context_length", 77)  # a CoCa's own is its decoder's
    if not has_files(config):
        return OwnTokenizer(length, arguments.get("clean", "lower"))
    check_there(config, {name: path.stat().st_size for name, path in beside.items()})
    folder = next(iter(beside.values())).parent
    clean, strip = arguments.get("clean", "whitespace"), arguments.get("strip_sep_token", False)
    return FileTokenizer(folder, length, text.get("vocab_size", 49408), clean, strip)


def tokens_by_class(
    tokenizer: Tokenizer, class_words: Sequence[str], templates: Sequence[str], classes: int
) -> Iterator[Tensor]:
    """The tokens of so many classes' prompts at a time, class by class and template by template."""
    batch = classes * len(templates)
    classes_asked = classes * max(1, tokenizer.at_once // batch)
    for start in range(0, len(class_words), classes_asked):
        piece = class_words[start : start + classes_asked]
        tokens = tokenizer([template.replace("{}", words) for words in piece for template in templates])
        yield from torch.split(tokens, batch)


def files_beside(config: Mapping[str, Any], folder: Path | None) -> dict[str, Path]:
    """The tokenizer's files in a model's folder, by name; none for a model that has no need of them."""
    if folder is None or not has_files(config):
        return {}
    return {name: folder / name for name in MAX_BYTES if (folder / name).is_file()}
