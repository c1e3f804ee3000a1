"""In which precision a training computes: as it is asked for, or, by itself, as the hardware does it fastest.

With bfloat16 the network's products are taken from rounded copies of its weights (torch's autocast); the weights
themselves, the zero-shot head, the loss and the optimiser stay float32, and so does everything that is measured. Why,
and what is not trained so: docs/decisions/precision.md.
"""

from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from negmerge.spec.precision import FLOAT32, AskedPrecision, Bfloat16By, Precision, Trained

if TYPE_CHECKING:  # a worker asks for its hardware before it loads what models need
    from negmerge.models.network import Network

_CPU_INFO = Path("/proc/cpuinfo")


def training_precision(asked: AskedPrecision, model: "Network", preferred: AskedPrecision = "auto") -> Trained:
    """How to train the model's points on its device.

    asked: the spec's. preferred: what this machine's operator means by ``auto``. What is ``auto`` still is bfloat16
    where the hardware computes in it, else float32: by what it is, never by how fast it seems.
    """
    if model.is_expansion:  # which computes in float32; a spec that asks for more is refused
        return FLOAT32
    by = bfloat16_by(model.device)
    chosen = preferred if asked == "auto" else asked
    if chosen == "float32" or (chosen == "auto" and by == "emulated"):
        return FLOAT32
    return Trained("bfloat16", by)


def bfloat16_by(device: torch.device | str) -> Bfloat16By:
    """What computes bf16 there: a processor's matrix unit, or its vectors; CUDA from Ampere on; or nothing does."""
    device = torch.device(device)
    if device.type == "cuda":
        with torch.cuda.device(device):
            return "cuda" if torch.cuda.is_bf16_supported(including_emulation=False) else "emulated"
    can = _cpu_flags()
    return "amx" if "amx_bf16" in can else "avx512" if "avx512_bf16" in can else "emulated"


def autocast(device: torch.device, precision: Precision) -> AbstractContextManager[None]:
    """In here a network's forward pass computes in this precision."""
    return torch.autocast(device.type, torch.bfloat16, enabled=precision == "bfloat16")


def _cpu_flags() -> set[str]:
    """What the processor can, by the kernel's names: as the kernel lets programs use it, which a CPUID alone is not.

    Empty where no such file is, off Linux. torch tells the same only from 2.14 on (``torch.cpu.get_capabilities``).
    """
    try:
        lines = _CPU_INFO.read_text().splitlines()
    except OSError:
        return set()
    return next((set(line.partition(":")[2].split()) for line in lines if line.startswith("flags")), set())
