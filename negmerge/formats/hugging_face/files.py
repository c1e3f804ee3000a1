"""The files of a folder of transformers besides config and weights: which are kept, and how large they may be."""

from pathlib import Path
from typing import Any

from negmerge.errors import ModelError
from negmerge.formats import strict_json, tokenizer_files

PROCESSOR_FILES = ("preprocessor_config.json", "processor_config.json")
"""What says how images become pixels; the first that is there holds."""
MAX_BYTES = {
    **dict.fromkeys(PROCESSOR_FILES, 2**20),
    **tokenizer_files.MAX_BYTES,
    "added_tokens.json": 2**20,
    "vocab.json": 64 * 2**20,
    "merges.txt": 64 * 2**20,
    "spiece.model": 64 * 2**20,
}
"""Files that are kept, and the most bytes of each. The last three are tokenizers' of old, which nothing here reads."""


def beside(folder: Path) -> dict[str, Path]:
    """The files that are kept, by name. Raises ModelError for one that is too large."""
    found = {name: folder / name for name in MAX_BYTES if (folder / name).is_file()}
    for name, path in found.items():
        if (size := path.stat().st_size) > MAX_BYTES[name]:
            raise ModelError(f"{name} has {size} bytes, of at most {MAX_BYTES[name]}")
    return found


def processors(files: dict[str, Path]) -> dict[str, Any]:
    """The documents of ``PROCESSOR_FILES`` among the files. Raises ModelError."""
    found = {}
    for name in PROCESSOR_FILES:
        if name in files:
            try:
                found[name] = strict_json.loads(files[name].read_bytes())
            except strict_json.NotStrict as error:
                raise ModelError(f"{name}: {error}") from None
    return found
