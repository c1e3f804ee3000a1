"""What was made once and is kept: taken again only where it is whole and was made in the same way."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from negmerge.checkpoints.files import atomic_path, file_digest


class Made:
    """Files that were made by a recipe, noted down in ``note``. recipe: whatever decides what they hold, as JSON."""

    def __init__(self, note: Path, recipe: Any, files: Sequence[Path]) -> None:
        self._note = note
        self._recipe = hashlib.sha256(json.dumps(recipe).encode()).hexdigest()
        self._files = files

    def accuracy(self) -> float | None:
        """What was noted of them, in [0, 1], or None if they are not whole or were made in another way."""
        try:
            made = json.loads(self._note.read_text())
            intact = made["recipe"] == self._recipe and made["files"] == self._digests()
            return float(made["accuracy"]) if intact else None
        except (OSError, ValueError, KeyError):
            return None

    def note(self, accuracy: float) -> None:
        """Write down that they are made."""
        made = {"recipe": self._recipe, "files": self._digests(), "accuracy": accuracy}
        with atomic_path(self._note) as temporary:
            temporary.write_text(json.dumps(made, indent=2) + "\n")

    def _digests(self) -> dict[str, str]:
        return {file.name: file_digest(file) for file in self._files}
