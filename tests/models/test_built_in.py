"""Checkpoints of real libraries, made a folder by no more than an architecture's name."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import open_clip
import pytest
import timm
import torch
import torchvision
from torch import Tensor, nn

from negmerge.errors import ModelError, TensorError
from negmerge.models import cifar_resnets
from negmerge.models.convert import Converted, convert_built_in
from negmerge.models.loading import load_model

pytestmark = pytest.mark.slow

State = dict[str, Tensor]
IMAGE = torch.rand((2, 3, 64, 64), generator=torch.Generator().manual_seed(0))


class Module(nn.Module):
    """A module of these parts, as a person writes one around a library's."""

    def __init__(self, **parts: nn.Module) -> None:
        super().__init__()
        for name, part in parts.items():
            setattr(self, name, part)


def made(name: str, classes: int, **how: Any) -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        model: nn.Module = timm.create_model(name, num_classes=classes, **how)
    return model.eval()


def converted(tmp_path: Path, document: Any, architecture: str, **how: Any) -> Converted:
    torch.save(document, tmp_path / "checkpoint.pth")
    return convert_built_in(tmp_path / "checkpoint.pth", architecture, tmp_path / "out", **how)


RESNET = made("resnet18", 7)
PLAIN = dict(RESNET.state_dict())
BODY = {name: tensor for name, tensor in PLAIN.items() if not name.startswith("fc.")}
HEAD = {name.removeprefix("fc."): tensor for name, tensor in PLAIN.items() if name.startswith("fc.")}


def renamed(state: State, prefix: str) -> State:
    return {prefix + name: tensor for name, tensor in state.items()}


def trained() -> Any:
    """What an optimizer leaves beside the weights."""
    model = nn.Linear(2, 2)
    optimizer = torch.optim.AdamW(model.parameters())
    torch.autograd.backward([model(torch.ones(1, 2)).sum()])
    optimizer.step()
    return optimizer.state_dict()


RESNETS: dict[str, Callable[[], Any]] = {
    "timm's state dict": lambda: PLAIN,
    "torchvision's state dict": lambda: torchvision.models.resnet18(num_classes=7).state_dict() | PLAIN,
    "the whole of ImageNet's example": lambda: {
        "epoch": 9,
        "arch": "resnet18",
        "state_dict": nn.DataParallel(RESNET).state_dict(),
        "best_acc1": torch.tensor(71.0),
        "optimizer": trained(),
    },
    "Lightning's": lambda: {
        "epoch": 3,
        "global_step": 99,
        "pytorch-lightning_version": "2.5.0",
        "state_dict": Module(model=RESNET).state_dict(),
        "loops": {"fit_loop": {"state_dict": {}}},
        "callbacks": {"ModelCheckpoint": {"best_model_score": torch.tensor(0.7)}},
        "optimizer_states": [trained()],
        "lr_schedulers": [{"last_epoch": 3}],
        "hyper_parameters": {"lr": 0.1},
    },
    "torch.compile's": lambda: {"model": renamed(PLAIN, "_orig_mod.")},
    "DeepSpeed's": lambda: {"module": PLAIN, "optimizer": None, "ds_config": {}, "dp_world_size": 1},
    "fairseq's": lambda: {
        "args": None,
        "cfg": {"model": {"_name": "resnet"}},
        "model": renamed(PLAIN, "encoder.w2v_encoder."),
        "optimizer_history": [{"num_updates": 10, "optimizer_name": "Adam"}],
        "extra_state": {"epoch": 3},
        "last_optimizer_state": trained(),
    },
    "an average's": lambda: torch.optim.swa_utils.AveragedModel(RESNET).state_dict(),
    "an EMA's": lambda: {"ema": renamed(PLAIN, "module."), "updates": 30},
    "FSDP's": lambda: renamed(PLAIN, "_fsdp_wrapped_module."),
    "of a body and a head": lambda: renamed(BODY, "backbone.") | renamed(HEAD, "classifier."),
    "of a body and a head behind a dropout": lambda: {
        "model_state_dict": renamed(BODY, "encoder.") | renamed(HEAD, "head.1.")
    },
    "MMPretrain's": lambda: {
        "meta": {"epoch": 1},
        "state_dict": renamed(BODY, "backbone.") | renamed(HEAD, "head.fc."),
    },
    "Lightning's of a body and a head": lambda: {
        "state_dict": renamed(BODY, "net.backbone.") | renamed(HEAD, "net.fc."),
        "pytorch-lightning_version": "2.5.0",
    },
}


@pytest.mark.parametrize("kind", RESNETS)
def test_a_resnet_as_trainers_leave_it_gives_the_answers_that_it_gave(tmp_path: Path, kind: str) -> None:
    converted(tmp_path, RESNETS[kind](), "resnet18")
    model = load_model(tmp_path / "out")
    with torch.no_grad():
        assert torch.allclose(model.module(IMAGE), RESNET(IMAGE), atol=1e-5)


def test_the_number_of_outputs_is_the_weights_and_said(tmp_path: Path) -> None:
    done = converted(tmp_path, PLAIN, "resnet18").done
    assert json.loads((tmp_path / "out" / "config.json").read_text())["num_classes"] == 7
    assert "the head has 7 outputs" in done


def test_how_images_become_pixels_is_said_to_be_a_guess(tmp_path: Path) -> None:
    assert any("if the training had others, change them" in one for one in converted(tmp_path, PLAIN, "resnet18").done)


def test_a_stem_for_small_images_is_seen(tmp_path: Path) -> None:
    model = made("resnet18", 10)
    model.conv1 = nn.Conv2d(3, 64, 3, padding=1, bias=False)
    names = {name.replace("fc.", "linear.").replace("downsample", "shortcut"): name for name in model.state_dict()}
    state = {new: model.state_dict()[old] for new, old in names.items()}
    assert "the stem is the 3×3 one of small images" in converted(tmp_path, {"net": state}, "resnet18").done
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    assert (config["stem"], config["pretrained_cfg"]["input_size"]) == ("cifar", [3, 32, 32])


def test_one_of_our_own_is_known_by_its_name(tmp_path: Path) -> None:
    state = renamed(dict(cifar_resnets.build("cifar_resnet20", 10).state_dict()), "module.")
    state = {name.replace(".fc.", ".linear."): tensor for name, tensor in state.items()}
    converted(tmp_path, {"state_dict": state, "best_prec1": 91.7}, "cifar_resnet20")
    assert load_model(tmp_path / "out").config["num_classes"] == 10


def test_a_swin_transformer_of_microsofts_gives_timms_answers(tmp_path: Path) -> None:
    """Its patches are merged behind a stage, and its places and masks are among the weights."""
    original = made("swin_tiny_patch4_window7_224", 3)
    state = {}
    for name, tensor in original.state_dict().items():
        parts = name.replace("head.fc.", "head.").split(".")
        if "downsample" in parts:
            parts[1] = str(int(parts[1]) - 1)
        state[".".join(parts)] = tensor
    state["layers.0.blocks.1.attn_mask"] = torch.zeros(64, 49, 49)
    state["layers.0.blocks.0.attn.relative_position_index"] = torch.zeros(49, 49, dtype=torch.long)
    converted(tmp_path, {"model": state}, "swin_tiny_patch4_window7_224")
    loaded = load_model(tmp_path / "out").original
    assert all(torch.equal(loaded[name], tensor) for name, tensor in original.state_dict().items())


@pytest.mark.parametrize("name", ["deit_tiny_patch16_224", "convnext_atto", "mobilenetv3_small_050"])
def test_other_architectures_heads_are_counted(tmp_path: Path, name: str) -> None:
    converted(tmp_path, {"model": made(name, 5).state_dict()}, name)
    assert load_model(tmp_path / "out").config["num_classes"] == 5


def test_a_clip_of_open_clips_own_training_is_brought_in(tmp_path: Path) -> None:
    """Of the smallest of open_clip's architectures."""
    name = "RN50"
    with torch.device("meta"):
        shapes = open_clip.CLIP(**open_clip.get_model_config(name)).state_dict()
    generator = torch.Generator().manual_seed(0)
    state = {
        f"module.{key}": torch.rand(one.shape, generator=generator, dtype=torch.float16).mul_(0.01)
        if one.is_floating_point()
        else torch.zeros(one.shape, dtype=one.dtype)
        for key, one in shapes.items()
    }
    done = converted(tmp_path, {"epoch": 1, "name": "run", "state_dict": state, "optimizer": {}}, name).done
    assert any("for weights that began as OpenAI's, name the -quickgelu one" in one for one in done)
    config = json.loads((tmp_path / "out" / "open_clip_config.json").read_text())
    assert config["model_cfg"]["embed_dim"] == 1024


@pytest.mark.parametrize(
    ("name", "word"),
    [
        ("resnet1800", r"did you mean resnet18"),
        ("ViT-B-32", "no image tower"),
        ("hf-hub:a/b", "neither open_clip nor timm"),
    ],
)
def test_a_name_that_does_not_fit_is_refused(tmp_path: Path, name: str, word: str) -> None:
    with pytest.raises(ModelError, match=word):
        converted(tmp_path, PLAIN, name)


def test_a_head_of_several_layers_asks_for_the_number_of_outputs(tmp_path: Path) -> None:
    heads = {"fc.0.weight": torch.ones(9, 512), "classifier.weight": torch.ones(4, 512)}
    with pytest.raises(ModelError, match="give --classes"):
        converted(tmp_path, BODY | heads, "resnet18")


def test_a_body_with_two_layers_behind_it_is_not_put_together(tmp_path: Path) -> None:
    heads = renamed(HEAD, "classifier.") | renamed(HEAD, "other.")
    with pytest.raises(TensorError, match="most tensors are under 'backbone"):
        converted(tmp_path, renamed(BODY, "backbone.") | heads, "resnet18")
