"""How the time of ``negmerge merge`` grows: over five sizes of a model, and over numbers of models.

A straight line is fitted through the medians by least squares, once of seconds over parameters and once over models;
what it leaves over is told in percent of each point. The largest models are bfloat16, of which two fit on the disk.
"""

import statistics
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from benchmarks.merge import MIB, run_once, write_models
from tooling.machine import machine

SIZES = (30_000_000, 75_000_000, 180_000_000, 430_000_000, 1_000_000_000)
MODELS = (2, 4, 8, 16)
OF_MODELS = 30_000_000
RUNS = 3


def main(runs: int = RUNS) -> None:
    """Print seconds of each size and number, and how far each is from the line through all."""
    print(machine())
    found = []
    print("merge_sizes: a base model and one other, BF16, seconds of the whole merge and private memory at its peak")
    for size in SIZES:
        found.append(_measured(size, 1, torch.bfloat16, runs, f"{size / 1e6:.0f} M parameters"))
    _fit(SIZES, found, "ns a parameter")
    print(f"  and of {OF_MODELS / 1e6:.0f} M parameters, float32, by the number of fine-tuned models")
    found = [_measured(OF_MODELS, count, torch.float32, runs, f"{count} models") for count in MODELS]
    _fit([OF_MODELS * (1 + count) for count in MODELS], found, "ns a parameter of a model")


def _measured(size: int, tuned: int, dtype: torch.dtype, runs: int, what: str) -> float:
    with tempfile.TemporaryDirectory(prefix="negmerge-merge-") as folder:
        write_models(Path(folder), size, tuned, dtype)
        seconds = [run_once("negmerge", Path(folder), None)["seconds"] for _ in range(runs)]
        peak = run_once("negmerge", Path(folder), None, "watched")["peak"] / MIB
    middle = statistics.median(seconds)
    read = dtype.itemsize * size * (1 + tuned) / 1e9
    told = f"{middle:.3f} s ({min(seconds):.3f}–{max(seconds):.3f}), {read / middle:.2f} GB/s, {peak:.0f} MiB"
    print(f"    {what:18} {told}", flush=True)
    return middle


def _fit(elements: Sequence[int], seconds: list[float], unit: str) -> None:
    """A line through all points, each weighing by its own share: what is told is relative."""
    x, y = np.array(elements, float), np.array(seconds)
    slope, start = np.polyfit(x, y, 1, w=1 / y)
    apart = 100 * (slope * x + start - y) / y
    told = ", ".join(f"{one:+.0f} %" for one in apart)
    print(f"    line: {1e9 * slope:.3f} {unit} and {start:.2f} s; it is {told} from the points")


if __name__ == "__main__":
    main()
