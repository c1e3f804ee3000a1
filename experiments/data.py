"""Where the real images are that the experiments work on; they are never copied into the project."""

import os
from pathlib import Path

CIFAR10 = "cifar10-jpeg.zip"


def data_root() -> Path | None:
    """The folder with ``cifar10-jpeg.zip``: NEGMERGE_DATA, or ``shared/data`` beside the project; None without it."""
    beside = Path(__file__).resolve().parents[2] / "shared" / "data"
    given = os.environ.get("NEGMERGE_DATA")
    root = Path(given) if given else beside
    return root if (root / CIFAR10).is_file() else None
