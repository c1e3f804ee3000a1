"""Small sweeps of task vectors with every awkward value in them, and partials made of them."""

from collections.abc import Sequence
from math import prod

import numpy as np
import torch
from hypothesis import strategies as st
from numpy.typing import NDArray

from negmerge.checkpoints.tensors import digest
from negmerge.merging.partial import Partial, Single
from negmerge.merging.vectors import TaskVector
from negmerge.spec import job as spec

METHODS = ["negmerge", "uniform", "task_arithmetic", "magmax", "ties"]
SHAPES = {"visual.w": (2, 3), "visual.b": (4,), "visual.scale": (), "visual.none": (0, 3)}
SIZE = 11
BASE = {name: torch.zeros(shape) for name, shape in SHAPES.items()}
PLAIN = spec.Merge()

# Zeros of both signs, values that meet their opposites and their equals, tiny ones, and anything below 8.
elements = st.one_of(
    st.sampled_from([0.0, -0.0, 0.25, -0.25, 0.5, -0.5, 2.0**-50, -(2.0**-51), 1e-40]),
    st.floats(-7.875, 7.875, width=32),
)
rows = st.lists(elements, min_size=SIZE, max_size=SIZE)
sweeps = st.lists(rows, min_size=1, max_size=7)
keys = st.tuples(st.integers(0, 2), st.sampled_from([0.5, 1.0]))


def vector(row: Sequence[float]) -> TaskVector:
    """Eleven numbers as the tensors of SHAPES."""
    flat, found, start = torch.tensor(row, dtype=torch.float32), {}, 0
    for name, shape in SHAPES.items():
        size = prod(shape)
        found[name] = flat[start : start + size].reshape(shape)
        start += size
    return found


def flat(tensors: TaskVector) -> NDArray[np.float32]:
    return torch.cat([tensors[name].reshape(-1) for name in SHAPES]).numpy()


def single(index: int, key: tuple[float, ...] | None = None) -> Single:
    return Single(key or (index, 1.0), 1.0)


def folded(
    taus: Sequence[Sequence[float]], methods: Sequence[str] = METHODS, merge: spec.Merge = PLAIN, chunk: int = 1 << 17
) -> Partial:
    """One partial of all points."""
    partial = Partial(methods, BASE, merge, chunk=chunk)
    for i, tau in enumerate(taus):
        partial.add(i, vector(tau), single(i))
    return partial


def fingerprint(partial: Partial) -> list[str]:
    """All that a partial gives, to the bit."""
    return [*(digest(partial.result(method)) for method in partial.methods), str(partial.points)]


def same_bits(one: NDArray[np.float32], other: NDArray[np.float32]) -> bool:
    return one.tobytes() == other.tobytes()
