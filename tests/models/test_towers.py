"""SigLIPs and CoCas, in and out: what open_clip makes of the same folder, and a whole job with each."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import open_clip
import pytest
import torch

from negmerge.errors import ModelError
from negmerge.models.convert import convert
from negmerge.models.linearised import LinearisedModel
from negmerge.models.loading import load_zero_shot
from tests.support import local_job, towers

pytestmark = pytest.mark.slow

CLASSES = ["one", "two", "dog"]
TEMPLATES = ["a photo of {}.", "A picture: {}!"]
WRITERS = {"siglip": towers.write_siglip, "coca": towers.write_coca}


@pytest.fixture(scope="module", params=list(WRITERS))
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    write: Callable[[Path], Path] = WRITERS[request.param]
    return write(tmp_path_factory.mktemp("towers") / request.param)


def logits_of_open_clip(folder: Path, images: torch.Tensor) -> torch.Tensor:
    """By open_clip alone: its model, its transform, its tokenizer; the mean over prompts as CLIP has it."""
    model, _, transform = open_clip.create_model_and_transforms(f"local-dir:{folder}")
    model.eval()
    tokenizer = open_clip.get_tokenizer(f"local-dir:{folder}")
    pixels = torch.stack([transform.transforms[-1](image.float() / 255) for image in images])
    with torch.no_grad():
        prompts = [[template.replace("{}", name) for template in TEMPLATES] for name in CLASSES]
        texts = [model.encode_text(tokenizer(of_class), normalize=True).mean(dim=0) for of_class in prompts]
        head = torch.nn.functional.normalize(torch.stack(texts), dim=-1)
        found: torch.Tensor = model.logit_scale.exp() * model.encode_image(pixels, normalize=True) @ head.T
    return found


def noise(side: int) -> torch.Tensor:
    return torch.randint(0, 256, (3, 3, side, side), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))


def test_logits_are_those_of_open_clip(folder: Path) -> None:
    model = load_zero_shot(folder)
    images = noise(model.preprocess.size)
    with torch.no_grad():
        found = model.logits(images, model.head(CLASSES, TEMPLATES))
    torch.testing.assert_close(found, logits_of_open_clip(folder, images), atol=1e-4, rtol=1e-4)


@pytest.mark.parametrize(("text", "decoder"), [(15, 12), (20, 15), (12, 15)])
def test_a_cocas_prompts_are_as_long_as_its_text_tower_reads(text: int, decoder: int, tmp_path: Path) -> None:
    changed = {
        name: towers.COCA[name] | {"context_length": n} for name, n in (("text_cfg", text), ("multimodal_cfg", decoder))
    }
    model = load_zero_shot(folder := towers.write_coca(tmp_path / "coca", **changed))
    images = noise(model.preprocess.size)
    with torch.no_grad():
        found = model.logits(images, model.head(CLASSES, TEMPLATES))
    torch.testing.assert_close(found, logits_of_open_clip(folder, images), atol=1e-4, rtol=1e-4)


def test_a_linearised_one_is_itself_at_its_own_weights(folder: Path) -> None:
    plain = load_zero_shot(folder)
    linear = LinearisedModel(plain.module, plain.config, plain.original, "cpu", plain.beside)
    images, head = noise(plain.preprocess.size), plain.head(CLASSES, TEMPLATES)
    with torch.no_grad():
        torch.testing.assert_close(linear.logits(images, head), plain.logits(images, head), atol=1e-4, rtol=1e-4)


def test_what_is_saved_is_the_whole_folder(folder: Path, tmp_path: Path) -> None:
    model = load_zero_shot(folder)
    model.save(model.original, tmp_path / "out")
    assert {path.name for path in (tmp_path / "out").iterdir()} == {path.name for path in folder.iterdir()}
    images = noise(model.preprocess.size)
    torch.testing.assert_close(logits_of_open_clip(tmp_path / "out", images), logits_of_open_clip(folder, images))


def test_convert_brings_the_tokenizer_along(tmp_path: Path) -> None:
    folder = towers.write_siglip(tmp_path / "siglip")
    torch.save(load_zero_shot(folder).original, tmp_path / "checkpoint.pt")
    convert(tmp_path / "checkpoint.pt", folder / "open_clip_config.json", tmp_path / "out")
    assert (tmp_path / "out" / "tokenizer.json").read_bytes() == (folder / "tokenizer.json").read_bytes()
    assert load_zero_shot(tmp_path / "out").head(CLASSES, TEMPLATES).shape == (3, 64)


def test_a_siglip_without_its_tokenizer_asks_for_it(tmp_path: Path) -> None:
    folder = towers.write_siglip(tmp_path / "siglip")
    (folder / "tokenizer.json").unlink()
    with pytest.raises(ModelError, match=r"timm/ViT-B-16-SigLIP, which is never fetched: put its tokenizer\.json"):
        load_zero_shot(folder)


def test_a_tokenizer_with_more_words_than_the_text_tower_is_told_at_load(tmp_path: Path) -> None:
    text = towers.SIGLIP["text_cfg"] | {"vocab_size": 2}
    with pytest.raises(ModelError, match="its text tower has 2 words"):
        load_zero_shot(towers.write_siglip(tmp_path / "siglip", text_cfg=text))


def test_a_tokenizer_to_which_all_words_are_one_is_refused(tmp_path: Path) -> None:
    folder = towers.write_siglip(tmp_path / "siglip")
    learned = json.loads((folder / "tokenizer.json").read_text())
    learned["normalizer"] = {"type": "Replace", "pattern": {"Regex": ".+"}, "content": "cat"}
    (folder / "tokenizer.json").write_text(json.dumps(learned))
    with pytest.raises(ModelError, match=r"the same head, .* and at the tokenizer"):
        load_zero_shot(folder)


@pytest.mark.parametrize("kind", list(WRITERS))
def test_a_job_unlearns_with_it(kind: str, tmp_path: Path) -> None:
    """From random weights nothing is known, so the claim is that the job ends and its weights are a whole folder."""
    base = WRITERS[kind](tmp_path / kind)
    sweep: dict[str, Any] = {
        "points": [{"learning_rate": rate, "epochs": 1, "batch_size": 64} for rate in (1e-4, 2e-4)]
    }
    document = {"base_model": {"family": "open_clip", "weights": str(base)}, "sweep": sweep}
    result = local_job.run(tmp_path, **document)
    assert result["digests"]["base"].startswith("sha256:")
    assert {path.name for path in (tmp_path / "out" / "unlearned").iterdir()} == {path.name for path in base.iterdir()}
    load_zero_shot(tmp_path / "out" / "unlearned")


def config(base: dict[str, Any], **towers_of: Any) -> str:
    return json.dumps({"model_cfg": base | {name: base.get(name, {}) | more for name, more in towers_of.items()}})


@pytest.mark.parametrize(
    ("base", "changes", "told"),
    [
        (towers.COCA, {"text_cfg": {"output_tokens": False}}, "text_cfg.output_tokens must be true in a CoCa"),
        (towers.COCA, {"multimodal_cfg": {"width": 0}}, "multimodal_cfg.width must be a whole number from 1"),
        (towers.COCA, {"multimodal_cfg": {"context_length": 75_000}}, "multimodal_cfg.context_length must be"),
        (towers.COCA, {"multimodal_cfg": {"layers": 10_000}}, "multimodal_cfg.layers must be"),
        (towers.COCA | {"custom_text": False}, {}, '"multimodal_cfg" must be an object, beside "custom_text"'),
        (towers.SIGLIP, {"text_cfg": {"output_tokens": True}}, "text_cfg.output_tokens is not served: but in a CoCa"),
        (towers.SIGLIP, {"text_cfg": {"hf_tokenizer_name": 7}}, "must be a text of at most 200 characters"),
        (towers.SIGLIP, {"text_cfg": {"tokenizer_mode": "clips"}}, "text_cfg.tokenizer_mode is not served"),
        (towers.SIGLIP, {"text_cfg": {"tokenizer_kwargs": {"clean": "wash"}}}, "clean must be one of lower, "),
        (
            towers.SIGLIP,
            {"text_cfg": {"tokenizer_kwargs": {"trust_remote_code": True}}},
            "tokenizer_kwargs.trust_remote_code is not served: only clean, strip_sep_token",
        ),
        (towers.SIGLIP, {"text_cfg": {"tokenizer_kwargs": {"strip_sep_token": 1}}}, "must be true or false"),
        (towers.SIGLIP, {"text_cfg": {"norm_kwargs": {"eps": 1e300}}}, "norm_kwargs.eps must be a number above 0"),
        (towers.SIGLIP, {"text_cfg": {"norm_kwargs": {"bias": False}}}, "norm_kwargs may have eps alone"),
        (towers.SIGLIP, {"text_cfg": {"act_kwargs": {"approximate": "sin"}}}, "approximate alone, one of none, tanh"),
        (towers.SIGLIP, {"text_cfg": {"pad_id": -1}}, "text_cfg.pad_id must be the number of a word"),
    ],
)
def test_a_config_of_either_is_judged_as_others_are(
    base: dict[str, Any], changes: dict[str, Any], told: str, tmp_path: Path
) -> None:
    (tmp_path / "open_clip_config.json").write_text(config(base, **changes))
    with pytest.raises(ModelError) as caught:
        load_zero_shot(tmp_path)
    assert told in str(caught.value)


def test_files_of_a_tokenizer_that_no_config_asks_for_stay_behind(tmp_path: Path) -> None:
    folder = towers.write_coca(tmp_path / "coca")
    shutil.copy(towers.write_siglip(tmp_path / "siglip") / "tokenizer.json", folder)
    model = load_zero_shot(folder)
    assert model.beside == {}
