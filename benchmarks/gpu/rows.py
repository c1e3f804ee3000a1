"""The rows in order, each with its seconds: together less than eight minutes."""

from pathlib import Path

import torch

from benchmarks.gpu import ceilings, models, others, training
from benchmarks.gpu.table import Bench, Row
from benchmarks.gpu.tests_row import gpu_tests
from tooling.machine import machine

_DRIVER = Path("/proc/driver/nvidia/version")

ROWS = [
    Row("tests marked gpu", 90, gpu_tests, "all pass"),
    Row("copying memory", 10, ceilings.copy),
    Row("products of matrices", 15, ceilings.matmul),
    Row("folding a point, ViT-B/32", 25, others.fold, "≥ 60 % of copying, on the device"),
    Row("RandAugment, batched", 20, others.augment),
    Row("fine-tuning ResNet-18, 32 pixels", 45, training.speed(models.resnet_18, 128, 64), "≥ 25,000 images/s; ≥ 5 ×"),
    Row("the same, batches of 512", 45, training.speed(models.resnet_18, 512, 16)),
    Row("fine-tuning CLIP ViT-B/32", 60, training.speed(training.b_32, 128, 8), "≥ 40 % of matmul; ≥ 5 ×"),
    Row("fine-tuning CLIP ViT-L/14", 90, training.speed(training.l_14, 128, 2), "≥ 50 % of matmul; ≥ 5 ×"),
    Row("search for λ, ViT-B/32", 30, others.search),
    Row("same digest twice", 30, training.twice, "the same"),
]


def device_of(name: str) -> torch.device:
    """The one device that is measured."""
    return torch.device(name, 0) if name == "cuda" else torch.device(name)


def where(bench: Bench) -> str:
    """Device, driver and versions, in one line."""
    told = machine()
    if bench.device.type == "cuda":
        driver = _DRIVER.read_text().splitlines()[0] if _DRIVER.exists() else "driver unknown"
        cudnn = torch.backends.cudnn.version()  # type: ignore[no-untyped-call]
        told += f"; CUDA {torch.version.cuda}, cuDNN {cudnn}, {driver}"
    return f"{told}{'; TINY: no figure of this table means anything' if bench.tiny else ''}"
