"""The parts of influence unlearning: the solver against elimination, the Fisher product against its explicit sum."""

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from torch.nn import functional

from negmerge.decoding.dataset import Decoded
from negmerge.models.classifiers import Classifier
from negmerge.models.network import Network
from negmerge.progress import ignore
from negmerge.rivals._base import Settings, Task
from negmerge.rivals.influence import MAX_ITERATIONS, TOLERANCE, fisher_product, solve
from tests.support import pico, pico_timm
from tests.support.linear import Linear, Vector, gradients, random_samples, random_theta

ENTRIES = st.floats(-4, 4, width=16)


def solved(matrix: Vector, right: Vector) -> Vector:
    found = solve(lambda x: torch.from_numpy(matrix) @ x, torch.from_numpy(right), ignore)
    return np.asarray(found.numpy())


def task(model: Network, retain: Decoded, batch_size: int = 1000) -> Task:
    """A task of which only the retain set matters."""
    return Task(
        model,
        torch.zeros(0),
        retain,
        retain,
        Settings(batch_size=batch_size),
        torch.Generator().manual_seed(0),
        ignore,
    )


@settings(max_examples=60, deadline=None)
@given(data=st.data(), size=st.integers(1, 8), rank=st.integers(1, 8))
def test_conjugate_gradients_solve_every_damped_gram_matrix(data: st.DataObject, size: int, rank: int) -> None:
    """I + A Aᵀ has no eigenvalue below 1, so that the error is at most the residual, TOLERANCE of the right side."""
    factor = data.draw(arrays.arrays(np.float64, (size, rank), elements=ENTRIES))
    right = data.draw(arrays.arrays(np.float64, size, elements=ENTRIES))
    matrix = np.eye(size) + factor @ factor.T
    error = solved(matrix, right) - np.linalg.solve(matrix, right)
    assert np.linalg.norm(error) <= 1.01 * TOLERANCE * np.linalg.norm(right)


def test_a_right_hand_side_of_zeros_is_solved_by_zeros() -> None:
    assert np.array_equal(solved(3 * np.eye(4), np.zeros(4)), np.zeros(4))


def test_a_multiple_of_the_identity_takes_one_iteration() -> None:
    told: list[tuple[int, int]] = []
    right = torch.tensor([3.0, -6.0])
    found = solve(lambda x: 3 * x, right, lambda step, total, loss: told.append((step, total)))
    assert torch.allclose(found, right / 3)
    assert told == [(1, MAX_ITERATIONS)]


@pytest.mark.parametrize("batch_size", [1, 4, 1000])
def test_the_fisher_product_is_the_mean_of_the_gradients_outer_products(batch_size: int) -> None:
    """F = Σ g gᵀ / N as a matrix, from softmax regression's own gradients, over five of eleven samples."""
    theta, retain = random_theta(classes=4, seed=0), random_samples(11, classes=4, seed=1)
    chosen = torch.tensor([7, 0, 3, 10, 4])
    fisher = sum(np.outer(g, g) for g in gradients(theta, retain)[chosen.numpy()]) / 5
    for vector in (*np.eye(len(theta)), random_theta(classes=4, seed=2)):
        given = torch.from_numpy(vector).to(torch.float32)
        found = fisher_product(task(Linear(theta), retain, batch_size), chosen, given)
        assert np.allclose(found.numpy(), fisher @ vector, rtol=0, atol=2e-5)


@pytest.mark.slow
@pytest.mark.parametrize("architecture", ["resnet18-cifar", "swin", "vit"])
def test_the_fisher_product_of_a_network_is_that_of_each_samples_own_gradient(architecture: str) -> None:
    """F v = Σ g (gᵀ v) / N, with each g from a backward pass of one image alone."""
    config: dict[str, Any] = pico_timm.CONFIGS[architecture]
    module = pico_timm.module(config)
    model = Classifier(module, config, module.state_dict(), "cpu")
    images, labels = pico.image_tensor(per_class=1)
    vector = torch.randn(sum(p.numel() for p in model.parameters()), generator=torch.Generator().manual_seed(1))
    expected = torch.zeros(len(vector), dtype=torch.float64)
    for image, label in zip(images, labels, strict=True):
        loss = functional.cross_entropy(module((image[None] / 255 - 0.5) / 0.5), label[None])
        own = torch.cat([part.reshape(-1) for part in torch.autograd.grad(loss, model.parameters())]).double()
        expected += own * (own @ vector.double()) / len(labels)
    found = fisher_product(task(model, Decoded(images, labels, ()), batch_size=2), torch.arange(5), vector)
    assert float((found - expected).norm() / expected.norm()) < 1e-4
