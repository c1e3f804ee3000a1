"""Zero-shot models in and out, against open_clip itself, and every way in which a folder can be wrong."""

import json
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import open_clip
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from torch.nn import functional

from negmerge.checkpoints.files import file_digest
from negmerge.errors import CheckpointError, DataError, ModelError, TensorError
from negmerge.formats.open_clip_config import CONFIG_FILE, WEIGHTS_FILE, check_config
from negmerge.models.loading import load_tag, load_zero_shot
from negmerge.models.zero_shot import ZeroShotModel
from tests.support import pico
from tests.support.states import changed

pytestmark = pytest.mark.slow

CLASSES = list(pico.CLASS_WORDS)
NAME = "visual.transformer.resblocks.0.mlp.c_fc.weight"

RESNET_CONFIG: dict[str, Any] = deepcopy(pico.CONFIG)
RESNET_CONFIG["model_cfg"]["vision_cfg"] = {"image_size": 32, "layers": [1, 1, 1, 1], "width": 8, "head_width": 16}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return pico.make_model(tmp_path_factory.mktemp("pico") / "model")


@pytest.fixture
def model(folder: Path) -> ZeroShotModel:
    return load_zero_shot(folder)


@pytest.fixture(scope="module")
def resnet(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A CLIP whose image tower is a ResNet, which has BatchNorm buffers; random weights."""
    folder = tmp_path_factory.mktemp("resnet")
    (folder / CONFIG_FILE).write_text(json.dumps(RESNET_CONFIG))
    with torch.random.fork_rng(devices=[]):
        module = open_clip.CLIP(**RESNET_CONFIG["model_cfg"])
    save_file(dict(module.state_dict()), folder / WEIGHTS_FILE)
    return folder


def config_with(**changes: Any) -> dict[str, Any]:
    """The pico config with values at dotted paths: ``text_cfg__layers=3``."""
    config = deepcopy(pico.CONFIG)
    for path, value in changes.items():
        *parents, last = path.split("__")
        place = config if parents[:1] == ["preprocess_cfg"] else config["model_cfg"]
        for parent in parents:
            place = place[parent]
        place[last] = value
    return config


def test_logits_are_those_of_open_clip(folder: Path, model: ZeroShotModel) -> None:
    reference, _, transform = open_clip.create_model_and_transforms(f"local-dir:{folder}")
    reference.eval()
    images, _ = pico.image_tensor(per_class=3)
    texts = open_clip.get_tokenizer(f"local-dir:{folder}")([f"the digit {word}." for word in CLASSES])
    with torch.no_grad():
        pixels = torch.stack([transform.transforms[-1](image.float() / 255) for image in images])
        expected, _ = reference.get_logits(pixels, texts)
        found = model.logits(images, model.head(CLASSES, pico.TEMPLATES))
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)


def test_a_head_is_the_mean_over_templates_normalised_and_scaled(model: ZeroShotModel) -> None:
    templates = ["the digit {}.", "a bad photo of {}"]
    for row, word in zip(model.head(CLASSES, templates), CLASSES, strict=True):
        with torch.no_grad():
            texts = open_clip.tokenize([t.replace("{}", word) for t in templates], context_length=16)
            features = functional.normalize(model.module.encode_text(texts), dim=-1).mean(dim=0)
            expected = model.module.logit_scale.exp() * features / features.norm()
        torch.testing.assert_close(row, expected, atol=1e-5, rtol=1e-5)


def test_braces_in_the_words_of_a_class_are_no_instructions(model: ZeroShotModel) -> None:
    assert model.head(["{0} {x:>999999999}"], ["a {}."]).shape == (1, 16)


@pytest.mark.parametrize(
    ("words", "templates"), [([], ["{}"]), (["one"], []), (["one"], ["no place"]), (["one"], ["{0} {}"])]
)
def test_a_head_without_classes_or_one_place_for_them_is_refused(
    model: ZeroShotModel, words: list[str], templates: list[str]
) -> None:
    with pytest.raises(DataError):
        model.head(words, templates)


def test_the_image_towers_parameters_take_part_in_state_dict_order(model: ZeroShotModel) -> None:
    assert list(model.names) == [name for name in model.module.state_dict() if name.startswith("visual.")]


def test_batch_norm_statistics_never_take_part(resnet: Path) -> None:
    model = load_zero_shot(resnet)
    assert "visual.bn1.weight" in model.names
    assert not any("running" in name or "num_batches" in name for name in model.names)


def test_only_what_takes_part_asks_for_gradients(model: ZeroShotModel) -> None:
    asking = [name for name, parameter in model.module.named_parameters() if parameter.requires_grad]
    assert tuple(asking) == model.names


def test_restoring_brings_weights_and_buffers_back_to_the_bit(resnet: Path) -> None:
    model = load_zero_shot(resnet)
    model.module.visual.train()
    model.module.encode_image(torch.rand(4, 3, 32, 32))  # moves the running statistics
    with torch.no_grad():
        model.parameters()[0].add_(1)
    assert not torch.equal(
        model.module.state_dict()["visual.bn1.running_mean"], model.original["visual.bn1.running_mean"]
    )
    model.restore()
    for name, tensor in model.module.state_dict().items():
        assert torch.equal(tensor, model.original[name]), name


def test_loading_some_parameters_puts_all_others_back(model: ZeroShotModel) -> None:
    first, second = model.names[:2]
    model.load_parameters({first: model.base[first] + 1})
    model.load_parameters({second: model.base[second] + 1})
    state = model.module.state_dict()
    assert torch.equal(state[first], model.base[first])
    assert torch.equal(state[second], model.base[second] + 1)


def test_a_tensor_that_does_not_take_part_cannot_be_loaded(model: ZeroShotModel) -> None:
    with pytest.raises(TensorError, match="token_embedding"):
        model.load_parameters({"token_embedding.weight": torch.zeros(1)})


def test_open_clip_loads_what_was_saved(model: ZeroShotModel, tmp_path: Path) -> None:
    tensors = model.original | {NAME: model.original[NAME] * 2}
    digest = model.save(tensors, tmp_path / "out")
    loaded = open_clip.create_model(f"local-dir:{tmp_path / 'out'}").state_dict()
    assert loaded.keys() == tensors.keys()
    assert all(torch.equal(loaded[name], tensor) for name, tensor in tensors.items())
    assert digest == file_digest(tmp_path / "out" / WEIGHTS_FILE)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_sixteen_bit_weights_compute_in_float32_and_keep_their_type(
    folder: Path, tmp_path: Path, dtype: torch.dtype
) -> None:
    def halve(tensors: dict[str, Tensor]) -> None:
        tensors.update({name: tensor.to(dtype) for name, tensor in tensors.items()})

    model = load_zero_shot(changed(folder, tmp_path / "half", halve))
    assert model.original[NAME].dtype == dtype
    assert model.module.state_dict()[NAME].dtype == torch.float32
    assert torch.equal(model.base[NAME], model.original[NAME].float())
    model.save(model.original, tmp_path / "out")
    assert load_file(tmp_path / "out" / WEIGHTS_FILE)[NAME].dtype == dtype


def test_loading_leaves_the_global_random_state_alone(folder: Path) -> None:
    before = torch.get_rng_state()
    load_zero_shot(folder)
    assert torch.equal(torch.get_rng_state(), before)


def add(tensors: dict[str, Tensor]) -> None:
    tensors["visual.extra"] = torch.zeros(2)


def spoil(tensors: dict[str, Tensor]) -> None:
    tensors[NAME][3, 3] = torch.nan


@pytest.mark.parametrize(
    ("change", "tensor", "said"),
    [
        (lambda t: t.pop(NAME), NAME, "missing"),
        (add, "visual.extra", "extra"),
        (lambda t: t.update({NAME: t[NAME][:-1].clone()}), NAME, "shape"),
        (lambda t: t.update({NAME: t[NAME].int()}), NAME, "int32"),
        (spoil, NAME, "NaN"),
    ],
    ids=["missing", "extra", "misshapen", "integer", "nan"],
)
def test_weights_that_do_not_fit_name_the_tensor(
    folder: Path, tmp_path: Path, change: Callable[[dict[str, Tensor]], object], tensor: str, said: str
) -> None:
    with pytest.raises(TensorError, match=said) as caught:
        load_zero_shot(changed(folder, tmp_path / "changed", change))
    assert caught.value.tensor == tensor


def test_what_does_not_fit_is_not_saved_either(model: ZeroShotModel, tmp_path: Path) -> None:
    tensors = {name: tensor for name, tensor in model.original.items() if name != NAME}
    with pytest.raises(TensorError, match="missing"):
        model.save(tensors, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_weights_that_are_cut_off_are_refused(folder: Path, tmp_path: Path) -> None:
    whole = changed(folder, tmp_path / "cut", lambda t: None)
    content = (whole / WEIGHTS_FILE).read_bytes()
    (whole / WEIGHTS_FILE).write_bytes(content[:-100])
    with pytest.raises(CheckpointError, match="cut off"):
        load_zero_shot(whole)


def test_a_pickle_is_never_opened(folder: Path, tmp_path: Path) -> None:
    (tmp_path / CONFIG_FILE).write_text((folder / CONFIG_FILE).read_text())
    torch.save({"a": torch.zeros(1)}, tmp_path / WEIGHTS_FILE)
    with pytest.raises(CheckpointError, match="never a pickle"):
        load_zero_shot(tmp_path)


@pytest.mark.parametrize("missing", [CONFIG_FILE, WEIGHTS_FILE])
def test_a_folder_without_one_of_its_files_says_which(folder: Path, tmp_path: Path, missing: str) -> None:
    changed(folder, tmp_path / "half", lambda t: None)
    (tmp_path / "half" / missing).unlink()
    with pytest.raises(ModelError, match=missing):
        load_zero_shot(tmp_path / "half")


def test_a_config_that_is_not_json_is_refused(folder: Path, tmp_path: Path) -> None:
    changed(folder, tmp_path / "bad", lambda t: None)
    (tmp_path / "bad" / CONFIG_FILE).write_text("{")
    with pytest.raises(ModelError, match="JSON"):
        load_zero_shot(tmp_path / "bad")


def test_a_config_far_larger_than_its_weights_takes_no_memory(folder: Path, tmp_path: Path) -> None:
    """16,000 wide: 12 GB, were it built before it is compared."""
    changed(folder, tmp_path / "huge", lambda t: None)
    config = config_with(vision_cfg__width=16_000, vision_cfg__head_width=16_000)
    (tmp_path / "huge" / CONFIG_FILE).write_text(json.dumps(config))
    with pytest.raises(TensorError, match="shape"):
        load_zero_shot(tmp_path / "huge")


@pytest.mark.parametrize(
    "changes",
    [
        {"vision_cfg__wdith": 32},
        {"vision_cfg__head_width": 0},
        {"vision_cfg__image_size": [16, 32]},
        {"embed_dim": "wide"},
    ],
    ids=["unknown field", "no heads", "not square", "words for numbers"],
)
def test_a_config_that_no_model_can_be_built_from_is_refused(
    folder: Path, tmp_path: Path, changes: dict[str, Any]
) -> None:
    changed(folder, tmp_path / "bad", lambda t: None)
    (tmp_path / "bad" / CONFIG_FILE).write_text(json.dumps(config_with(**changes)))
    with pytest.raises(ModelError):
        load_zero_shot(tmp_path / "bad")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"text_cfg__hf_model_name": "someone/tower"}, "hf_model_name"),
        ({"text_cfg__tokenizer_kwargs": {"bpe_path": "/etc/passwd"}}, "tokenizer_kwargs"),
        ({"text_cfg__vocab_size": 100}, "vocab_size"),
        ({"vision_cfg__timm_model_name": "hf-hub:someone/net"}, "plain name"),
        ({"vision_cfg__output_tokens": True}, "output_tokens"),
        ({"vision_cfg__layers": 10**9}, "layers"),
        ({"text_cfg__layers": "many"}, "layers"),
        ({"multimodal_cfg": {}}, "CoCa"),
        ({"vision_cfg": None}, "vision_cfg"),
        ({"preprocess_cfg__std": [0.5, 0.0, 0.5]}, "std"),
        ({"preprocess_cfg__mean": 3}, "mean"),
        ({"preprocess_cfg__interpolation": "magic"}, "interpolation"),
    ],
)
def test_a_config_that_asks_for_what_is_not_served_says_which_field(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(ModelError, match=said):
        check_config(config_with(**changes))


@pytest.mark.parametrize("config", [None, [], {}, {"model_cfg": 3}])
def test_what_is_no_config_at_all_is_refused(config: Any) -> None:
    with pytest.raises(ModelError, match="model_cfg"):
        check_config(config)


def test_an_unknown_architecture_is_refused() -> None:
    with pytest.raises(ModelError, match="no architecture"):
        load_tag("open_clip", "ViT-Q-7", "openai")


def test_an_unknown_tag_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ModelError, match="known tags are openai, laion400m_e31"):
        load_tag("open_clip", "ViT-B-32", "no-such-tag")
