"""The same seed gives the same bits, on each device that is here and in either precision."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from negmerge.checkpoints.tensors import digest
from negmerge.errors import ModelError
from negmerge.models.determinism import deterministic, refusing_what_cannot_repeat
from negmerge.models.loading import load_model
from negmerge.models.network import Network
from negmerge.spec.precision import Precision
from negmerge.spec.sweep import HyperParameters, RandAugment
from negmerge.training.fine_tune import fine_tune
from tests.support import pico, pico_timm

HYPER = HyperParameters(
    learning_rate=1e-3,
    weight_decay=0.1,
    epochs=3,
    batch_size=8,
    crop_flip=True,
    randaugment=RandAugment(magnitude=5, operations=2),
)
WRITERS: dict[str, Callable[[Path], Path]] = {
    "ViT": pico.make_model,
    "ResNet": lambda folder: pico_timm.write_folder(folder, pico_timm.CONFIGS["resnet18-cifar"]),
}
ARCHITECTURES = [name for name in pico_timm.CONFIGS if name != "resnet18"]
"""Without the one whose last convolution strides over one pixel, of which oneDNN gives NaN in bf16."""
DEVICES = [
    "cpu",
    pytest.param(
        "cuda",
        marks=[pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")],
    ),
]


def head_of(model: Network) -> Tensor:
    return model.outputs(list(pico.CLASS_WORDS), list(pico.CLASS_WORDS), pico.TEMPLATES).head


@pytest.mark.slow
@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("network", list(WRITERS))
def test_the_same_seed_gives_the_same_digest(tmp_path: Path, network: str, precision: Precision, device: str) -> None:
    folder = WRITERS[network](tmp_path / "model")
    images, labels = pico.image_tensor(per_class=8)
    digests = []
    with deterministic():
        for _ in range(2):
            model = load_model(folder, device)
            tuned = fine_tune(model, images, labels, head_of(model), HYPER, 7, precision=precision)
            digests.append(digest(tuned.state))
    assert digests[0] == digests[1]


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_kind_of_classifier_is_trained_in_it(tmp_path: Path, architecture: str, precision: Precision) -> None:
    """None of them needs what it refuses, and all end with finite weights."""
    model = load_model(pico_timm.write_folder(tmp_path / "model", pico_timm.CONFIGS[architecture]))
    size = model.preprocess.size
    images = torch.randint(0, 256, (4, 3, size, size), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))
    hyper = HyperParameters(learning_rate=1e-3, epochs=1, batch_size=2)
    with deterministic(), refusing_what_cannot_repeat():
        tuned = fine_tune(model, images, torch.arange(4), torch.zeros(0), hyper, 3, precision=precision)
    assert all(bool(tensor.isfinite().all()) for tensor in tuned.state.values())


@pytest.mark.slow
@pytest.mark.parametrize("network", list(WRITERS))
def test_on_the_cpu_nothing_becomes_another_for_it(tmp_path: Path, network: str) -> None:
    model = load_model(WRITERS[network](tmp_path / "model"))
    images, labels = pico.image_tensor(per_class=8)
    free = fine_tune(model, images, labels, head_of(model), HYPER, 7)
    with deterministic():
        bound = fine_tune(model, images, labels, head_of(model), HYPER, 7)
    assert digest(free.state) == digest(bound.state)


def test_float32_is_no_tf32_in_it_and_what_was_set_before_is_set_again() -> None:
    def settings() -> list[bool]:
        backends = torch.backends
        return [
            torch.are_deterministic_algorithms_enabled(),
            torch.utils.deterministic.fill_uninitialized_memory,  # type: ignore[attr-defined]
            backends.cudnn.deterministic,
            backends.cudnn.allow_tf32,
            backends.cuda.matmul.allow_tf32,
            backends.cuda.cudnn_sdp_enabled(),  # type: ignore[no-untyped-call]
        ]

    before = settings()
    with deterministic():
        assert settings() == [True, False, True, False, False, False]
    assert settings() == before


def test_an_operation_that_cannot_repeat_is_named_in_words() -> None:
    """torch has no deterministic ``put_``, on no device."""
    told = pytest.raises(ModelError, match="the model needs put_, which gives other bits each time")
    with deterministic(), told, refusing_what_cannot_repeat():
        torch.zeros(3).put_(torch.tensor([0, 1]), torch.tensor([1.0, 2.0]))


def test_any_other_error_is_left_as_it_is() -> None:
    with pytest.raises(RuntimeError, match="size"), refusing_what_cannot_repeat():
        torch.zeros(2) + torch.zeros(3)
