"""Checkpoints as people have them, made by the libraries themselves: the same answers, or a word about what to do."""

import argparse
import warnings
from pathlib import Path
from typing import Any

import pytest
import timm
import timm.utils
import torch
import torchvision
from safetensors.torch import load_file, save_model
from torch import Tensor, nn

from negmerge.errors import CheckpointError, NegmergeError
from negmerge.models.convert import convert_built_in, convert_plain
from negmerge.models.loading import load_model

pytestmark = pytest.mark.slow

IMAGES = torch.rand((2, 3, 64, 64), generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def resnet() -> nn.Module:
    """torchvision's, with statistics that a training has moved."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        model: nn.Module = torchvision.models.resnet18(num_classes=5)
        model(torch.rand(8, 3, 64, 64))
    return model.eval()


def brought_in(file: Path, room: Path, **how: Any) -> Tensor:
    """The answers of the folder that a checkpoint becomes."""
    convert_built_in(file, "resnet18", room / "out", **how)
    with torch.no_grad():
        answers: Tensor = load_model(room / "out").module(IMAGES)
    return answers


def saved(document: Any, room: Path) -> Path:
    torch.save(document, room / "checkpoint.pth")
    return room / "checkpoint.pth"


def test_torchvisions_resnet_gives_torchvisions_own_answers(resnet: nn.Module, tmp_path: Path) -> None:
    with torch.no_grad():
        expected = resnet(IMAGES)
    found = brought_in(saved(resnet.state_dict(), tmp_path), tmp_path)
    assert torch.allclose(found, expected, rtol=0, atol=1e-5 * float(expected.abs().max()))


def test_tensors_that_lie_otherwise_in_memory_are_the_same_numbers(resnet: nn.Module, tmp_path: Path) -> None:
    """As after ``model.to(memory_format=torch.channels_last)``."""
    layered = {
        name: tensor.to(memory_format=torch.channels_last) if tensor.ndim == 4 else tensor
        for name, tensor in resnet.state_dict().items()
    }
    assert not layered["layer1.0.conv1.weight"].is_contiguous()
    convert_built_in(saved(layered, tmp_path), "resnet18", tmp_path / "out")
    written = load_file(tmp_path / "out" / "model.safetensors")
    assert all(torch.equal(written[name], tensor) for name, tensor in resnet.state_dict().items())


def test_a_checkpoint_of_timms_training_asks_for_the_average_or_the_model(resnet: nn.Module, tmp_path: Path) -> None:
    utils: Any = timm.utils
    model: Any = timm.create_model("resnet18", num_classes=5)
    model.load_state_dict(resnet.state_dict())
    average = utils.ModelEmaV3(model)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    saver = utils.CheckpointSaver(
        model, optimizer, argparse.Namespace(model="resnet18"), average, checkpoint_dir=str(tmp_path)
    )
    with torch.no_grad():
        model.fc.bias += 1
        expected = average.module.eval()(IMAGES)
    saver.save_checkpoint(0, metric=0.5)
    file = tmp_path / "last.pth.tar"
    with pytest.raises(CheckpointError, match="weights under state_dict, state_dict_ema: say which with --key"):
        convert_built_in(file, "resnet18", tmp_path / "out")
    found = brought_in(file, tmp_path, key="state_dict_ema")
    assert torch.allclose(found, expected, rtol=0, atol=1e-5 * float(expected.abs().max()))


def test_a_whole_module_is_refused_with_what_to_save(resnet: nn.Module, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"holds torchvision\.models\.resnet\.ResNet.*save model\.state_dict\(\)"):
        brought_in(saved({"model": resnet}, tmp_path), tmp_path)


def test_an_archive_of_torchscript_such_as_openais_clip_is_refused_with_what_to_do(tmp_path: Path) -> None:
    with warnings.catch_warnings(action="ignore"):
        script: Any = torch.jit.script(nn.Linear(2, 2))
        script.save(str(tmp_path / "ViT-B-32.pt"))
    with pytest.raises(CheckpointError, match=r"is TorchScript.*torch\.jit\.load.*torch\.save its state_dict"):
        convert_built_in(tmp_path / "ViT-B-32.pt", "ViT-B-32-quickgelu", tmp_path / "out")


@pytest.mark.parametrize("classes", [None, 5])
def test_a_learner_of_fastai_is_told_by_its_names(resnet: nn.Module, tmp_path: Path, classes: int | None) -> None:
    """``Learner.save``: a body and a head in a sequence, called by their places."""
    layers = [*resnet.children()]
    head = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, 5))
    learner = {
        "model": nn.Sequential(nn.Sequential(*layers[:-2]), head).state_dict(),
        "opt": {"state": [], "hypers": []},
    }
    with pytest.raises(NegmergeError, match=r"'0\.0\.weight'.*by its place in a sequence, as fastai's learners"):
        brought_in(saved(learner, tmp_path), tmp_path, classes=classes)


class Tied(nn.Module):
    """Two layers with one weight."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Linear(3, 3, bias=False)
        self.b = nn.Linear(3, 3, bias=False)
        self.b.weight = self.a.weight


@pytest.mark.parametrize("kind", ["safetensors", "pth"])
def test_tensors_that_are_one_are_written_as_two(tmp_path: Path, kind: str) -> None:
    model, file = Tied(), tmp_path / f"tied.{kind}"
    if kind == "pth":
        torch.save(model.state_dict(), file)
    else:
        save_model(model, str(file))
    convert_plain(file, tmp_path / "plain.safetensors")
    written = load_file(tmp_path / "plain.safetensors")
    assert {name: torch.equal(tensor, model.a.weight) for name, tensor in written.items()} == {
        "a.weight": True,
        "b.weight": True,
    }
