"""The small experiments: their specs, and what has to be made and uploaded for them."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from experiments import cifar10, clip_domain
from experiments.data import CIFAR10
from negmerge.decoding.dataset import Dataset, open_archive
from negmerge.formats import open_clip_config
from negmerge.formats.timm_config import CONFIG_FILE, WEIGHTS_FILE
from negmerge.progress import OnStep
from tooling import digits

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
    """What an experiment works on.

    uploads: the path that its spec names → what is uploaded in its place. datasets: the same data, forget and retain,
    opened here. note: how good the base model is.
    """

    uploads: dict[str, Upload]
    datasets: tuple[Dataset, Dataset]
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
    dataset = open_archive(base.archive)
    return Material(uploads, (dataset, dataset), f"base model: {100 * base.accuracy:.1f} % on test")


def _clip_domain(data: Path, on_step: OnStep) -> Material:
    base = clip_domain.make_base(HERE / "clip-domain", data / CIFAR10, on_step)
    words = {"class_names": json.dumps(digits.CLASS_NAMES), "templates": json.dumps(digits.TEMPLATES)}
    uploads = {
        str(base.model): model_upload(base.model, open_clip_config.CONFIG_FILE, open_clip_config.WEIGHTS_FILE),
        str(base.cifar10): Upload("datasets", base.cifar10, {"templates": json.dumps(clip_domain.TEMPLATES)}),
        str(base.digits): Upload("datasets", base.digits, words),
    }
    note = f"base model: {100 * base.digits_accuracy:.1f} % of digits, {100 * base.accuracy:.1f} % of CIFAR-10 on test"
    retain, forget = clip_domain.open_both(base.cifar10, base.digits)
    return Material(uploads, (forget, retain), note)


EXPERIMENTS = {
    experiment.name: experiment
    for experiment in (
        Experiment("cifar10-small-random", _cifar10),
        Experiment("cifar10-small-class", _cifar10),
        Experiment("clip-domain-small", _clip_domain),
    )
}
"""All that ``make experiments`` runs, by name."""
