"""open_clip's state dicts under a config that says otherwise: brought in where they mean the same, or told."""

import json
from copy import deepcopy
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import open_clip
import pytest
import torch
from open_clip.push_to_hf_hub import save_for_hf
from safetensors.torch import save_file
from torch import Tensor

from negmerge.errors import TensorError
from negmerge.formats.open_clip_config import CONFIG_FILE, WEIGHTS_FILE
from negmerge.models.convert import convert
from negmerge.models.loading import load_zero_shot
from tests.support import pico, towers

pytestmark = pytest.mark.slow

RESNET: dict[str, Any] = {"image_size": 32, "layers": [1, 1, 1, 1], "width": 8, "head_width": 16}


def config_with(**model_cfg: Any) -> dict[str, Any]:
    return deepcopy(pico.CONFIG) | {"model_cfg": deepcopy(pico.CONFIG["model_cfg"]) | model_cfg}


def made(model_cfg: dict[str, Any]) -> Any:
    """open_clip's own module, with seeded random weights."""
    arguments = deepcopy(model_cfg)
    kind = open_clip.CustomTextCLIP if arguments.pop("custom_text", False) else open_clip.CLIP
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        return kind(**arguments).eval()


def brought_in(tmp_path: Path, state: dict[str, Any], config: dict[str, Any]) -> tuple[str, ...]:
    (tmp_path / "config.json").write_text(json.dumps(config))
    torch.save(state, tmp_path / "checkpoint.pt")
    return convert(tmp_path / "checkpoint.pt", tmp_path / "config.json", tmp_path / "out").done


def folder_of(folder: Path, state: dict[str, Tensor], config: dict[str, Any]) -> Path:
    folder.mkdir()
    (folder / CONFIG_FILE).write_text(json.dumps(config))
    save_file(state, folder / WEIGHTS_FILE)
    return folder


def text_features(model: Any, words: list[str]) -> Tensor:
    with torch.no_grad():
        found: Tensor = model.encode_text(open_clip.tokenize(words, context_length=16))
    return found


@pytest.mark.parametrize("custom", [True, False], ids=["to custom_text", "from custom_text"])
def test_a_text_tower_under_other_names_is_put_in_its_place_and_computes_the_same(tmp_path: Path, custom: bool) -> None:
    module = made(config_with(custom_text=not custom)["model_cfg"])
    done = brought_in(tmp_path, module.state_dict(), config_with(custom_text=custom))
    assert done == ("put the text tower " + ("under 'text.'" if custom else "where a CLIP without custom_text has it"),)
    found = text_features(load_zero_shot(tmp_path / "out").module, ["one", "a dog"])
    torch.testing.assert_close(found, text_features(module, ["one", "a dog"]))


def test_a_folder_of_a_clip_under_a_config_with_custom_text_loads_as_open_clip_loads_it(tmp_path: Path) -> None:
    config = config_with(custom_text=True)
    folder = folder_of(tmp_path / "model", made(pico.CONFIG["model_cfg"]).state_dict(), config)
    theirs = open_clip.create_model(f"local-dir:{folder}").state_dict()
    ours = load_zero_shot(folder).original
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], tensor) for name, tensor in theirs.items())


def test_a_folder_with_custom_text_under_a_config_without_is_told_to_say_so(tmp_path: Path) -> None:
    state = made(config_with(custom_text=True)["model_cfg"]).state_dict()
    with pytest.raises(TensorError, match=r'is missing.*set "custom_text" to true in model_cfg'):
        load_zero_shot(folder_of(tmp_path / "model", state, config_with()))


@pytest.mark.parametrize(
    ("forced", "told"),
    [
        ({"force_image_size": 64}, "set vision_cfg.image_size to 64"),
        ({"force_context_length": 32}, "set text_cfg.context_length to 32"),
    ],
)
@pytest.mark.parametrize("kind", [{}, {"vision_cfg": RESNET}], ids=["vit", "resnet"])
def test_a_folder_of_open_clip_with_another_size_than_its_config_says_is_told_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, forced: dict[str, int], told: str, kind: dict[str, Any]
) -> None:
    model_cfg = config_with(**kind)["model_cfg"]
    monkeypatch.setitem(open_clip.factory._MODEL_CONFIGS, "pico", model_cfg)
    model = open_clip.create_model("pico", **forced)
    tokenizer: Any = SimpleNamespace(save_pretrained=lambda _: None)  # open_clip's own has nothing to save
    save_for_hf(model, tokenizer, model_cfg, str(tmp_path / "model"), safe_serialization=True)
    with pytest.raises(TensorError, match=rf"has the shape .*\. Where these are the weights meant, {told}"):
        load_zero_shot(tmp_path / "model")


def test_openais_numbers_among_the_weights_are_left_out(tmp_path: Path) -> None:
    numbers = {
        "input_resolution": torch.tensor(16),
        "context_length": torch.tensor(16),
        "vocab_size": torch.tensor(49408),
    }
    done = brought_in(tmp_path, made(pico.CONFIG["model_cfg"]).state_dict() | numbers, pico.CONFIG)
    assert done == ("left out input_resolution, context_length, vocab_size, which the config says",)


@pytest.mark.parametrize("nonscalar", [True, False])
def test_a_scale_in_a_list_is_the_number_itself(tmp_path: Path, nonscalar: bool) -> None:
    state = made(config_with(nonscalar_logit_scale=not nonscalar)["model_cfg"]).state_dict()
    done = brought_in(tmp_path, state, config_with(nonscalar_logit_scale=nonscalar))
    assert done == (f"made 'logit_scale' {'a list of one number' if nonscalar else 'one number'}",)
    assert load_zero_shot(tmp_path / "out").original["logit_scale"].item() == state["logit_scale"].item()


@pytest.mark.parametrize("nonscalar", [True, False])
def test_a_folder_with_a_scale_in_a_list_is_told_what_to_set(tmp_path: Path, nonscalar: bool) -> None:
    state = made(config_with(nonscalar_logit_scale=nonscalar)["model_cfg"]).state_dict()
    config = config_with(nonscalar_logit_scale=not nonscalar)
    with pytest.raises(TensorError, match=f'set "nonscalar_logit_scale" to {str(nonscalar).lower()} in model_cfg'):
        load_zero_shot(folder_of(tmp_path / "model", state, config))


def test_a_bias_that_the_config_does_not_have_is_told_what_to_set(tmp_path: Path) -> None:
    state = made(towers.SIGLIP).state_dict()
    without = {"model_cfg": {key: value for key, value in towers.SIGLIP.items() if key != "init_logit_bias"}}
    with pytest.raises(TensorError, match=r"'logit_bias': is extra.*set \"init_logit_bias\" in model_cfg, such as -10"):
        brought_in(tmp_path, state, without)


def test_a_bias_that_only_the_config_has_is_to_be_left_away(tmp_path: Path) -> None:
    state = made(pico.CONFIG["model_cfg"]).state_dict()
    with pytest.raises(TensorError, match=r"'logit_bias': is missing.*leave \"init_logit_bias\" out of model_cfg"):
        brought_in(tmp_path, state, config_with(init_logit_bias=-10.0))
