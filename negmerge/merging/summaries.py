"""What a file holds, tensor by tensor: ``negmerge inspect FILE``."""

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from negmerge.checkpoints.streams import ModelReader
from negmerge.merging.accumulators import chunks


@dataclass(frozen=True)
class TensorSummary:
    """One tensor of a file; ``nonzero`` is the share of elements that are not 0, ``norm`` the Euclidean norm."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    nonzero: float
    norm: float


def inspect_file(path: Path) -> list[TensorSummary]:
    """Each tensor's type, shape, share of non-zeros and norm, in the file's order; streamed.

    Raises CheckpointError and TensorError as reading its header does.
    """
    summaries = []
    with ModelReader(path) as model:
        for name, shape in model.shapes.items():
            nonzero, square, size = 0, 0.0, model.sizes[name]
            for span in chunks(size):
                values = model.read(name, span).to(torch.float64).numpy()
                nonzero += int(np.count_nonzero(values))
                square += float(values @ values)
            share = nonzero / max(size, 1)
            summaries.append(TensorSummary(name, model.stored(name), shape, share, math.sqrt(square)))
    return summaries
