"""The data and the base model of ``cifar10-small``: a ResNet that has learnt a stated subset of the real CIFAR-10.

Of each class 1,000 training and 250 test images (``subset``). The training images' validation part, a tenth of them
(``selection.cut``), is never trained on. The base model is trained as the rival ``retrain`` trains its reference, so
that the two differ in nothing but their data.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from experiments.subset import write_subset
from negmerge.data.selection import cut
from negmerge.decoding.dataset import Dataset, decode, open_archive
from negmerge.evaluation.metrics import evaluate
from negmerge.formats.timm_config import CONFIG_FILE, WEIGHTS_FILE
from negmerge.models import classifiers
from negmerge.models.classifiers import Classifier
from negmerge.progress import OnStep, ignore
from negmerge.rivals._base import train_rival
from negmerge.spec.rivals import RivalOptions
from tooling.made import Made

CLASSES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
PER_CLASS = {"train": 1000, "test": 250}
CONFIG: dict[str, Any] = {
    "architecture": "resnet18",
    "num_classes": 10,
    "label_names": CLASSES,
    "model_args": {"layers": [1, 1, 1, 1], "channels": [32, 64, 128, 256]},
    "pretrained_cfg": {
        "input_size": [3, 32, 32],
        "crop_pct": 1.0,
        "interpolation": "bilinear",
        "mean": [0.4914, 0.4822, 0.4465],
        "std": [0.2470, 0.2435, 0.2616],
    },
}
TRAINING = RivalOptions(learning_rate=0.1, epochs=40, batch_size=128)
SEED = 0
RECIPE = [CONFIG, PER_CLASS, TRAINING.model_dump(), SEED]


@dataclass(frozen=True)
class Base:
    """An archive, and a folder with a model of ``accuracy`` on its test part."""

    archive: Path
    model: Path
    accuracy: float


def make_base(folder: Path, source: Path, on_step: OnStep = ignore) -> Base:
    """Make both in ``folder``, or take what an earlier call left there. source: CIFAR-10 as one zip."""
    archive, model = folder / "cifar10.zip", folder / "model"
    made = Made(folder / "made.json", RECIPE, [archive, model / CONFIG_FILE, model / WEIGHTS_FILE])
    accuracy = made.accuracy()
    if accuracy is None:
        folder.mkdir(parents=True, exist_ok=True)
        write_subset(source, archive, PER_CLASS)
        accuracy = _train(open_archive(archive), model, on_step)
        made.note(accuracy)
    return Base(archive, model, accuracy)


def _train(dataset: Dataset, folder: Path, on_step: OnStep) -> float:
    """Train on the train part, write the model's folder, and return its accuracy on the test part."""
    module = classifiers.build(CONFIG)
    model = Classifier(module, CONFIG, module.state_dict(), "cpu")
    parts = cut(dataset.index)
    train, test = (decode(dataset, samples, model.preprocess) for samples in (parts.train, parts.test))
    nothing = torch.zeros(0)
    state = train_rival("retrain", TRAINING, model, nothing, train, train, SEED, on_step)
    model.save(state, folder)
    model.load_state(state)
    return evaluate(model, test.images, test.labels, nothing, CLASSES).total.accuracy
