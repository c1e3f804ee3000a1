"""``negmerge merge`` beside the published way: all checkpoints through torch.load, running float32 sums.

One base model and eight fine-tuned ones, as large as ViT-B/32's image tower, read from the page cache; every run
in a process of its own, the two ways in turn. Ours syncs its file to disk, the published way does not.
"""

import json
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor

from benchmarks.timing import spread
from negmerge.checkpoints.files import load_tensors, save_tensors
from negmerge.merging.files import merge_files
from tooling.machine import machine

ELEMENTS = 87_849_216
TUNED = 8
RUNS = 5
WAYS = ("published", "negmerge")
MIB = 1 << 20


def main(elements: int = ELEMENTS, tuned: int = TUNED, runs: int = RUNS) -> None:
    """Print seconds, GB/s and peak private memory of both ways, and how far their results are apart."""
    print(machine())
    with tempfile.TemporaryDirectory(prefix="negmerge-merge-") as name:
        folder = Path(name)
        _write_models(folder, elements, tuned)
        size = 4 * elements * (1 + tuned)
        print(f"merge: a base model and {tuned} fine-tuned ones, {size / 1e9:.2f} GB of float32 from the page cache")
        seconds: dict[str, list[float]] = {way: [] for way in WAYS}
        for _ in range(runs):
            for way in WAYS:
                seconds[way].append(_run(way, folder)["seconds"])
        for way in WAYS:
            memory = _run(way, folder, "watched")
            speeds = spread([size / 1e9 / one for one in seconds[way]], "GB/s")
            print(
                f"  {way:10} {spread(seconds[way])}; {speeds}; private memory {memory['peak'] / MIB:.0f} MiB at its "
                f"peak, {memory['idle'] / MIB:.0f} before"
            )
        print(f"  {_compare(folder)}")


def published(folder: Path) -> None:
    """The released CLIP code's way (arXiv 2410.05583): add up checkpoints and their signs in memory, with λ = 1."""
    base: dict[str, Tensor] = torch.load(folder / "base.pt", weights_only=True)
    sums = {name: torch.zeros_like(theta) for name, theta in base.items()}
    signs = {name: torch.zeros_like(theta) for name, theta in base.items()}
    checkpoints = sorted(folder.glob("tuned*.pt"))
    states = [torch.load(path, weights_only=True) for path in checkpoints]
    for state in states:
        for name, theta in state.items():
            tau = theta - base[name]
            sums[name] += tau
            signs[name] += torch.sign(tau)
    unlearned = {}
    for name, theta in base.items():
        merged = torch.where(signs[name].abs() == len(states), sums[name] / len(states), 0)
        unlearned[name] = theta - 1.0 * merged
    torch.save(unlearned, folder / "published.pt")


def ours(folder: Path) -> None:
    """The same with this library."""
    merge_files(folder / "base.safetensors", sorted(folder.glob("tuned*.safetensors")), folder / "ours.safetensors")


def _write_models(folder: Path, elements: int, tuned: int) -> None:
    """Models whose task vectors mostly agree on the first half of the elements and never on the second."""
    generator = torch.Generator().manual_seed(0)
    half = elements // 2
    base = {
        "first": torch.randn(half, generator=generator) / 50,
        "second": torch.randn(elements - half, generator=generator) / 50,
    }
    save_tensors(base, folder / "base.safetensors")
    torch.save(base, folder / "base.pt")
    for i in range(tuned):
        steps = {name: torch.randn(theta.shape, generator=generator) * 1e-4 for name, theta in base.items()}
        steps["first"] += 2e-4
        model = {name: theta + steps[name] for name, theta in base.items()}
        save_tensors(model, folder / f"tuned{i}.safetensors")
        torch.save(model, folder / f"tuned{i}.pt")


def _compare(folder: Path) -> str:
    """How far the two results are apart: the published way is the independent oracle."""
    theirs: dict[str, Tensor] = torch.load(folder / "published.pt", weights_only=True)
    mine, base = load_tensors(folder / "ours.safetensors"), load_tensors(folder / "base.safetensors")
    furthest = max(float((theirs[name] - mine[name]).abs().max()) for name in base)
    moved = sum(int((mine[name] != base[name]).sum()) for name in base)
    apart = sum(int(((mine[name] != base[name]) != (theirs[name] != base[name])).sum()) for name in base)
    return f"{moved} elements moved; moved by one way only: {apart}; largest difference {furthest:.1e}"


def _run(way: str, folder: Path, watched: str = "") -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.merge", way, str(folder), watched]
    found: dict[str, float] = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    return found


def _child(way: str, folder: Path, watched: bool) -> None:
    work = {"published": published, "negmerge": ours}[way]
    idle = _private()
    with _peak() if watched else _nothing() as peak:
        started = time.perf_counter()
        work(folder)
        seconds = time.perf_counter() - started
    print(json.dumps({"seconds": seconds, "idle": idle, "peak": max([idle, *peak])}))


@contextmanager
def _nothing() -> Iterator[list[int]]:
    yield []


@contextmanager
def _peak() -> Iterator[list[int]]:
    """This process's private memory, in bytes, every 10 ms; slows the work a little, so it is not timed."""
    found: list[int] = []
    done = threading.Event()

    def watch() -> None:
        while not done.wait(0.01):
            found.append(_private())

    thread = threading.Thread(target=watch)
    thread.start()
    try:
        yield found
    finally:
        done.set()
        thread.join()


def _private() -> int:
    """Bytes that this process shares with no other: clean and dirty, its own mappings of files included."""
    lines = Path("/proc/self/smaps_rollup").read_text().splitlines()
    return sum(int(line.split()[1]) for line in lines if line.startswith("Private_")) * 1024


if __name__ == "__main__":
    if len(sys.argv) > 1:
        _child(sys.argv[1], Path(sys.argv[2]), watched=sys.argv[3] == "watched")
    else:
        main()
