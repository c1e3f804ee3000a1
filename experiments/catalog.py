"""The small experiments: their specs, and what has to be made and uploaded for them."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from experiments import cifar10
from experiments.data import CIFAR10
from negmerge.progress import OnStep
from negmerge.timm_config import CONFIG_FILE, WEIGHTS_FILE

SPECS = Path(__file__).parent
HERE = Path("var/experiments")


@dataclass(frozen=True)
class Upload:
    """A file for POST /v1/datasets or /v1/models, with its form fields."""

    kind: str
    file: Path
    fields: dict[str, str]


@dataclass(frozen=True)
class Material:
    """What an experiment works on: the path that its spec names → what is uploaded in its place."""

    uploads: dict[str, Upload]
    note: str


@dataclass(frozen=True)
class Experiment:
    """A job spec beside this file, and how its material is made. data: the folder with CIFAR-10."""

    name: str
    make: Callable[[Path, OnStep], Material]

    def spec(self) -> dict[str, Any]:
        """The job spec as it lies here; its paths are of this folder."""
        document: dict[str, Any] = json.loads((SPECS / f"{self.name}.json").read_text())
        return document


def model_upload(folder: Path, config: str, weights: str) -> Upload:
    """A model's folder as one safetensors file and its config."""
    return Upload("models", folder / weights, {"config": (folder / config).read_text()})


def _cifar10(data: Path, on_step: OnStep) -> Material:
    base = cifar10.make_base(HERE / "cifar10", data / CIFAR10, on_step)
    uploads = {
        str(base.model): model_upload(base.model, CONFIG_FILE, WEIGHTS_FILE),
        str(base.archive): Upload("datasets", base.archive, {}),
    }
    return Material(uploads, f"base model: {100 * base.accuracy:.1f} % on test")


EXPERIMENTS = {
    experiment.name: experiment
    for experiment in (Experiment("cifar10-small-random", _cifar10), Experiment("cifar10-small-class", _cifar10))
}
