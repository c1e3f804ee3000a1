"""``negmerge merge`` beside the published way and beside itself as it was, from the page cache.

One base model and eight fine-tuned ones, as large as ViT-B/32's image tower; every run in a process of its own, the
ways in turn. Ours writes, hashes and syncs its file; the published way (all checkpoints through torch.load, running
float32 sums) does not sync. Correctness is checked, and fails the benchmark: all ways move the same elements, and the
code as it is gives the bits of the code as it was.
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
from torch import Tensor

from benchmarks.before import before, environment
from benchmarks.timing import against, ratios, spread
from negmerge.checkpoints.files import load_tensors, save_tensors
from tooling.machine import machine

ELEMENTS = 87_849_216
TUNED = 8
RUNS = 5
MIB = 1 << 20
DTYPES = {"F32": torch.float32, "BF16": torch.bfloat16, "F16": torch.float16}
GOALS = {"F32": 7.0, "BF16": 5.0, "F16": 5.0}
"""GB/s, of files read."""
MEMORY_GOAL = 500
"""MiB of private memory."""
TIES_GOAL = 3.0
"""Times as long as negmerge."""


def main(elements: int = ELEMENTS, tuned: int = TUNED, runs: int = RUNS) -> None:
    """Print seconds, GB/s and private memory of all ways for each type; of TIES how much longer it takes."""
    print(machine())
    for name, dtype in DTYPES.items():
        with tempfile.TemporaryDirectory(prefix="negmerge-merge-") as folder:
            write_models(Path(folder), elements, tuned, dtype, pickled=dtype is torch.float32)
            size = dtype.itemsize * elements * (1 + tuned) / 1e9
            print(f"merge: a base model and {tuned} fine-tuned ones, {size:.2f} GB of {name} from the page cache")
            _one_type(Path(folder), name, size, runs)


def _one_type(folder: Path, name: str, size: float, runs: int) -> None:
    old = before()
    ways = ["published"] * (name == "F32") + ["before"] * (old is not None) + ["negmerge"]
    ways += ["ties before"] * (old is not None and name == "F32") + ["ties"] * (name == "F32")
    seconds: dict[str, list[float]] = {way: [] for way in ways}
    for _ in range(runs):
        for way in ways:
            seconds[way].append(run_once(way, folder, old)["seconds"])
    for way in ways:
        memory = run_once(way, folder, old, "watched")
        print(
            f"  {way:11} {spread(seconds[way])}; {spread([size / one for one in seconds[way]], 'GB/s')}; "
            f"private memory {memory['peak'] / MIB:.0f} MiB at its peak, {memory['idle'] / MIB:.0f} before"
        )
        if way == "negmerge":
            print(f"              {against(size / sorted(seconds[way])[runs // 2], GOALS[name])} GB/s; ", end="")
            print(f"{against(memory['peak'] / MIB, MEMORY_GOAL, at_most=True)} MiB")
    for way in set(ways) & {"published", "before"}:
        print(f"  {way} / negmerge: {spread(ratios(seconds['negmerge'], seconds[way]), '×')}")
    if "ties" in ways:
        longer = ratios(seconds["negmerge"], seconds["ties"])
        print(
            f"  ties / negmerge: {spread(longer, '×')}; {against(sorted(longer)[runs // 2], TIES_GOAL, at_most=True)}"
        )
    _check(folder, ways)


def write_models(folder: Path, elements: int, tuned: int, dtype: torch.dtype, *, pickled: bool = False) -> None:
    """Models whose task vectors mostly agree on the first half of the elements and never on the second."""
    generator = torch.Generator().manual_seed(0)
    half = elements // 2
    base = {
        "first": torch.randn(half, generator=generator) / 50,
        "second": torch.randn(elements - half, generator=generator) / 50,
    }
    for i in range(-1, tuned):
        model = base
        if i >= 0:
            steps = {name: torch.randn(theta.shape, generator=generator) * 1e-4 for name, theta in base.items()}
            steps["first"] += 2e-4
            model = {name: theta + steps[name] for name, theta in base.items()}
        stored = {name: theta.to(dtype) for name, theta in model.items()}
        name = "base" if i < 0 else f"tuned{i}"
        save_tensors(stored, folder / f"{name}.safetensors")
        if pickled:
            torch.save(stored, folder / f"{name}.pt")


def _check(folder: Path, ways: list[str]) -> None:
    """Raise where the ways differ in more than they may: the published way is the independent oracle."""
    for was, now in (("before", "negmerge"), ("ties before", "ties")):
        if was in ways and _bytes(folder, was) != _bytes(folder, now):
            raise SystemExit(f"{now} has not the bits that it had")
    if "published" not in ways:
        return
    theirs: dict[str, Tensor] = torch.load(folder / "published.pt", weights_only=True)
    mine, base = load_tensors(folder / "negmerge.safetensors"), load_tensors(folder / "base.safetensors")
    furthest = max(float((theirs[name] - mine[name]).abs().max()) for name in base)
    apart = sum(int(((mine[name] != base[name]) != (theirs[name] != base[name])).sum()) for name in base)
    print(f"  moved by one way only: {apart} elements; largest difference {furthest:.1e}")
    if apart or furthest > 1e-8:
        raise SystemExit("negmerge and the published way disagree")


def _bytes(folder: Path, way: str) -> bytes:
    return (folder / f"{way}.safetensors").read_bytes()


def run_once(way: str, folder: Path, old: Path | None, watched: str = "") -> dict[str, float]:
    """One merge of the models in ``folder``, in a process of its own: its seconds, and where watched its memory."""
    here = Path(__file__).resolve().parent
    code = old if old is not None and "before" in way else here.parent
    command = [sys.executable, str(here / "merge_once.py"), way, str(folder), watched]
    done = subprocess.run(command, check=True, capture_output=True, env=environment(code))
    found: dict[str, float] = json.loads(done.stdout)
    return found
