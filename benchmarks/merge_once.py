"""One merge in a process of its own, for ``merge``: by the code that is imported, which may be as it was before."""

import json
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from torch import Tensor

from negmerge.merging.files import merge_files


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


def ours(folder: Path, out: str, method: str) -> None:
    """The same with this library, or with the one that it was: what is imported says."""
    merge_files(
        folder / "base.safetensors",
        sorted(folder.glob("tuned*.safetensors")),
        folder / f"{out}.safetensors",
        method=method,
    )


def _child(way: str, folder: Path, watched: bool) -> None:
    idle = _private()
    with _peak() if watched else _nothing() as peak:
        started = time.perf_counter()
        if way == "published":
            published(folder)
        else:
            ours(folder, way, "ties" if "ties" in way else "negmerge")
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
    _child(sys.argv[1], Path(sys.argv[2]), watched=sys.argv[3] == "watched")
