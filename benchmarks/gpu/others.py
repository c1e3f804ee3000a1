"""The rest of a job on the device: folding a point, RandAugment, the search for λ."""

from collections.abc import Callable
from importlib.util import find_spec

import torch

from benchmarks.gpu import models, training
from benchmarks.gpu.ceilings import COPY
from benchmarks.gpu.table import Bench
from negmerge.evaluation.metrics import Count, evaluate
from negmerge.evaluation.search import choose
from negmerge.merging.partial import Partial
from negmerge.merging.vectors import TaskVector
from negmerge.pipeline.scale import load_at
from negmerge.spec.job import Merge, ScaleSearch
from negmerge.spec.sweep import RandAugment
from negmerge.training.augment import rand_augment

BYTES_AN_ELEMENT = 4 + 2 * (8 + 1 + 1)
"""That a fold moves: τ is read; its sum, its positives and its negatives are read and written."""
_GB = 1e9


def fold(bench: Bench, seconds: float) -> str:
    """Points of a ViT-B/32's image tower folded from where they were trained."""
    model = training.b_32(bench.device, bench.tiny)
    vector = {name: 0.001 * torch.randn_like(model.original[name], device=bench.device) for name in model.names}
    size = sum(tau.numel() for tau in vector.values())
    partial = Partial(["negmerge"], {name: model.original[name] for name in model.names}, Merge())
    partial.add(0, vector)
    times = _repeated(bench, lambda index: partial.add(index, vector), seconds / 2)
    rate = size * BYTES_AN_ELEMENT / min(times)
    where = (
        "on the device" if find_spec("negmerge.merging.on_device") else "on the CPU: this checkout has no other fold"
    )
    return f"{1000 * min(times):.1f} ms a point, {rate / _GB:,.1f} GB/s, {bench.share(COPY, rate)} of copying ({where})"


def augment(bench: Bench, seconds: float) -> str:
    """RandAugment of two operations on batches of 128 images of 224 pixels."""
    count, size = (8, 32) if bench.tiny else (128, 224)
    images = torch.randint(256, (count, 3, size, size), dtype=torch.uint8, device=bench.device)
    strength, generator = RandAugment(magnitude=9, operations=2), torch.Generator().manual_seed(0)
    rand_augment(images, strength, generator)
    times = _repeated(bench, lambda _: rand_augment(images, strength, generator), seconds / 2)
    middle = sorted(times)[len(times) // 2]
    return f"{count / middle:,.0f} images/s of {size} pixels, {1000 * middle:.1f} ms a batch of {count}"


def search(bench: Bench, _seconds: float) -> str:
    """λ of a ViT-B/32 over 21 scales, on 512 images to forget and 2,048 to keep."""
    model = training.b_32(bench.device, bench.tiny)
    forget, retain = (8, 16) if bench.tiny else (512, 2048)
    images, labels, head = models.images_of(model, retain), models.labels_of(retain), models.head_of(model)
    merged: TaskVector = {name: 0.001 * torch.randn_like(model.original[name]) for name in model.names}
    classes = [str(number) for number in range(models.CLASSES)]

    def counted(count: int) -> Callable[[float], Count]:
        def at(scale: float) -> Count:
            load_at(model, merged, scale)
            return evaluate(model, images[:count], labels[:count], head, classes).total

        return at

    base = counted(retain)(0.0)  # also chooses kernels
    started = bench.clock()
    asked = ScaleSearch(extend=False, curve="full")
    choice = choose(counted(forget), counted(retain), asked, "lowest_forget", base)
    taken = bench.clock() - started
    scales = len(choice.curve)
    return f"{taken:.2f} s for {scales} scales, {scales * (forget + retain) / taken:,.0f} images/s"


def _repeated(bench: Bench, work: Callable[[int], object], seconds: float) -> list[float]:
    """Seconds of each of up to twenty calls, in the time that there is, at least two."""
    times: list[float] = []
    while len(times) < 2 or (len(times) < 20 and sum(times) < seconds):
        started = bench.clock()
        work(len(times) + 1)
        times.append(bench.clock() - started)
    return times
