"""The pixels of a part as a file: one safetensors tensor ``images``, uint8 [N, 3, S, S], whose pages are mapped."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import safe_open

from negmerge.formats.headers import encode_header

_IMAGES = "images"


@contextmanager
def written(path: Path, count: int, size: int) -> Iterator[NDArray[Any]]:
    """The pixels of a new file, to be filled in; at the end of the block they are handed to the system.

    They are the file's own pages, which the system may write and drop at any time: no memory of this process. Room for
    all of them is taken first, since a disk that is full when a page is written ends the process. Raises OSError.
    """
    start, infos = encode_header({_IMAGES: ("U8", (count, 3, size, size))}, {})
    with path.open("wb") as file:
        file.write(start)
        file.flush()
        os.posix_fallocate(file.fileno(), 0, infos[_IMAGES].end)
    images = np.memmap(path, np.uint8, "r+", infos[_IMAGES].start, (count, 3, size, size))
    yield images
    images.flush()


def mapped(path: Path) -> torch.Tensor:
    """The pixels of a file, as pages of it."""
    with safe_open(path, framework="pt") as file:
        images: torch.Tensor = file.get_tensor(_IMAGES)
    return images
