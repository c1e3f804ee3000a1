"""Fine-tuning of timm classifiers, and what a batch of one image does to BatchNorm."""

from pathlib import Path
from typing import Any, Literal

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from negmerge.errors import DataError, ModelError
from negmerge.formats.timm_config import check_config
from negmerge.models.loading import load_model
from negmerge.models.network import Network
from negmerge.spec.sweep import HyperParameters
from negmerge.training.batching import batch_sizes
from negmerge.training.fine_tune import Tuned, fine_tune
from tests.support import pico, pico_timm
from tests.support.states import same

pytestmark = pytest.mark.slow

ARCHITECTURES = list(pico_timm.CONFIGS)
NO_HEAD = torch.zeros(0)


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Network]:
    """Each architecture with random weights."""
    top = tmp_path_factory.mktemp("models")
    return {name: load_model(pico_timm.write_folder(top / name, config)) for name, config in pico_timm.CONFIGS.items()}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pico_timm.make_model(tmp_path_factory.mktemp("trained") / "model")


@pytest.fixture(scope="module")
def trained_again(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, bool]:
    """The same made anew, and whether that left the global random state alone."""
    before = torch.get_rng_state()
    pico_timm._trained_state.cache_clear()
    again = pico_timm.make_model(tmp_path_factory.mktemp("again") / "model")
    return again, torch.equal(torch.get_rng_state(), before)


def tune(model: Network, count: int = 4, batch_size: int = 2, **changes: Any) -> Tuned:
    """Two epochs on random images of the model's own size."""
    size = model.preprocess.size
    generator = torch.Generator().manual_seed(1)
    images = torch.randint(0, 256, (count, 3, size, size), dtype=torch.uint8, generator=generator)
    hyper = HyperParameters(learning_rate=1e-2, epochs=2, batch_size=batch_size, **changes)
    return fine_tune(model, images, torch.arange(count) % 5, NO_HEAD, hyper, seed=3)


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_either_optimizer_moves_every_tensor_that_takes_part(
    models: dict[str, Network], name: str, optimizer: Literal["adamw", "sgd"]
) -> None:
    model = models[name]
    state = tune(model, optimizer=optimizer, crop_flip=True).state
    assert list(state) == list(model.names)
    assert [key for key in model.names if torch.equal(state[key], model.base[key])] == []


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_after_training_every_tensor_is_the_base_models_buffers_too(
    models: dict[str, Network], name: str, optimizer: Literal["adamw", "sgd"]
) -> None:
    model = models[name]
    tune(model, optimizer=optimizer, crop_flip=True)
    assert same(dict(model.module.state_dict()), dict(model.original))
    assert not model.module.training


def test_crops_and_flips_come_from_the_seed_and_change_what_is_learnt(models: dict[str, Network]) -> None:
    model = models["resnet18-cifar"]
    with_crops = tune(model, crop_flip=True).state
    assert same(with_crops, tune(model, crop_flip=True).state)
    assert not same(with_crops, tune(model).state)


@pytest.mark.parametrize("name", ["resnet18", "resnet18-cifar", "vgg16_bn"])
def test_one_image_alone_cannot_train_a_model_with_batch_norm(models: dict[str, Network], name: str) -> None:
    with pytest.raises(DataError, match="one image alone"):
        tune(models[name], count=1)


@pytest.mark.parametrize("name", ["swin", "vit"])
def test_one_image_alone_trains_a_model_without_batch_norm(models: dict[str, Network], name: str) -> None:
    assert tune(models[name], count=1).steps == 2


@pytest.mark.parametrize(
    ("name", "steps"),
    [("resnet18", 2), ("vit", 4)],
    ids=["with BatchNorm: a batch of 5", "without: batches of 4 and 1"],
)
def test_a_last_lonely_image_joins_the_batch_before_where_batch_norm_is(
    models: dict[str, Network], name: str, steps: int
) -> None:
    """Five images in batches of four, for two epochs."""
    assert tune(models[name], count=5, batch_size=4).steps == steps


def test_batches_of_one_become_batches_of_two_where_batch_norm_is(models: dict[str, Network]) -> None:
    """Five images: two and three of them, for two epochs."""
    assert tune(models["resnet18"], count=5, batch_size=1).steps == 4


@given(count=st.integers(2, 300), size=st.integers(1, 40))
def test_no_sample_is_alone_nor_lost_where_it_may_not_be(count: int, size: int) -> None:
    sizes = batch_sizes(count, size, alone=False)
    assert sum(sizes) == count
    assert min(sizes) >= 2
    assert max(sizes) <= max(size, 2) + 1


@pytest.mark.parametrize("number", [float("nan"), float("inf"), float("-inf")], ids=str)
@pytest.mark.parametrize(
    ("place", "key"),
    [
        ("pretrained_cfg", "mean"),
        ("pretrained_cfg", "std"),
        ("pretrained_cfg", "crop_pct"),
        ("model_args", "mlp_ratio"),
    ],
)
def test_a_number_that_is_not_finite_is_refused(place: str, key: str, number: float) -> None:
    value = [0.5, number, 0.5] if key in ("mean", "std") else number
    with pytest.raises(ModelError, match=key):
        check_config(pico_timm.CONFIG | {place: pico_timm.CONFIG[place] | {key: value}})


def test_the_trained_classifier_knows_the_digits_through_its_label_names(trained: Path) -> None:
    """A data set has its classes sorted by name; the head's outputs are in the order that the config says."""
    classes = sorted(pico.CLASS_WORDS)
    model = load_model(trained)
    outputs = model.outputs(classes, classes, [])
    assert [outputs.classes[column] for column in outputs.labels] == classes

    images, digits = pico.image_tensor(per_class=150)
    places = torch.tensor([classes.index(word) for word in pico.CLASS_WORDS])  # digit → its class in the data set
    with torch.no_grad():
        found = model.logits(images, outputs.head).argmax(dim=1)
    assert float((found == outputs.labels[places[digits]]).float().mean()) > 0.9


def test_the_trained_classifier_is_the_same_bytes_in_every_training(
    trained: Path, trained_again: tuple[Path, bool]
) -> None:
    again, _ = trained_again
    for file in ("config.json", "model.safetensors"):
        assert (again / file).read_bytes() == (trained / file).read_bytes()


def test_making_the_trained_classifier_leaves_the_global_random_state_alone(trained_again: tuple[Path, bool]) -> None:
    _, left_alone = trained_again
    assert left_alone
