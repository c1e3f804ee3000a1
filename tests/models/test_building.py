"""What a config may ask for before anything is built: modules, elements, an image that the model can look at."""

from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from negmerge.errors import ModelError
from negmerge.models.building import MAX_MODULES, filled, skeleton
from negmerge.models.loading import load_model
from tests.support import pico, pico_timm


def test_a_config_of_more_modules_than_any_real_model_is_stopped_while_it_is_built() -> None:
    whole = nn.Sequential()

    def build() -> nn.Module:
        for _ in range(2 * MAX_MODULES):
            whole.append(nn.Identity())
        return whole

    with pytest.raises(ModelError, match="more than 10000 modules: look at its depths"):
        filled({}, build)
    assert len(whole) == MAX_MODULES


@pytest.mark.timeout(60)  # what is refused too late takes minutes
def test_a_table_is_refused_before_it_is_filled_number_by_number() -> None:
    """TinyViT fills the table of a window of 112 × 112 places in Python: 157 million numbers."""
    with pytest.raises(ModelError, match="more than 256 MiB of tables and masks: look at its windows"):
        skeleton(lambda: timm.create_model("tiny_vit_5m_224", window_sizes=(7, 112, 14, 7)))


@pytest.mark.timeout(60)  # what is refused too late takes minutes
def test_layers_that_are_no_modules_are_counted_too() -> None:
    with pytest.raises(ModelError, match="more than 10000 tensors: look at its layers"):
        skeleton(lambda: timm.create_model("sequencer2d_s", num_rnn_layers=256))


def test_other_models_may_be_built_after_one_was_stopped() -> None:
    with pytest.raises(ModelError):
        filled({}, lambda: nn.Sequential(*(nn.Identity() for _ in range(MAX_MODULES + 1))))
    assert len(nn.Sequential(*(nn.Identity() for _ in range(MAX_MODULES + 1)))) == MAX_MODULES + 1


@pytest.mark.filterwarnings("ignore:Initializing zero-element tensors")
def test_a_config_that_leaves_a_tensor_without_elements_is_refused(tmp_path: Path) -> None:
    tower = pico.CONFIG["model_cfg"]["vision_cfg"] | {"mlp_ratio": 0.01}
    folder = pico.write_folder(tmp_path / "model", vision_cfg=tower)
    with pytest.raises(ModelError, match=r"'visual\.transformer.*' without elements, \[0, 32\]: look at its sizes"):
        load_model(folder)


def test_a_model_that_cannot_look_at_images_of_its_size_is_refused_with_the_cause(tmp_path: Path) -> None:
    vit = pico_timm.CONFIGS["vit"]
    config = vit | {"pretrained_cfg": vit["pretrained_cfg"] | {"input_size": [3, 32, 32]}}
    config["model_args"] = {name: value for name, value in vit["model_args"].items() if name != "img_size"}
    state = pico_timm.module(config | {"model_args": config["model_args"] | {"img_size": 224}}).state_dict()
    folder = pico_timm.write_folder(tmp_path / "model", config, dict(state))
    with pytest.raises(ModelError, match="cannot look at an image of 32 × 32 pixels, as its config has them: Input"):
        load_model(folder)


def test_a_model_whose_answers_are_not_finite_is_refused(tmp_path: Path) -> None:
    config = pico_timm.CONFIGS["resnet18"]
    state = {name: tensor.clone() for name, tensor in pico_timm.module(config).state_dict().items()}
    state["bn1.running_var"].fill_(-1)
    with pytest.raises(ModelError, match="does not give one vector of finite numbers when it is to look at an image"):
        load_model(pico_timm.write_folder(tmp_path / "model", config, state))


def test_a_timm_tower_that_cannot_look_at_images_of_its_size_is_refused(tmp_path: Path) -> None:
    tower = {"timm_model_name": "test_convnext", "timm_pool": "", "timm_proj": "none", "image_size": 64}
    folder = pico.write_folder(tmp_path / "model", vision_cfg=tower, embed_dim=192)
    with pytest.raises(ModelError, match="does not give one vector of finite numbers when it is to look at an image"):
        load_model(folder)


def test_towers_that_cannot_be_compared_are_refused(tmp_path: Path) -> None:
    text = pico.CONFIG["model_cfg"]["text_cfg"] | {"proj_type": "none"}
    folder = pico.write_folder(tmp_path / "model", text_cfg=text)
    with pytest.raises(ModelError, match="the model cannot compare an image with a prompt: "):
        load_model(folder)


@pytest.mark.parametrize(
    "text",
    [{"pool_type": "first"}, {"pool_type": "eos"}],
    ids=["the first token knows no other", "no token is the end"],
)
def test_a_model_that_gives_all_words_one_head_is_refused(text: dict[str, Any], tmp_path: Path) -> None:
    folder = pico.write_folder(tmp_path / "model", text_cfg=pico.CONFIG["model_cfg"]["text_cfg"] | text)
    with pytest.raises(ModelError, match=r"gives 'a red house' and '7' the same head, .* look at text_cfg\.pool_type"):
        load_model(folder)


def test_a_text_tower_of_one_channel_is_refused(tmp_path: Path) -> None:
    """Its LayerNorm leaves nothing but its bias, whatever the words."""
    text = pico.CONFIG["model_cfg"]["text_cfg"] | {"width": 1}
    file = pico.write_folder(tmp_path / "model", text_cfg=text) / "open_clip_model.safetensors"
    save_file(load_file(file) | {"ln_final.bias": torch.ones(1)}, file)
    with pytest.raises(ModelError, match="the same head"):
        load_model(file.parent)


def test_a_model_that_was_tried_out_is_at_its_weights(tmp_path: Path) -> None:
    model = load_model(pico_timm.write_folder(tmp_path / "model", pico_timm.CONFIGS["resnet18"]))
    assert all(parameter.grad is None for parameter in model.parameters())
    assert all(torch.equal(tensor, model.original[name]) for name, tensor in model.module.state_dict().items())
