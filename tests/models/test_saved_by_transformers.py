"""Folders that transformers itself saves: the same answers here, and the same bits on the way back."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from sklearn.datasets import load_sample_images
from torch import Tensor
from transformers import AutoModelForImageClassification, PreTrainedModel

from negmerge.checkpoints.files import load_tensors
from negmerge.errors import ModelError, TensorError
from negmerge.models import loading
from negmerge.models.loading import load_model
from negmerge.models.network import Network
from tests.support import transformers_folders as theirs

pytestmark = pytest.mark.slow

KINDS: dict[str, Callable[[], PreTrainedModel]] = {
    "clip": theirs.clip,
    "clip-tanh": lambda: theirs.clip("gelu_pytorch_tanh"),
    "siglip": theirs.siglip,
    "clip-tokenizer": lambda: theirs.clip("gelu", vocab_size=64, max_position_embeddings=16, eos_token_id=1),
    "vit": theirs.vit,
    "vit-tanh": lambda: theirs.vit(hidden_act="gelu_pytorch_tanh", qkv_bias=False, layer_norm_eps=1e-3),
    "resnet": theirs.resnet,
    "resnet-basic": theirs.basic_resnet,
    "swin": theirs.swin,
    "swin-tanh": lambda: theirs.swin(hidden_act="gelu_pytorch_tanh"),
}


@dataclass(frozen=True)
class Saved:
    """A model of transformers, the folder that it was saved in, and what is loaded from there."""

    original: PreTrainedModel
    folder: Path
    model: Network


@pytest.fixture(scope="module", params=KINDS)
def saved(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Saved:
    original = KINDS[request.param]()
    folder = theirs.save(original, tmp_path_factory.mktemp("transformers") / request.param)
    return Saved(original, folder, load_model(folder))


def halved(model: PreTrainedModel) -> PreTrainedModel:
    """In half precision."""
    model.load_state_dict({name: tensor.half() for name, tensor in model.state_dict().items()}, assign=True)
    return model


def images(model: Network) -> Tensor:
    size = model.preprocess.size
    return torch.randint(256, (2, 3, size, size), generator=torch.Generator().manual_seed(1), dtype=torch.uint8)


def words(model: PreTrainedModel) -> Tensor:
    """Prompts as numbers; a prompt ends before the last of them."""
    text = model.config.text_config
    found = torch.randint(3, text.vocab_size - 2, (4, text.max_position_embeddings), generator=torch.Generator())
    found[:, 7] = text.eos_token_id
    return found


def answers(model: Network, original: PreTrainedModel) -> tuple[Tensor, Tensor]:
    """Ours and theirs, of the same pixels (and prompts)."""
    pixels = model.pixels(images(model))
    with torch.no_grad():
        if model.is_classifier:
            return model.logits(images(model), torch.zeros(0)), original(pixel_values=pixels).logits
        tokens = words(original)
        seen, read = model.module.encode_image(pixels, normalize=True), model.module.encode_text(tokens, normalize=True)
        ours = seen @ read.T * model.module.logit_scale.exp() + (getattr(model.module, "logit_bias", None) or 0)
        return ours, original(pixel_values=pixels, input_ids=tokens).logits_per_image


def distance(ours: Tensor, expected: Tensor) -> float:
    """Relative to the largest answer."""
    return float((ours - expected).abs().max() / expected.abs().max())


def test_the_answers_are_transformers_own(saved: Saved) -> None:
    ours, expected = answers(saved.model, saved.original)
    assert distance(ours, expected) <= 1e-5
    assert distance(expected, expected.mean()) > 1e-3


def test_pixels_are_those_of_transformers_own_processor(saved: Saved) -> None:
    """Of its processor that resizes with Pillow, as everything here does; an even number of pixels is cut off."""
    processor = theirs.processor_of(saved.folder, backend="pil")
    for picture in load_sample_images().images:
        image = Image.fromarray(picture[:400, :500])
        expected = processor(image, return_tensors="pt")["pixel_values"]
        for step in saved.model.preprocess.steps:
            image = step(image)
        found = saved.model.pixels(torch.from_numpy(np.array(image)).permute(2, 0, 1).unsqueeze(0))
        assert found.shape == expected.shape
        assert float((found - expected).abs().max()) <= 1e-5


def test_there_and_back_every_tensor_has_its_bits(saved: Saved, tmp_path: Path) -> None:
    assert saved.model.theirs is not None
    saved.model.theirs.save(saved.model.original, tmp_path / "back")
    before, after = load_file(saved.folder / "model.safetensors"), load_file(tmp_path / "back" / "model.safetensors")
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_there_and_back_config_and_processor_say_the_same(saved: Saved, tmp_path: Path) -> None:
    assert saved.model.theirs is not None
    saved.model.theirs.save(saved.model.original, tmp_path / "back")
    for file in saved.folder.glob("*.json"):
        assert json.loads((tmp_path / "back" / file.name).read_bytes()) == json.loads(file.read_bytes())


@pytest.mark.parametrize("kind", ["vit-tanh", "swin-tanh"])
def test_the_arithmetic_that_only_timm_has_would_be_seen(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original = KINDS[kind]()
    folder = theirs.save(original, tmp_path / kind)
    monkeypatch.setattr(loading, "as_trained", lambda module, config: module)
    assert distance(*answers(load_model(folder), original)) > 1e-5


def test_a_changed_model_is_loaded_by_transformers_itself(tmp_path: Path) -> None:
    folder = theirs.save(theirs.vit(), tmp_path / "vit")
    model = load_model(folder)
    assert model.theirs is not None
    changed = {name: tensor * 0.5 for name, tensor in model.original.items()}
    model.theirs.save(changed, tmp_path / "changed")
    model.load_parameters(changed)
    assert distance(*answers(model, AutoModelForImageClassification.from_pretrained(tmp_path / "changed"))) <= 1e-5


def test_shards_and_half_precision_come_back_in_their_type(tmp_path: Path) -> None:
    folder = theirs.save(halved(theirs.vit()), tmp_path / "vit", max_shard_size="20KB")
    assert not (folder / "model.safetensors").exists()
    model = load_model(folder)
    assert model.theirs is not None
    model.theirs.save(model.original, tmp_path / "back")
    before, after = load_tensors(folder), load_file(tmp_path / "back" / "model.safetensors")
    assert {name: (tensor.dtype, tensor.tolist()) for name, tensor in before.items()} == {
        name: (tensor.dtype, tensor.tolist()) for name, tensor in after.items()
    }


def test_numbers_of_places_that_old_files_have_come_back(tmp_path: Path) -> None:
    folder = theirs.save(theirs.clip(), tmp_path / "clip")
    places = {"text_model.embeddings.position_ids": torch.arange(77).unsqueeze(0)}
    save_file(load_file(folder / "model.safetensors") | places, folder / "model.safetensors")
    model = load_model(folder)
    assert model.theirs is not None
    model.theirs.save(model.original, tmp_path / "back")
    name, expected = next(iter(places.items()))
    assert torch.equal(load_file(tmp_path / "back" / "model.safetensors")[name], expected)


def test_a_tensor_that_is_missing_is_named_as_transformers_has_it(tmp_path: Path) -> None:
    folder = theirs.save(theirs.vit(), tmp_path / "vit")
    state = load_file(folder / "model.safetensors")
    del state["vit.encoder.layer.1.attention.attention.key.bias"]
    save_file(state, folder / "model.safetensors")
    with pytest.raises(TensorError, match=r"vit\.encoder\.layer\.1\.attention\.attention\.key\.bias.*is missing"):
        load_model(folder)


def test_a_folder_without_its_preprocessor_is_told_how_to_write_it(tmp_path: Path) -> None:
    folder = theirs.save(theirs.vit(), tmp_path / "vit")
    (folder / "preprocessor_config.json").unlink()
    with pytest.raises(ModelError, match=r"no preprocessor_config\.json beside the config.*save_pretrained"):
        load_model(folder)


def test_a_siglip_without_its_tokenizer_is_told_how_to_write_it(tmp_path: Path) -> None:
    config = {"architectures": ["SiglipModel"], "model_type": "siglip"}
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "preprocessor_config.json").write_text(theirs.PROCESSORS["siglip"].to_json_string())
    save_file({"logit_scale": torch.zeros(1)}, tmp_path / "model.safetensors")
    with pytest.raises(ModelError, match=r"put its tokenizer\.json and tokenizer_config\.json beside the config"):
        load_model(tmp_path)
