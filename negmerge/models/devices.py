"""Which device to compute on, by its name."""

import torch

from negmerge.errors import ModelError


def device_of(name: str) -> str:
    """The device to compute on: ``auto`` is CUDA where there is one, else the CPU. Raises ModelError."""
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError:
        device = None
    if device is None or device.type not in ("cpu", "cuda"):
        raise ModelError(f"unknown device {name!r}: use auto, cpu, cuda or cuda:N")
    if device.type == "cuda" and (device.index or 0) >= (there := torch.cuda.device_count()):
        raise ModelError(f"there is no device {name} here, {there} CUDA devices in all: use auto or cpu")
    return name
