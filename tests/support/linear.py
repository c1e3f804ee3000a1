"""Softmax regression twice: as a Network that rivals can train, and in float64 by its formulas, to check them against.

An image is one pixel, so that a sample is three numbers: x = (pixel / 255 − 0.5) / 0.25. A vector θ holds the weights
[C, 3] row by row and then the biases [C], in the order of the network's parameters.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from negmerge.decoding.dataset import Decoded
from negmerge.decoding.preprocess import Preprocess
from negmerge.models.network import Network, Outputs
from negmerge.progress import OnStep, ignore
from negmerge.rivals._base import State, find, train_rival
from negmerge.spec.rivals import RivalOptions

Vector = np.ndarray[Any, np.dtype[np.float64]]
MEAN, STD = 0.5, 0.25


class Linear(Network):
    """One linear layer on one pixel. ``trained_on``, ``looked_at``: the images it has seen in either mode, in order."""

    family = "linear"
    is_classifier = True
    config_file = "config.json"
    weights_file = "model.safetensors"

    def __init__(self, theta: Vector) -> None:
        classes = len(theta) // 4
        module = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3, classes))
        values = torch.from_numpy(theta).to(torch.float32)
        state = {"1.weight": values[: 3 * classes].view(classes, 3), "1.bias": values[3 * classes :]}
        module.load_state_dict(state)
        super().__init__(module, {}, state, Preprocess(1, (MEAN,) * 3, (STD,) * 3, ()), "cpu")
        self.trained_on: list[tuple[int, ...]] = []
        self.looked_at: list[tuple[int, ...]] = []

    def moves(self, name: str) -> bool:
        return True

    @property
    def tuned(self) -> torch.nn.Module:
        module: torch.nn.Module = self.module
        return module

    def outputs(self, classes: Sequence[str], class_words: Sequence[str], templates: Sequence[str]) -> Outputs:
        return Outputs(tuple(classes), torch.zeros(0), torch.arange(len(classes)))

    def logits(self, images: Tensor, head: Tensor) -> Tensor:
        seen = self.trained_on if self.module.training else self.looked_at
        seen += [tuple(row) for row in images.flatten(1).tolist()]
        return self.features(images)

    def features(self, images: Tensor) -> Tensor:
        scores: Tensor = self.module(self.pixels(images))
        return scores


def samples(pixels: Sequence[Sequence[int]], labels: Sequence[int]) -> Decoded:
    """Images of one pixel each, uint8 [N, 3, 1, 1]."""
    images = torch.tensor(pixels, dtype=torch.uint8).view(-1, 3, 1, 1)
    return Decoded(images, torch.tensor(labels), tuple(str(number) for number in range(len(labels))))


def random_samples(count: int, classes: int, seed: int) -> Decoded:
    """So many random pixels with random labels."""
    random = np.random.default_rng(seed)
    return samples(random.integers(0, 256, (count, 3)).tolist(), random.integers(0, classes, count).tolist())


def random_theta(classes: int, seed: int) -> Vector:
    """float32 numbers, as the network stores them, as float64; none is near zero."""
    random = np.random.default_rng(seed)
    values = random.choice([-1, 1], 4 * classes) * random.uniform(0.2, 1.0, 4 * classes)
    return np.asarray(values.astype(np.float32), dtype=np.float64)


def unlearn(
    name: str,
    theta: Vector,
    forget: Decoded,
    retain: Decoded,
    on_step: OnStep = ignore,
    model: Linear | None = None,
    **options: Any,
) -> Vector:
    """What a rival makes of θ; without crops and flips, momentum and decay unless they are given."""
    plain: dict[str, Any] = {"crop_flip": False, "momentum": 0.0, "weight_decay": 0.0, "batch_size": 1000}
    plain = {option: value for option, value in plain.items() if option in find(name).READS}
    network = Linear(theta) if model is None else model
    state = train_rival(name, RivalOptions(**(plain | options)), network, torch.zeros(0), forget, retain, 5, on_step)
    return flat(state)


def flat(state: State) -> Vector:
    return np.asarray(torch.cat([tensor.flatten() for tensor in state.values()]).double().numpy())


def inputs(of: Decoded) -> Vector:
    """float64 [N, 3]."""
    return np.asarray((of.images.flatten(1).double().numpy() / 255 - MEAN) / STD)


def probabilities(theta: Vector, x: Vector) -> Vector:
    """softmax(W x + b), [N, C]."""
    classes = len(theta) // 4
    scores = x @ theta[: 3 * classes].reshape(classes, 3).T + theta[3 * classes :]
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def gradients(theta: Vector, of: Decoded) -> Vector:
    """∇θ of −log p(y | x) for each sample, [N, θ]: (p − onehot(y)) xᵀ, and p − onehot(y) for the biases."""
    x = inputs(of)
    errors = probabilities(theta, x)
    errors[np.arange(len(x)), of.labels.numpy()] -= 1
    return np.concatenate([(errors[:, :, None] * x[:, None, :]).reshape(len(x), -1), errors], axis=1)


def descend(
    theta: Vector, steps: Sequence[Callable[[Vector], Vector]], rate: float, momentum: float = 0.0, decay: float = 0.0
) -> Vector:
    """SGD: v ← μ v + g + δ θ, then θ ← θ − η v; a step is the function θ → g."""
    velocity = np.zeros_like(theta)
    for gradient in steps:
        velocity = momentum * velocity + gradient(theta) + decay * theta
        theta = theta - rate * velocity
    return theta
