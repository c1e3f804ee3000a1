"""Sweeps by name, as plain data: the published ones for CLIP, and one of our own for classifiers. No torch.

Published (released CLIP code of NegMerge, ICML 2025, and its sections on CLIP): AdamW, learning rate 1e-5, weight decay
0.1, batch 128, 500 steps of warm-up, cosine schedule, gradient norm clipped at 1. Each value here is a grid of
``negmerge.spec.sweep.Grid``.
"""

from typing import Any

Preset = dict[str, list[Any]]

_FINETUNE_EPOCHS = {
    "cars": 35,
    "dtd": 76,
    "eurosat": 12,
    "gtsrb": 11,
    "mnist": 5,
    "resisc45": 15,
    "sun397": 14,
    "svhn": 4,
}
"""Epochs of the published fine-tuning, by data set."""

_POOL_EPOCHS = {
    "cars": 70,
    "dtd": 100,
    "eurosat": 40,
    "gtsrb": 40,
    "mnist": 30,
    "resisc45": 40,
    "sun397": 40,
    "svhn": 30,
}
"""Epochs of the published pools, by data set."""


def _clip(epochs: int) -> Preset:
    return {
        "learning_rate": [1e-5],
        "weight_decay": [0.1],
        "batch_size": [128],
        "warmup_steps": [500],
        "epochs": [epochs],
    }


def _clip_pool(epochs: int) -> Preset:
    """The paper's CLIP pool of 30: RandAugment magnitude 1…10 × operations 1…3, all else as published."""
    strengths = [{"magnitude": m, "operations": n} for m in range(1, 11) for n in range(1, 4)]
    return {**_clip(epochs), "randaugment": strengths}


def _classifier_27() -> Preset:
    """Epochs × weight decay × label smoothing with SGD, for a classifier of CIFAR-10's kind.

    Ours, not the paper's: that the pool varies these three is said in the paper's reviews, the values and the learning
    rate are known second-hand only, and batch, crops and flips are those of SalUn's public code, which it builds on.
    """
    return {
        "learning_rate": [0.05],
        "optimizer": ["sgd"],
        "batch_size": [256],
        "crop_flip": [True],
        "epochs": [40, 50, 60],
        "weight_decay": [1e-4, 5e-5, 1e-5],
        "label_smoothing": [0.0, 0.05, 0.1],
    }


PRESETS: dict[str, Preset] = {
    **{f"clip-{name}": _clip_pool(epochs) for name, epochs in _POOL_EPOCHS.items()},
    **{f"clip-finetune-{name}": _clip(epochs) for name, epochs in _FINETUNE_EPOCHS.items()},
    "classifier-27": _classifier_27(),
}
"""``clip-cars``, …: the published pools of 30. ``clip-finetune-cars``, …: the published fine-tuning, one point without
augmentation, which is plain task arithmetic. ``classifier-27``: our own."""


def is_for_classifier(name: str) -> bool:
    """Whether a preset was made for a classifier; the others were for a CLIP."""
    return not name.startswith("clip-")


def by_kind() -> dict[str, list[str]]:
    """The presets' names by what they are for, in words."""
    kinds: dict[str, list[str]] = {}
    for name, preset in PRESETS.items():
        if is_for_classifier(name):
            kind = "For a classifier, our own"
        elif "randaugment" in preset:
            kind = "For a CLIP, the published pool of the data set"
        else:
            kind = "For a CLIP, the published fine-tuning of the data set: one point"
        kinds.setdefault(kind, []).append(name)
    return kinds
