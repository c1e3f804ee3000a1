"""Models at full size on this machine: one short job each, two points, and the memory that it takes.

The weights are random, since no hub is at hand: time and memory do not depend on what a model knows, its figures
would. Images are a few of the real CIFAR-10; for ViT-B/32 they are brought to 224 pixels.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import open_clip
import torch

from experiments.cifar10 import CONFIG
from experiments.data import CIFAR10, data_root
from experiments.subset import write_subset
from negmerge.checkpoints.files import save_tensors
from negmerge.formats.open_clip_config import CONFIG_FILE, WEIGHTS_FILE
from negmerge.formats.timm_config import CONFIG_FILE as TIMM_CONFIG_FILE
from negmerge.formats.timm_config import WEIGHTS_FILE as TIMM_WEIGHTS_FILE
from negmerge.models import classifiers
from tooling.machine import machine

PER_CLASS = {"train": 20, "test": 5}
FORGET = "truck"
GIB = 1 << 30


def main() -> None:
    """Print parameters, seconds and peak resident memory of each job."""
    print(machine())
    root = data_root()
    if root is None:
        print("full_size: skipped, it needs cifar10-jpeg.zip (NEGMERGE_DATA says where)")
        return
    print("full_size: a whole job of two points by `negmerge run`, from random weights")
    makers: dict[str, tuple[str, Callable[[Path], int]]] = {
        "ResNet-18, 3×3 stem": ("timm", resnet_18),
        "CLIP ViT-B/32": ("open_clip", vit_b_32),
    }
    with tempfile.TemporaryDirectory(prefix="negmerge-full-") as name:
        folder = Path(name)
        write_subset(root / CIFAR10, folder / "images.zip", PER_CLASS)
        for label, (family, make) in makers.items():
            model = folder / family
            model.mkdir()
            size = make(model)
            seconds, peak, swapped = run(folder, family, model)
            print(
                f"  {label}: {size / 1e6:.1f} M parameters; {seconds:.0f} s, {peak / GIB:.2f} GiB resident at its "
                f"peak, {swapped} pages swapped out by the machine meanwhile"
            )


def resnet_18(folder: Path) -> int:
    """timm's resnet18 with the CIFAR stem, at its own widths."""
    config = {key: value for key, value in CONFIG.items() if key != "model_args"} | {"stem": "cifar"}
    torch.manual_seed(0)
    module = classifiers.build(config)
    (folder / TIMM_CONFIG_FILE).write_text(json.dumps(config))
    save_tensors(module.state_dict(), folder / TIMM_WEIGHTS_FILE)
    return sum(parameter.numel() for parameter in module.parameters())


def vit_b_32(folder: Path) -> int:
    """open_clip's ViT-B-32 with its text tower."""
    torch.manual_seed(0)
    module = open_clip.create_model("ViT-B-32")
    config = {"model_cfg": open_clip.get_model_config("ViT-B-32"), "preprocess_cfg": {}}
    (folder / CONFIG_FILE).write_text(json.dumps(config))
    save_tensors(module.state_dict(), folder / WEIGHTS_FILE)
    return sum(parameter.numel() for parameter in module.parameters())


def run(folder: Path, family: str, model: Path) -> tuple[float, int, int]:
    """Seconds, bytes resident at the peak, and pages that the machine swapped out."""
    archive = str(folder / "images.zip")
    spec: dict[str, Any] = {
        "base_model": {"family": family, "weights": str(model)},
        "forget": {"uri": archive, "select": {"classes": [FORGET]}},
        "retain": {"uri": archive},
        "sweep": {"grid": {"learning_rate": [1e-5, 1e-4], "epochs": [2], "batch_size": [16]}},
        "scale_search": {"extend": False},  # what knows nothing cannot forget, and the search would go on to 4
        "compare": ["uniform"],
    }
    file = folder / f"{family}.json"
    file.write_text(json.dumps(spec))
    command = [str(Path(sys.executable).parent / "negmerge"), "run", str(file), "--out", str(folder / f"{family}-out")]
    before, started = _swapped_out(), time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{family}: the job ended with {os.waitstatus_to_exitcode(status)}")
    return time.perf_counter() - started, 1024 * usage.ru_maxrss, _swapped_out() - before


def _swapped_out() -> int:
    lines = dict(line.split() for line in Path("/proc/vmstat").read_text().splitlines())
    return int(lines["pswpout"])
