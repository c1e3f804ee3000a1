"""timm classifiers in and out, against timm itself."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from safetensors.torch import load_file
from timm.data.config import resolve_data_config
from timm.data.transforms_factory import create_transform
from torch import Tensor

from negmerge.errors import DataError
from negmerge.formats.timm_config import CONFIG_FILE, WEIGHTS_FILE, outputs_of
from negmerge.models.loading import load_model
from negmerge.models.memory_format import memory_format
from negmerge.models.network import Network
from negmerge.spec.sweep import HyperParameters
from negmerge.training.fine_tune import fine_tune
from tests.support import pico, pico_timm
from tests.support.states import changed

ARCHITECTURES = list(pico_timm.CONFIGS)
PLAIN = [name for name in ARCHITECTURES if name != "resnet18-cifar"]
"""What timm itself can load; it has no word for the 3×3 stem."""


@pytest.fixture(scope="module")
def models(folders: dict[str, Path]) -> dict[str, Network]:
    return {name: load_model(folder) for name, folder in folders.items()}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pico_timm.make_model(tmp_path_factory.mktemp("trained") / "model")


def images_for(model: Network, count: int = 3) -> Tensor:
    """Random uint8 images of the model's own size."""
    size = model.preprocess.size
    return torch.randint(0, 256, (count, 3, size, size), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))


def logits(model: Network, images: Tensor) -> Tensor:
    with torch.no_grad():
        return model.logits(images, torch.zeros(0))


TRAIN_NARROW = """
import sys
import torch
from negmerge.models.classifiers import Classifier, build
channels, size, count = map(int, sys.argv[1:])
config = {"architecture": "resnet18", "num_classes": 3, "stem": "cifar", "input_size": [3, size, size],
          "model_args": {"layers": [1, 1, 1, 0], "channels": [channels] * 4}}
module = build(config)
model = Classifier(module, config, module.state_dict(), "cpu")
kept = []
for step in range(100):
    model.logits(torch.randint(256, (count, 3, size, size), dtype=torch.uint8), torch.zeros(0)).sum().backward()
    kept = kept[-50:] + [torch.empty(size) for size in range(1, 200, 7)]
"""


@pytest.mark.slow
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_what_is_saved_comes_back_to_the_bit(
    folders: dict[str, Path], models: dict[str, Network], tmp_path: Path, name: str
) -> None:
    models[name].save(models[name].original, tmp_path / "out")

    before, after = load_file(folders[name] / WEIGHTS_FILE), load_file(tmp_path / "out" / WEIGHTS_FILE)
    assert before.keys() == after.keys()
    assert all(torch.equal(after[key], tensor) and after[key].dtype == tensor.dtype for key, tensor in before.items())
    assert json.loads((tmp_path / "out" / CONFIG_FILE).read_text()) == pico_timm.CONFIGS[name]


@pytest.mark.slow
@pytest.mark.parametrize("name", PLAIN)
def test_logits_are_those_of_timm(folders: dict[str, Path], models: dict[str, Network], name: str) -> None:
    reference = timm.create_model(f"local-dir:{folders[name]}", pretrained=True).eval()
    images = images_for(models[name])

    with torch.no_grad():
        expected = reference((images.float() / 255 - 0.5) / 0.5)

    torch.testing.assert_close(logits(models[name], images), expected, atol=1e-4, rtol=1e-4)


def test_timm_finds_the_arguments_of_a_folder_whose_config_said_nothing_of_images(
    models: dict[str, Network], tmp_path: Path
) -> None:
    """Without a pretrained_cfg, timm takes the config for one of its older ones, which had no model_args."""
    config = {key: value for key, value in pico_timm.CONFIGS["resnet18"].items() if key != "pretrained_cfg"}
    model = load_model(pico_timm.write_folder(tmp_path / "in", config))
    model.save(model.original, tmp_path / "out")
    loaded = timm.create_model(f"local-dir:{tmp_path / 'out'}", pretrained=True).state_dict()
    assert loaded.keys() == model.original.keys()
    assert all(torch.equal(loaded[key], tensor) for key, tensor in model.original.items())


def test_the_stem_of_small_images_is_three_by_three_and_keeps_their_size(models: dict[str, Network]) -> None:
    """CIFAR's stem (He et al. 2016, section 4.2): a 3×3 convolution of stride 1, no pooling."""
    module = models["resnet18-cifar"].module
    assert tuple(module.conv1.weight.shape[2:]) == (3, 3)
    assert module.maxpool(module.conv1(torch.zeros(1, 3, 16, 16))).shape[2:] == (16, 16)


@pytest.mark.slow
def test_the_trained_classifier_knows_the_digits(trained: Path) -> None:
    images, labels = pico.image_tensor(per_class=150)
    assert float((logits(load_model(trained), images).argmax(dim=1) == labels).float().mean()) > 0.9


@pytest.mark.parametrize(
    "preprocess",
    [
        {"crop_pct": 0.875, "interpolation": "bicubic", "crop_mode": "center"},
        {"crop_pct": 0.9, "interpolation": "bilinear", "crop_mode": "squash"},
        {"crop_pct": 1.0, "interpolation": "nearest", "crop_mode": "border"},
        {"crop_pct": 0.9, "interpolation": "lanczos"},
        {"crop_pct": 0.9, "interpolation": "box"},
        {"crop_pct": 0.9, "interpolation": "hamming"},
        {"mean": [0.1, 0.2, 0.3], "std": [0.9, 0.8, 0.7]},
    ],
    ids=["center", "squash", "border", "lanczos", "box", "hamming", "colours"],
)
@pytest.mark.parametrize("flat", [False, True], ids=["pretrained_cfg", "as older folders have it"])
def test_images_become_pixels_as_timm_makes_them(tmp_path: Path, preprocess: dict[str, Any], flat: bool) -> None:
    said = pico_timm.PREPROCESS | preprocess
    config = {"architecture": "test_resnet", "num_classes": 5} | (said if flat else {"pretrained_cfg": said})
    pico_timm.write_folder(tmp_path, config)
    model = load_model(tmp_path)
    reference = timm.create_model(f"local-dir:{tmp_path}", pretrained=True)
    resolve: Callable[..., dict[str, Any]] = resolve_data_config
    transform = create_transform(**resolve(model=reference))
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 29, 3), dtype=np.uint8))

    steps: Any = picture
    for step in model.preprocess.steps:
        steps = step(steps)
    pixels = model.pixels(torch.from_numpy(np.array(steps)).permute(2, 0, 1)[None])

    torch.testing.assert_close(pixels[0], transform(picture), atol=1e-5, rtol=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_every_trainable_parameter_takes_part_the_head_too_and_no_buffer(models: dict[str, Network], name: str) -> None:
    module = pico_timm.module(pico_timm.CONFIGS[name])
    assert models[name].names == tuple(key for key, _ in module.named_parameters())
    assert any(key.endswith(("fc.weight", "head.weight")) for key in models[name].names)


@pytest.mark.slow
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_fine_tuning_moves_what_takes_part_and_puts_the_model_back(models: dict[str, Network], name: str) -> None:
    model = models[name]
    images, labels = images_for(model, 4), torch.tensor([0, 1, 2, 3])

    tuned = fine_tune(
        model, images, labels, torch.zeros(0), HyperParameters(learning_rate=1e-2, epochs=2, batch_size=2), seed=0
    )

    moved = [key for key in model.names if not torch.equal(tuned.state[key], model.base[key])]
    assert any(key.endswith(("fc.weight", "head.weight")) for key in moved)
    assert len(moved) > 0.8 * len(model.names)
    assert all(torch.equal(tensor, model.original[key]) for key, tensor in model.module.state_dict().items())


@pytest.mark.parametrize("name", ["resnet18", "vgg16_bn"])
def test_training_moves_running_statistics_and_restoring_puts_them_back(models: dict[str, Network], name: str) -> None:
    model = models[name]
    key = next(key for key in model.original if key.endswith("running_mean"))
    model.tuned.train()
    with torch.no_grad():
        model.logits(images_for(model), torch.zeros(0))
    model.module.eval()
    assert not torch.equal(model.module.state_dict()[key], model.original[key])
    model.restore()
    assert torch.equal(model.module.state_dict()[key], model.original[key])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_sixteen_bit_weights_compute_in_float32_and_keep_their_type(
    folders: dict[str, Path], tmp_path: Path, dtype: torch.dtype
) -> None:
    def halve(tensors: dict[str, Tensor]) -> None:
        tensors.update({key: t.to(dtype) if t.is_floating_point() else t for key, t in tensors.items()})

    model = load_model(changed(folders["resnet18"], tmp_path / "half", halve))
    assert model.module.state_dict()["fc.weight"].dtype == torch.float32
    assert model.original["fc.weight"].dtype == dtype
    assert model.original["bn1.num_batches_tracked"].dtype == torch.int64


LABELLED: dict[str, Any] = {"num_classes": 4, "label_names": ["dog", "cat", "owl", "newt"]}


@pytest.mark.parametrize(
    ("config", "classes", "words", "outputs"),
    [
        ({"num_classes": 2}, ["cat", "dog"], ["cat", "dog"], [0, 1]),
        (LABELLED, ["cat", "newt"], ["cat", "newt"], [1, 3]),
        (LABELLED, ["n01", "n02"], ["owl", "dog"], [2, 0]),
        (LABELLED, ["cat", "dog"], ["dog", "cat"], [1, 0]),
        ({"num_classes": 2, "label_names": {"0": "b", "1": "a"}}, ["a", "b"], ["a", "b"], [1, 0]),
        ({"num_classes": 2, "pretrained_cfg": {"label_names": ["b", "a"]}}, ["a", "b"], ["a", "b"], [1, 0]),
        ({"num_classes": 2, "labels": ["b", "a"]}, ["a", "b"], ["a", "b"], [1, 0]),
    ],
    ids=["by order", "by name", "by words", "name before words", "numbered", "in pretrained_cfg", "as older folders"],
)
def test_each_class_of_the_data_finds_its_output(
    config: dict[str, Any], classes: list[str], words: list[str], outputs: list[int]
) -> None:
    assert outputs_of(config, classes, words) == outputs


@pytest.mark.parametrize(
    ("config", "classes", "said"),
    [
        ({"num_classes": 3}, ["cat", "dog"], "3 outputs and the data set 2 classes"),
        (LABELLED, ["cat", "bird"], "no output for the class 'bird': its label_names are dog, cat, owl, newt"),
        ({"num_classes": 12, "label_names": [f"c{i:02}" for i in range(12)]}, ["cat"], "c09 and 2 more"),
    ],
    ids=["another head", "unknown class", "many names"],
)
def test_data_that_the_head_has_no_output_for_are_refused(
    config: dict[str, Any], classes: list[str], said: str
) -> None:
    with pytest.raises(DataError, match=said):
        outputs_of(config, classes, classes)


def test_labels_count_through_the_models_outputs(folders: dict[str, Path], tmp_path: Path) -> None:
    config = pico_timm.CONFIGS["resnet18"] | {"label_names": ["e", "d", "c", "b", "a"]}
    model = load_model(pico_timm.with_config(folders["resnet18"], tmp_path / "model", config))
    outputs = model.outputs(["a", "e"], ["a", "e"], [])
    assert outputs.classes == ("e", "d", "c", "b", "a")
    assert outputs.labels.tolist() == [4, 0]


@pytest.mark.parametrize(
    ("convolution", "expected"),
    [
        (torch.nn.Conv2d(15, 8, 1, stride=2), torch.contiguous_format),
        (torch.nn.Conv2d(32, 8, 1, stride=2, groups=4), torch.contiguous_format),
        (torch.nn.Conv2d(16, 4, 1, stride=2), torch.channels_last),
        (torch.nn.Conv2d(4, 8, 1), torch.channels_last),
        (torch.nn.Conv2d(3, 8, 3, stride=2), torch.channels_last),
    ],
    ids=["narrow and strided", "narrow groups", "wide enough", "not strided", "not 1 × 1"],
)
def test_channels_lie_last_unless_a_narrow_strided_convolution_would_write_beyond_its_buffer(
    convolution: torch.nn.Module, expected: torch.memory_format
) -> None:
    assert memory_format(torch.nn.Sequential(torch.nn.Conv2d(3, 16, 3), convolution)) == expected


@pytest.mark.slow
@pytest.mark.parametrize(
    ("threads", "channels", "size", "count"), [(1, 4, 8, 6), (2, 12, 16, 9)], ids=["AVX2", "AVX-512"]
)
def test_a_narrow_strided_convolution_is_trained_without_damage_to_memory(
    threads: int, channels: int, size: int, count: int
) -> None:
    """In a process of its own: on a processor that meets the fault, it aborts within a few steps."""
    done = subprocess.run(
        [sys.executable, "-c", TRAIN_NARROW, str(channels), str(size), str(count)],
        env=os.environ | {"OMP_NUM_THREADS": str(threads)},
        capture_output=True,
        text=True,
        timeout=240,
        check=False,
    )
    assert done.returncode == 0, done.stderr


def test_a_tensor_of_five_dimensions_keeps_all_as_it_lies() -> None:
    module = torch.nn.Sequential(torch.nn.Conv2d(3, 16, 3), torch.nn.Conv3d(1, 1, (1, 3, 3)))
    assert memory_format(module) == torch.contiguous_format


@pytest.mark.slow
def test_a_lambda_network_gives_timms_own_logits(tmp_path: Path) -> None:
    config = pico_timm.config("lambda_resnet26t", size=64)
    with torch.random.fork_rng(devices=[]):
        reference = pico_timm.module(config).eval()
    model = load_model(pico_timm.write_folder(tmp_path / "model", config))
    images = images_for(model)
    with torch.no_grad():
        torch.testing.assert_close(logits(model, images), reference(model.pixels(images)), atol=1e-4, rtol=1e-4)
