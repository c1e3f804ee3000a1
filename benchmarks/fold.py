"""The fold alone: the loops of a merge beside the machine's copy bandwidth, and a job's fold beside training.

The loops go over pieces that lie in memory, on as many threads as there are cores: all that `negmerge merge` does but
reading, hashing and writing. A copy moves each byte twice (read and written); the loops read all, and write one model.
"""

import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise

import numpy as np
import torch

from benchmarks.timing import against, spread
from negmerge.merging import kernels
from negmerge.merging.partial import Partial
from negmerge.spec.job import Merge
from tooling.machine import machine

TUNED = 8
ELEMENTS = 40_000_000
PIECE = 1 << 16
"""Elements of a piece of nine models (``compiled.CompiledPieces``)."""
RUNS = 7
GOAL = 0.5
"""Of the copy bandwidth of the same run."""


def main(elements: int = ELEMENTS, runs: int = RUNS) -> None:
    """Print GB/s of a copy and of the loops, by method, and what a job's accumulators take for a point."""
    print(machine())
    cores = os.cpu_count() or 1
    print(f"fold: {TUNED} + 1 models of {elements} float32 in memory, {cores} threads, beside a copy in turn")
    models = _models(elements)
    with ThreadPoolExecutor(cores) as pool:
        ways: dict[str, tuple[Callable[[], object], float]] = {"copy": _copying(pool, models[0], cores)}
        for name in ("NEGMERGE", "UNIFORM", "MAGMAX", "TIES"):
            ways[name.lower()] = _folding(pool, models, getattr(kernels, name), cores)
        speeds: dict[str, list[float]] = {way: [] for way in ways}
        for run in range(-1, runs):
            for way, (work, moved) in ways.items():
                started = time.perf_counter()
                work()
                if run >= 0:  # the first one finds the memory and the machine code
                    speeds[way].append(moved / 1e9 / (time.perf_counter() - started))
    for way, found in speeds.items():
        share = [own / copy for own, copy in zip(found, speeds["copy"], strict=True)]
        told = "" if way == "copy" else f"; {spread(share, 'of a copy')}; {against(sorted(share)[runs // 2], GOAL)}"
        print(f"  {way:9} {spread(found, 'GB/s')}{told}")
    _in_a_job(elements, runs)


def _models(elements: int) -> np.ndarray:
    generator = np.random.default_rng(0)
    base = generator.standard_normal(elements, np.float32) / 50
    models = np.empty((1 + TUNED, elements), np.float32)
    models[0] = base
    for row in models[1:]:
        row[:] = base + generator.standard_normal(elements, np.float32) * 1e-4 + 1e-4
    return models


def _copying(pool: ThreadPoolExecutor, values: np.ndarray, cores: int) -> tuple[Callable[[], object], float]:
    out, cut = np.empty_like(values), np.linspace(0, len(values), cores + 1).astype(int)
    spans = [slice(start, stop) for start, stop in pairwise(cut)]
    return lambda: list(pool.map(lambda span: np.copyto(out[span], values[span]), spans)), 2.0 * values.nbytes


def _folding(
    pool: ThreadPoolExecutor, models: np.ndarray, method: int, cores: int
) -> tuple[Callable[[], object], float]:
    size = PIECE
    pieces = [np.ascontiguousarray(models[:, start : start + size]) for start in range(0, models.shape[1], size)]
    floors = np.zeros(TUNED, np.float32)

    def some(first: int) -> None:
        out, every = np.empty(4 * size, np.uint8), np.empty(1 + TUNED, np.uint32)
        several, tallies = np.empty(1 + TUNED, np.bool_), np.empty(kernels.TALLIES)
        for piece in pieces[first::cores]:
            stored, count = piece.view(np.uint8), piece.shape[1]
            kernels.merge_piece(
                method, stored, kernels.F32, count, TUNED, floors, 0, np.float32(1), False, out, every, several, tallies
            )

    return lambda: list(pool.map(some, range(cores))), float(models.nbytes + models[0].nbytes)


def _in_a_job(elements: int, runs: int) -> None:
    """Seconds to fold one point of so many parameters into a worker's accumulators, for negmerge."""
    vector = {"w": torch.randn(elements) * 1e-4}
    partial, seconds = Partial(["negmerge"], vector, Merge()), []
    for index in range(runs):
        started = time.perf_counter()
        partial.add(index, vector)
        seconds.append(time.perf_counter() - started)
    each = [one / elements * 1e9 for one in seconds]
    print(f"  in a job  {spread(each, 'ns a parameter')}: to check a point and fold it, one thread")


if __name__ == "__main__":
    main()
