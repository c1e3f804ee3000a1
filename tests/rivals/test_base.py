"""Rivals on real timm models: published defaults, retraining against a loop written out, and transformers too.

What all rivals keep to is in ``test_contracts``, what each one computes in ``test_rivals``.
"""

from typing import Any

import pytest
import torch
from torch.nn import functional

from negmerge.decoding.dataset import Decoded
from negmerge.models.classifiers import Classifier, build
from negmerge.rivals import _base as rival
from negmerge.rivals._base import Settings, State, train_rival
from negmerge.spec.rivals import RivalOptions, rival_names
from tests.support import pico_timm

EVERY = pytest.mark.parametrize("name", rival_names())


def classifier(architecture: str, seed: int) -> Classifier:
    """Fresh weights from the seed."""
    config = pico_timm.CONFIGS[architecture]
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(seed)
        module = build(config)
    return Classifier(module, config, module.state_dict(), "cpu")


def images(count: int, seed: int) -> Decoded:
    generator = torch.Generator().manual_seed(seed)
    pixels = torch.randint(0, 256, (count, 3, 16, 16), dtype=torch.uint8, generator=generator)
    labels = torch.randint(0, len(pico_timm.CLASSES), (count,), generator=generator)
    return Decoded(pixels, labels, tuple(str(number) for number in range(count)))


FORGET, RETAIN = images(5, seed=1), images(9, seed=2)


def run(name: str, model: Classifier, seed: int = 3, **options: Any) -> State:
    return train_rival(name, RivalOptions(**options), model, torch.zeros(0), FORGET, RETAIN, seed)


@EVERY
def test_a_rivals_file_names_its_paper(name: str) -> None:
    assert "arXiv" in (rival.find(name).__doc__ or "")


def test_the_defaults_are_those_of_the_public_code() -> None:
    """0.01 and 10 epochs; SalUn itself 0.013 and half of the weights, FGSM 0.1, retraining 0.1 and 182 epochs."""
    defaults = {name: rival.find(name).DEFAULTS for name in rival_names()}
    same = Settings(learning_rate=0.01, epochs=10, batch_size=256, weight_decay=5e-4, momentum=0.9, crop_flip=True)
    assert defaults["fine_tune"] == defaults["gradient_ascent"] == defaults["random_label"] == same
    assert (defaults["salun"].learning_rate, defaults["salun"].epochs, defaults["salun"].strength) == (0.013, 10, 0.5)
    assert (defaults["retrain"].learning_rate, defaults["retrain"].epochs) == (0.1, 182)
    assert defaults["boundary_shrink"].strength == 0.1


def by_hand(fresh: Classifier, rates: list[float]) -> State:
    """Retraining in a plain loop: SGD from fresh weights on the whole retain set at once, a step an epoch."""
    module = fresh.module.train()
    weights = fresh.parameters()
    speeds = [torch.zeros_like(weight) for weight in weights]
    for rate in rates:
        loss = functional.cross_entropy(module(fresh.pixels(RETAIN.images)), RETAIN.labels)
        for weight, speed, slope in zip(weights, speeds, torch.autograd.grad(loss, weights), strict=True):
            with torch.no_grad():
                speed.mul_(0.9).add_(slope + 5e-4 * weight)
                weight.sub_(rate * speed)
    return {name: tensor.detach().clone() for name, tensor in module.state_dict().items()}


@pytest.mark.slow
def test_retraining_is_a_plain_loop_from_the_fresh_weights_of_its_seed() -> None:
    """The statistics of BatchNorm too; the original model is of another seed."""
    fresh = classifier("resnet18-cifar", seed=3)
    expected = by_hand(fresh, rates=[0.1, 0.1, 0.01, 0.001])
    found = run("retrain", classifier("resnet18-cifar", seed=0), seed=3, epochs=4, batch_size=9, crop_flip=False)
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        assert torch.allclose(found[name].double(), value.double(), rtol=0, atol=1e-4), name
        assert not torch.equal(value, fresh.original[name]), name


@pytest.mark.slow
@EVERY
@pytest.mark.parametrize("architecture", ["vit", "swin"])
def test_every_rival_takes_a_transformer(architecture: str, name: str) -> None:
    model = classifier(architecture, seed=0)
    short = {
        option: value for option, value in {"epochs": 1, "batch_size": 4}.items() if option in rival.find(name).READS
    }
    state = run(name, model, **short)
    assert [torch.equal(state[key], model.original[key]) for key in model.names[-2:]] == [False, False]
