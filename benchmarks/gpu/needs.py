"""What ``make gpu`` needs of a machine, told by name where it is missing. Nothing of ours is loaded before."""

import sys
from importlib.util import find_spec

PACKAGES = {
    "torch": "torch",
    "torchvision": "torchvision",
    "numpy": "numpy",
    "safetensors": "safetensors",
    "PIL": "pillow",
    "pydantic": "pydantic",
    "open_clip": "open_clip_torch",
    "timm": "timm",
    "yaml": "pyyaml",
    "pytest": "pytest",
    "pytest_timeout": "pytest-timeout",
    "hypothesis": "hypothesis",
}
"""Module → the package that has it."""

OLDEST_TORCH = (2, 11)


def missing(device: str) -> list[str]:
    """What keeps the table from being made: packages, a torch that is too old, a device that is not there."""
    if sys.version_info[:2] not in ((3, 11), (3, 12)):
        return [f"Python 3.11 or 3.12 (this is {sys.version_info.major}.{sys.version_info.minor})"]
    packages = [f"the package {package}" for module, package in PACKAGES.items() if find_spec(module) is None]
    return packages or _of_torch(device)


def _of_torch(device: str) -> list[str]:
    import torch

    found = tuple(int(part) for part in torch.__version__.split("+")[0].split(".")[:2])
    if found < OLDEST_TORCH:
        return [f"torch {'.'.join(map(str, OLDEST_TORCH))} or newer (this is {torch.__version__})"]
    if device == "cuda" and not torch.cuda.is_available():
        return ["a CUDA device (torch sees none)"]
    return []
