"""The data and the base model of ``clip-domain-small``: one small CLIP that knows two domains, CIFAR-10 and digits.

As the paper forgets Cars beside ImageNet, the digits are forgotten as a whole beside CIFAR-10, each with a head of its
own. CIFAR-10 is the stated subset of ``cifar10``; the digits are scikit-learn's, as in the demo. The model is trained
here on the train parts of both, each image against its own domain's prompts; the table of words stays as it came. It
sees few digits, so that it knows them about as well as CLIP knows Cars (60 %): what is known perfectly is not forgotten
at a price that a small model can pay.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import open_clip
import torch
from torch import Tensor
from torch.nn import functional

from experiments.cifar10 import CLASSES, PER_CLASS
from experiments.subset import write_subset
from negmerge.data.selection import cut
from negmerge.decoding.dataset import Dataset, Decoded, decode, open_archive
from negmerge.formats.open_clip_config import CONFIG_FILE, WEIGHTS_FILE
from negmerge.models.zero_shot import ZeroShotModel
from negmerge.progress import OnStep, ignore
from negmerge.training.batching import batches
from negmerge.training.crop_flip import crop_and_flip
from negmerge.training.fine_tune import learning_rate
from tooling import digits
from tooling.made import Made

CONFIG: dict[str, Any] = {
    "model_cfg": {
        "embed_dim": 64,
        "vision_cfg": {"image_size": 32, "patch_size": 8, "width": 128, "head_width": 32, "layers": 4},
        "text_cfg": {"context_length": 16, "vocab_size": 49408, "width": 64, "heads": 2, "layers": 2},
    },
    "preprocess_cfg": {
        "mean": [0.5, 0.5, 0.5],
        "std": [0.25, 0.25, 0.25],
        "interpolation": "bilinear",
        "resize_mode": "squash",
    },
}
WORDS = {name: name for name in CLASSES}
TEMPLATES = ["a photo of a {}."]
EPOCHS, BATCH, DIGITS_BATCH, RATE, WARMUP, DECAY = 12, 128, 3, 1e-3, 100, 0.1
RECIPE = [digits.RECIPE, CONFIG, PER_CLASS, WORDS, TEMPLATES, EPOCHS, BATCH, DIGITS_BATCH, RATE, WARMUP, DECAY]


@dataclass(frozen=True)
class Base:
    """Two archives, and a folder with a CLIP of these accuracies on their test parts."""

    cifar10: Path
    digits: Path
    model: Path
    accuracy: float
    digits_accuracy: float


def make_base(folder: Path, source: Path, on_step: OnStep = ignore) -> Base:
    """Make all of it in ``folder``, or take what an earlier call left there. source: CIFAR-10 as one zip."""
    archives, model = (folder / "cifar10.zip", folder / "digits.zip"), folder / "model"
    files = [*archives, model / CONFIG_FILE, model / WEIGHTS_FILE]
    made = Made(folder / "made.json", RECIPE, files)
    if made.accuracy() is None:
        folder.mkdir(parents=True, exist_ok=True)
        write_subset(source, archives[0], PER_CLASS)
        digits.write_archive(archives[1])
        _train(open_both(*archives), model, on_step)
    accuracies = [digits.accuracy(dataset, model) for dataset in open_both(*archives)]
    made.note(accuracies[0])
    return Base(*archives, model, *accuracies)


def open_both(cifar10: Path, of_digits: Path) -> tuple[Dataset, Dataset]:
    """Both archives with their words and prompts."""
    return (
        open_archive(cifar10, None, WORDS, TEMPLATES),
        open_archive(of_digits, None, digits.CLASS_NAMES, digits.TEMPLATES),
    )


def _train(datasets: tuple[Dataset, Dataset], folder: Path, on_step: OnStep) -> None:
    """Train both towers but the word table, and write the model's folder."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        module = open_clip.CLIP(**CONFIG["model_cfg"])
        model = ZeroShotModel(module, CONFIG, module.state_dict(), "cpu")
        module.requires_grad_(True).token_embedding.requires_grad_(False)
        parts = [decode(dataset, cut(dataset.index).train, model.preprocess) for dataset in datasets]
        _learn(model, [digits.prompts_of(dataset, module.context_length) for dataset in datasets], parts, on_step)
    model.save(module.state_dict(), folder)


def _learn(model: ZeroShotModel, prompts: list[Tensor], parts: list[Decoded], on_step: OnStep) -> None:
    """Each step takes a batch of CIFAR-10 and a few digits, which are shifted but never mirrored."""
    module = model.module.train()
    trained = [parameter for parameter in module.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=RATE, weight_decay=DECAY, fused=True)
    generator = torch.Generator().manual_seed(0)
    cifar10, of_digits = parts
    order = list(batches(len(cifar10.images), BATCH, EPOCHS, generator))
    for step, chosen in enumerate(order):
        others = torch.randint(len(of_digits.images), (DIGITS_BATCH,), generator=generator)
        shifted = crop_and_flip(of_digits.images[others], generator, digits.SHIFT, flip=False)
        pairs = (
            (crop_and_flip(cifar10.images[chosen], generator), cifar10.labels[chosen], prompts[0]),
            (shifted, of_digits.labels[others], prompts[1]),
        )
        images = torch.cat([images for images, _, _ in pairs])
        features = functional.normalize(module.encode_image(model.pixels(images)), dim=-1)
        sizes = [len(labels) for _, labels, _ in pairs]
        loss = torch.zeros(())
        for own, (_, labels, texts) in zip(torch.split(features, sizes), pairs, strict=True):
            logits = module.logit_scale.exp() * own @ module.encode_text(texts, normalize=True).T
            loss = loss + functional.cross_entropy(logits, labels)
        optimizer.param_groups[0]["lr"] = learning_rate(step, len(order), WARMUP, RATE)
        optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward([loss])
        optimizer.step()
        on_step(step + 1, len(order), float(loss.detach()))
