"""The linearised mode: the expansion's features against derivatives taken one by one, and a whole job in it."""

import copy
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from negmerge.evaluation.figures import recorded
from negmerge.models.linearised import LinearisedModel
from negmerge.models.loading import load_model, load_zero_shot
from negmerge.models.zero_shot import ZeroShotModel
from negmerge.pipeline import local
from negmerge.pipeline.prepare import prepare
from negmerge.spec.job import parse
from negmerge.spec.sweep import HyperParameters
from negmerge.training.fine_tune import fine_tune
from tests.support import local_job, pico

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> ZeroShotModel:
    return load_zero_shot(pico.make_model(tmp_path_factory.mktemp("pico") / "model"))


@pytest.fixture
def model(plain: ZeroShotModel) -> LinearisedModel:
    fresh = load_zero_shot_again(plain)
    return LinearisedModel(fresh.module, fresh.config, fresh.original, "cpu")


def load_zero_shot_again(plain: ZeroShotModel) -> ZeroShotModel:
    return ZeroShotModel(copy.deepcopy(plain.module), plain.config, plain.original, "cpu")


def head_of(model: ZeroShotModel) -> Tensor:
    return model.head(list(pico.CLASS_WORDS.values()), pico.TEMPLATES)


def moved(model: ZeroShotModel, size: float) -> dict[str, Tensor]:
    """θ₀ with a random step on every tensor."""
    generator = torch.Generator().manual_seed(1)
    return {name: theta + size * torch.randn(theta.shape, generator=generator) for name, theta in model.base.items()}


def test_at_its_own_weights_it_is_the_model_itself(plain: ZeroShotModel, model: LinearisedModel) -> None:
    images, _ = pico.image_tensor(2)
    head = head_of(plain)
    torch.testing.assert_close(model.logits(images, head), plain.logits(images, head), rtol=1e-5, atol=1e-5)


def test_features_are_those_at_theta_0_plus_each_ones_gradient_times_the_step(
    plain: ZeroShotModel, model: LinearisedModel
) -> None:
    """Every feature's gradient is taken by itself, by the plain model's backward pass."""
    images, _ = pico.image_tensor(1)
    theta = moved(model, 1e-2)
    plain.restore()
    features = plain.module.encode_image(plain.pixels(images[:1]))[0].to(torch.float32)
    along = []
    for feature in features:
        gradients = torch.autograd.grad(feature, plain.parameters(), retain_graph=True)
        steps = (theta[name] - plain.base[name] for name in plain.names)
        along.append(sum(float((g * s).sum()) for g, s in zip(gradients, steps, strict=True)))
    expected = functional.normalize(features.detach() + torch.tensor(along), dim=-1) @ head_of(plain).T
    model.load_parameters(theta)
    torch.testing.assert_close(model.logits(images[:1], head_of(plain))[0], expected, rtol=1e-4, atol=1e-4)


def test_the_loss_has_the_plain_models_gradient_at_theta_0(plain: ZeroShotModel, model: LinearisedModel) -> None:
    images, labels = pico.image_tensor(2)
    plain.restore()

    def gradients(of: ZeroShotModel) -> list[Tensor]:
        loss = functional.cross_entropy(of.logits(images, head_of(plain)), labels)
        return list(torch.autograd.grad(loss, of.parameters()))

    for ours, theirs in zip(gradients(model), gradients(plain), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-6)


def test_fine_tuning_lowers_the_expansions_loss_and_puts_theta_0_back(model: LinearisedModel) -> None:
    images, labels = pico.image_tensor(4)
    hyper = HyperParameters(learning_rate=1e-3, epochs=6, batch_size=8, label_smoothing=0.1)
    tuned = fine_tune(model, images, labels, head_of(model), hyper, seed=0)
    first = fine_tune(model, images, labels, head_of(model), hyper.model_copy(update={"epochs": 1}), seed=0)
    assert tuned.loss < first.loss
    assert all(torch.equal(tensor, model.original[name]) for name, tensor in model.module.state_dict().items())


def test_a_whole_job_runs_in_this_mode_and_trains_other_points(tmp_path: Path) -> None:
    document = local_job.spec_document(tmp_path)
    sweep = {"points": [{"learning_rate": 1e-3, "epochs": 1, "batch_size": 16}]}
    plain = local_job.run(tmp_path / "plain", sweep=sweep)
    result = local_job.run(tmp_path / "linear", sweep=sweep, base_model=document["base_model"] | {"linearised": True})
    assert result["digests"]["base"] == plain["digests"]["base"]
    assert result["points"][0]["digest"] != plain["points"][0]["digest"]
    assert "linearised" in (tmp_path / "linear" / "out" / "MODEL_CARD.md").read_text()


def test_what_a_job_unlearned_is_measured_around_the_jobs_base_model(tmp_path: Path) -> None:
    """At a scale this large the expansion and the model itself disagree on most images."""
    sweep = {"points": [{"learning_rate": 3e-3, "epochs": 3, "batch_size": 16}]}
    base = local_job.spec_document(tmp_path)["base_model"] | {"linearised": True}
    result = local_job.run(tmp_path, sweep=sweep, base_model=base, scale_search={"rule": "fixed", "scale": 3.0})
    spec = parse(result["spec"])
    weights = tmp_path / "out" / "unlearned"
    sides = local.open_datasets(spec, pico.CLASS_WORDS, pico.TEMPLATES)
    found = prepare(spec, local.open_measured(weights, spec, "cpu"), *sides).base
    told = result["methods"]["negmerge"]
    assert recorded(found).as_json()["test"] == told["test"]
    assert recorded(prepare(spec, load_model(weights, "cpu"), *sides).base).as_json()["test"] != told["test"]
