"""A control set's pictures from the archive to pixels: images a second, and private memory at its peak.

3,000 made JPEGs of ImageNet's usual size stand for 50,000, of which disk and time here have no room; how long an image
takes and what memory holds do not depend on how many there are. The usual way is a DataLoader with a process for each
core, whose batches are put together in memory. Each way runs in a process of its own.
"""

import io
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from open_clip.transform import PreprocessCfg, image_transform_v2
from PIL import Image
from torch.utils.data import DataLoader, Dataset

from benchmarks.timing import spread
from negmerge.data.archives import index_archive
from negmerge.decoding import dataset as decoding
from negmerge.decoding.preprocess import of_open_clip
from tooling.machine import machine

RUNS = 3
COUNT = 3000
WIDTH, HEIGHT = 500, 375
MIB = 1 << 20
CFG = PreprocessCfg(size=224)


def main(runs: int = RUNS) -> None:
    """Print images a second and the peak of private memory beyond what importing takes, of each way."""
    print(machine())
    print(f"decoding: {COUNT} JPEGs of {WIDTH} × {HEIGHT} pixels from a zip to 224 × 224, by all cores")
    rates: dict[str, list[float]] = {way: [] for way in WAYS}
    peaks: dict[str, list[float]] = {way: [] for way in WAYS}
    with tempfile.TemporaryDirectory(prefix="negmerge-decoding-") as folder:
        archive = Path(folder) / "images.zip"
        make_archive(archive)
        for _ in range(runs):
            for way in WAYS:
                command = [sys.executable, "-m", "benchmarks.decoding", way, str(archive)]
                told = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
                rates[way].append(COUNT / told["seconds"])
                peaks[way].append(told["peak"] / MIB)
    for way in WAYS:
        print(f"  {way:8} {spread(rates[way], 'images/s')}; private memory {spread(peaks[way], 'MiB')}")


def make_archive(path: Path) -> None:
    """Pictures with as much in them as photographs have: about 50 KB each."""
    generator = np.random.default_rng(0)
    contents = []
    for _ in range(20):
        small = generator.integers(0, 256, (HEIGHT // 5, WIDTH // 5, 3), dtype=np.uint8)
        buffer = io.BytesIO()
        Image.fromarray(small).resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC).save(buffer, "JPEG", quality=90)
        contents.append(buffer.getvalue())
    with zipfile.ZipFile(path, "w") as archive:
        for number in range(COUNT):
            archive.writestr(f"{'ab'[number % 2]}/{number:05}.jpg", contents[number % len(contents)])


def ours(archive: Path) -> None:
    """As a worker does it: into a file, where the code has one."""
    dataset = decoding.open_archive(archive, index_archive(archive, verify=False))
    samples, preprocess = dataset.index.samples, of_open_clip(CFG)
    if not hasattr(decoding, "written"):  # the code of before
        decoding.decode(dataset, samples, preprocess)
        return
    with decoding.written(archive.with_suffix(".safetensors"), len(samples), preprocess.size) as images:
        decoding._decode_into(images, dataset, [sample.id for sample in samples], preprocess, lambda *_: None)


class Pictures(Dataset[Any]):
    """The archive's pictures as open_clip's transform gives them, but for the conversion to floats."""

    def __init__(self, archive: Path) -> None:
        self._archive = archive
        self._names = zipfile.ZipFile(archive).namelist()
        self._files: zipfile.ZipFile | None = None
        *self._steps, _floats, _normalise = image_transform_v2(CFG, is_train=False).transforms

    def __len__(self) -> int:
        return len(self._names)

    def __getitem__(self, place: int) -> torch.Tensor:
        self._files = self._files or zipfile.ZipFile(self._archive)  # each process its own
        image: Any = Image.open(io.BytesIO(self._files.read(self._names[place])))
        for step in self._steps:
            image = step(image)
        return torch.from_numpy(np.array(image).transpose(2, 0, 1))


def usual(archive: Path) -> None:
    """A DataLoader, and all batches as one tensor."""
    loader: DataLoader[Any] = DataLoader(Pictures(archive), batch_size=128, num_workers=os.cpu_count() or 1)
    torch.cat(list(loader))


WAYS: dict[str, Callable[[Path], None]] = {"usual": usual, "negmerge": ours}


def child(way: str, archive: Path) -> None:
    """Do it once, and print seconds and the peak of private memory beyond what was there before."""
    peak, before, over = 0, _private(), threading.Event()

    def watch() -> None:
        nonlocal peak
        while not over.wait(0.02):
            peak = max(peak, _private())

    thread = threading.Thread(target=watch)
    thread.start()
    started = time.perf_counter()
    WAYS[way](archive)
    seconds = time.perf_counter() - started
    over.set()
    thread.join()
    print(json.dumps({"seconds": seconds, "peak": max(peak, _private()) - before}))


def _private() -> int:
    """Bytes of anonymous memory that this process and its children hold; pages of files are not among them."""
    pids = [os.getpid(), *map(int, Path(f"/proc/self/task/{os.getpid()}/children").read_text().split())]
    total = 0
    for pid in pids:
        try:
            lines = Path(f"/proc/{pid}/status").read_text().splitlines()
        except OSError:  # it has just ended
            continue
        total += sum(1024 * int(line.split()[1]) for line in lines if line.startswith("RssAnon"))
    return total


if __name__ == "__main__":
    child(sys.argv[1], Path(sys.argv[2]))
