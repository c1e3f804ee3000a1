"""The demo's data, base model and sweep: scikit-learn's handwritten digits, and a small CLIP that has learned them.

The model is trained here once, on the train part of the very cut that the service makes of the archive, and kept
beside it; validation and test samples are never trained on.
"""

import io
import zipfile
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import torch
from PIL import Image
from sklearn.datasets import load_digits
from torch import Tensor
from torch.nn import functional

from negmerge.checkpoints.files import atomic_path
from negmerge.data.selection import cut
from negmerge.decoding.dataset import Dataset, decode, open_archive
from negmerge.evaluation.metrics import evaluate
from negmerge.formats.open_clip_config import CONFIG_FILE, WEIGHTS_FILE
from negmerge.models.loading import load_zero_shot
from negmerge.models.zero_shot import ZeroShotModel
from negmerge.progress import OnStep, ignore
from negmerge.training.batching import batches
from negmerge.training.crop_flip import crop_and_flip
from negmerge.training.fine_tune import learning_rate
from tooling.made import Made

CLASS_NAMES = {word: word for word in ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")}
TEMPLATES = ["a photo of the digit {}."]
SIZE = 32
CONFIG: dict[str, Any] = {
    "model_cfg": {
        "embed_dim": 64,
        "vision_cfg": {"image_size": SIZE, "patch_size": 8, "width": 96, "head_width": 32, "layers": 3},
        "text_cfg": {"context_length": 16, "vocab_size": 49408, "width": 64, "heads": 2, "layers": 2},
    },
    "preprocess_cfg": {
        "mean": [0.5, 0.5, 0.5],
        "std": [0.5, 0.5, 0.5],
        "interpolation": "bilinear",
        "resize_mode": "squash",
    },
}
LEARNING_RATE, WEIGHT_DECAY, WARMUP, EPOCHS, BATCH = 1e-3, 0.1, 50, 36, 100
SHIFT = 2
"""Pixels by which a training image moves at most, both ways."""
RECIPE = [CONFIG, LEARNING_RATE, WEIGHT_DECAY, WARMUP, EPOCHS, BATCH, SHIFT, CLASS_NAMES, TEMPLATES]

FORGET = "seven"
SWEEP = {
    "grid": {
        "learning_rate": [3e-5, 1e-4, 3e-4],
        "weight_decay": [0.0, 0.1],
        "epochs": [5, 15],
        "batch_size": [32],
    }
}
"""What the demo and the benchmark of a sweep do with them: twelve points."""


@dataclass(frozen=True)
class Digits:
    """An archive with a folder per digit, and a folder with a CLIP of ``accuracy`` on its test part."""

    archive: Path
    model: Path
    class_names: dict[str, str]
    templates: list[str]
    accuracy: float


def make_digits(folder: Path, on_step: OnStep = ignore) -> Digits:
    """Make both in ``folder``, or take what an earlier call left there if it is intact and of the same recipe."""
    archive, model = folder / "digits.zip", folder / "model"
    made = Made(folder / "made.json", RECIPE, [archive, model / CONFIG_FILE, model / WEIGHTS_FILE])
    known = made.accuracy()
    if known is None:
        folder.mkdir(parents=True, exist_ok=True)
        write_archive(archive)
        known = _train(open_archive(archive, None, CLASS_NAMES, TEMPLATES), model, on_step)
        made.note(known)
    return Digits(archive, model, CLASS_NAMES, TEMPLATES, known)


def write_archive(path: Path) -> None:
    """A zip of 32×32 grey PNGs, ``seven/0042.png``: 8×8 pixels of 0 … 16, brought to size bilinearly."""
    bunch = load_digits()
    words = list(CLASS_NAMES)
    with atomic_path(path) as temporary, zipfile.ZipFile(temporary, "w") as archive:
        for number, (pixels, label) in enumerate(zip(bunch.images, bunch.target, strict=True)):
            small = Image.fromarray(np.clip(pixels * 16, 0, 255).astype(np.uint8))
            buffer = io.BytesIO()
            small.resize((SIZE, SIZE), Image.Resampling.BILINEAR).save(buffer, "PNG")
            archive.writestr(zipfile.ZipInfo(f"{words[label]}/{number:04}.png"), buffer.getvalue())


def _train(dataset: Dataset, folder: Path, on_step: OnStep) -> float:
    """Train on the train part, write the model's folder, and return its accuracy on the test part."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        module = open_clip.CLIP(**CONFIG["model_cfg"])
        model = ZeroShotModel(module, CONFIG, module.state_dict(), "cpu")
        train = decode(dataset, cut(dataset.index).train, model.preprocess)
        # The table of 49,408 words stays as it came: ten of them matter, and its updates would take most of the time.
        module.requires_grad_(True).token_embedding.requires_grad_(False)
        _learn(model, prompts_of(dataset, module.context_length), train.images, train.labels, on_step)
    model.save(module.state_dict(), folder)
    return accuracy(dataset, folder)


def accuracy(dataset: Dataset, folder: Path) -> float:
    """What the model in ``folder`` scores on the data set's test part, in [0, 1]."""
    model = load_zero_shot(folder)
    test = decode(dataset, cut(dataset.index).test, model.preprocess)
    head = model.head(dataset.class_words, dataset.templates)
    return evaluate(model, test.images, test.labels, head, dataset.index.classes).total.accuracy


def prompts_of(dataset: Dataset, context_length: int) -> Tensor:
    """One sentence a class, as tokens: int64 [C, ``context_length``]."""
    texts = [dataset.templates[0].replace("{}", words) for words in dataset.class_words]
    prompts: Tensor = open_clip.tokenize(texts, context_length=context_length)
    return prompts


def _learn(model: ZeroShotModel, prompts: Tensor, images: Tensor, labels: Tensor, on_step: OnStep) -> None:
    """Cross entropy of each image against the text features of all classes, both towers moving."""
    module = model.module.train()
    trained = [parameter for parameter in module.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY, fused=True)
    steps = EPOCHS * ceil(len(labels) / BATCH)
    for step, chosen in enumerate(batches(len(labels), BATCH, EPOCHS, torch.Generator().manual_seed(0))):
        optimizer.param_groups[0]["lr"] = learning_rate(step, steps, WARMUP, LEARNING_RATE)
        head = module.logit_scale.exp() * module.encode_text(prompts, normalize=True)
        shifted = crop_and_flip(images[chosen], torch.default_generator, SHIFT, flip=False)
        loss = functional.cross_entropy(model.logits(shifted, head), labels[chosen])
        optimizer.zero_grad()
        torch.autograd.backward([loss])
        optimizer.step()
        on_step(step + 1, steps, float(loss.detach()))
    module.eval()
