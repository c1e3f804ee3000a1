"""Models as ONNX: what onnxruntime answers beside what each model's own library does."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import open_clip
import pytest
import timm
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from sklearn.datasets import load_sample_images
from torch import Tensor
from torch.nn import functional

from negmerge.checkpoints.files import file_digest
from negmerge.models.loading import load_model
from negmerge.publishing import onnx_file
from tests.support import pico, pico_timm, results, transformers_folders
from tests.support.command_line import Command, Done, assert_refused

pytestmark = pytest.mark.slow

WORDS = {"3": "three", "1": "one", "4": "four"}


@dataclass
class Written:
    """The file that a command left, and what it printed."""

    file: Path
    done: Done

    def answers(self, images: Tensor) -> Tensor:
        session = onnxruntime.InferenceSession(self.file, providers=["CPUExecutionProvider"])
        [outputs] = session.run(None, {"images": images.numpy()})
        return torch.from_numpy(outputs)

    def metadata(self) -> dict[str, str]:
        return {entry.key: entry.value for entry in onnx.load(self.file).metadata_props}


Export = Callable[..., Written]


@pytest.fixture
def export(negmerge: Command, tmp_path: Path) -> Export:
    def run(folder: Path, *arguments: object) -> Written:
        done = negmerge("export", folder, "--onnx", tmp_path / "out.onnx", *arguments)
        assert done.returncode == 0, done.stderr
        return Written(tmp_path / "out.onnx", done)

    return run


def digits() -> Tensor:
    """150 digits, as the pico models' libraries normalise them."""
    images, _ = pico.image_tensor()
    return images.float().div(127.5).sub(1)


def as_json(path: Path, value: Any) -> Path:
    path.write_text(json.dumps(value))
    return path


def assert_alike(found: Tensor, expected: Tensor) -> None:
    assert found.shape == expected.shape
    assert float((found - expected).abs().max()) <= onnx_file.TOLERANCE * float(expected.abs().max())


def test_an_image_tower_gives_the_features_that_open_clip_gives(export: Export, tmp_path: Path) -> None:
    written = export(pico.make_model(tmp_path / "clip"))
    model = open_clip.create_model(f"local-dir:{tmp_path / 'clip'}").eval()
    with torch.no_grad():
        assert_alike(written.answers(digits()), model.encode_image(digits()))
    assert written.metadata()["output"] == "features"
    assert written.done.stdout.startswith("16 features an image")


def test_a_zero_shot_classifier_has_the_head_of_its_classes_in_it(export: Export, tmp_path: Path) -> None:
    folder = pico.make_model(tmp_path / "clip")
    names = as_json(tmp_path / "words.json", WORDS)
    prompts = ["the digit {}.", "a {}"]
    written = export(folder, "--class-names", names, "--templates", as_json(tmp_path / "templates.json", prompts))

    model = open_clip.create_model(f"local-dir:{folder}").eval()
    with torch.no_grad():
        head = []
        for word in WORDS.values():
            tokens = open_clip.tokenize([prompt.format(word) for prompt in prompts], context_length=16)
            head.append(functional.normalize(model.encode_text(tokens, normalize=True).mean(0), dim=0))
        expected = model.logit_scale.exp() * model.encode_image(digits(), normalize=True) @ torch.stack(head).T
    assert_alike(written.answers(digits()), expected)
    assert {name: json.loads(written.metadata()[name]) for name in ("classes", "words", "templates")} == {
        "classes": ["3", "1", "4"],
        "words": ["three", "one", "four"],
        "templates": prompts,
    }


def test_a_jobs_spec_names_the_classes_too(export: Export, tmp_path: Path) -> None:
    archive = str(pico.make_archive(tmp_path / "digits.zip", per_class=3))
    forget = {"uri": archive, "select": {"classes": ["three"]}}
    spec = as_json(tmp_path / "job.json", results.SPEC | {"forget": forget, "retain": {"uri": archive}})
    written = export(pico.make_model(tmp_path / "clip"), "--spec", spec, "--json")
    told = json.loads(written.done.stdout)
    assert (told["output"], told["digest"]) == ("logits", file_digest(written.file))
    assert json.loads(written.metadata()["classes"]) == sorted(pico.CLASS_WORDS)
    assert json.loads(written.metadata()["templates"]) == ["a photo of a {}."]


@pytest.mark.parametrize("name", ["resnet18", "vit"])
def test_a_classifier_gives_the_logits_that_timm_gives(export: Export, tmp_path: Path, name: str) -> None:
    folder = pico_timm.write_folder(tmp_path / name, pico_timm.CONFIGS[name])
    written = export(folder)
    model = timm.create_model(f"local-dir:{folder}", pretrained=True).eval()
    with torch.no_grad():
        expected = model(digits())
    assert_alike(written.answers(digits()), expected)
    assert_alike(written.answers(digits()[:1]), expected[:1])


def test_a_folder_of_transformers_gives_the_logits_that_transformers_gives(export: Export, tmp_path: Path) -> None:
    model = transformers_folders.vit()
    written = export(transformers_folders.save(model, tmp_path / "vit"))
    assert written.done.stdout.splitlines()[0].endswith("from torch's, of at most 1e-04")
    pixels = torch.rand((3, 3, 16, 16), generator=torch.Generator().manual_seed(0)) * 2 - 1
    with torch.no_grad():
        assert_alike(written.answers(pixels), model(pixel_values=pixels).logits)


def test_the_metadata_say_how_an_image_is_prepared_and_whose_weights_these_are(export: Export, tmp_path: Path) -> None:
    written = export(pico_timm.make_model(tmp_path / "resnet"))
    told = written.metadata()
    assert {name: json.loads(told[name]) for name in ("size", "mean", "std", "crop_pct", "classes")} == {
        "size": 16,
        "mean": [0.5, 0.5, 0.5],
        "std": [0.5, 0.5, 0.5],
        "crop_pct": 1.0,
        "classes": pico_timm.CLASSES,
    }
    assert (told["interpolation"], told["crop_mode"]) == ("bilinear", "center")
    assert told["weights"].startswith("sha256:")


def test_the_file_keeps_onnxs_rules_and_takes_any_number_of_images(export: Export, tmp_path: Path) -> None:
    written = export(pico.make_model(tmp_path / "clip"), "--opset", 20)
    model = onnx.load(written.file)
    onnx.checker.check_model(model, full_check=True)
    assert [one.version for one in model.opset_import if one.domain == ""] == [20]
    [images] = model.graph.input
    batch, *rest = images.type.tensor_type.shape.dim
    assert batch.dim_param == "batch"
    assert [one.dim_value for one in rest] == [3, 16, 16]


def test_weights_of_another_type_are_written_as_float32(export: Export, tmp_path: Path) -> None:
    folder = pico.make_model(tmp_path / "half")
    file = folder / "open_clip_model.safetensors"
    halves = {name: tensor.half() if tensor.is_floating_point() else tensor for name, tensor in load_file(file).items()}
    save_file(halves, file)
    written = export(folder)
    assert {one.data_type for one in onnx.load(written.file).graph.initializer} <= {
        onnx.TensorProto.FLOAT,
        onnx.TensorProto.INT64,
    }


def test_a_file_that_answers_otherwise_than_torch_is_not_left(
    negmerge: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No difference at all is asked for, which two orders of addition do not give."""
    monkeypatch.setattr(onnx_file, "TOLERANCE", -1.0)
    out = tmp_path / "out.onnx"
    done = negmerge("export", pico.make_model(tmp_path / "clip"), "--onnx", out)
    assert_refused(done, "of the largest from torch's", "none is written")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["clip"]


def test_weights_beyond_one_file_are_refused_before_they_are_written(
    negmerge: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(onnx_file, "MAX_BYTES", 1000)
    done = negmerge("export", pico.make_model(tmp_path / "clip"), "--onnx", tmp_path / "out.onnx")
    assert_refused(done, "bytes of weights, more than the 1000 of one ONNX file")
    assert not (tmp_path / "out.onnx").exists()


def test_a_classifier_takes_no_class_names(negmerge: Command, tmp_path: Path) -> None:
    folder = pico_timm.write_folder(tmp_path / "vit", pico_timm.CONFIGS["vit"])
    names = as_json(tmp_path / "words.json", WORDS)
    done = negmerge("export", folder, "--onnx", tmp_path / "out.onnx", "--class-names", names)
    assert_refused(done, "a head of its own")


def test_two_data_sets_of_other_classes_name_none(negmerge: Command, tmp_path: Path) -> None:
    one = str(pico.make_archive(tmp_path / "one.zip", ["one", "two"], per_class=3))
    other = str(pico.make_archive(tmp_path / "other.zip", ["one", "three"], per_class=3))
    spec = as_json(tmp_path / "job.json", results.SPEC | {"forget": {"uri": one}, "retain": {"uri": other}})
    done = negmerge("export", pico.make_model(tmp_path / "clip"), "--onnx", tmp_path / "out.onnx", "--spec", spec)
    assert_refused(done, "'three' is in one of the job's two data sets alone")


def test_templates_without_classes_are_refused(negmerge: Command, tmp_path: Path) -> None:
    prompts = as_json(tmp_path / "templates.json", ["a {}"])
    done = negmerge("export", tmp_path, "--onnx", tmp_path / "out.onnx", "--templates", prompts)
    assert_refused(done, "give --class-names or --spec too")


def test_the_model_of_a_linearised_job_is_not_written(negmerge: Command, tmp_path: Path) -> None:
    folder = pico.make_model(tmp_path / "job" / "unlearned").parent
    document = results.document().as_json()
    document["spec"]["base_model"]["linearised"] = True
    document["digests"]["unlearned"] = file_digest(folder / "unlearned" / "open_clip_model.safetensors")
    as_json(folder / "result.json", document)
    assert_refused(negmerge("export", folder, "--onnx", tmp_path / "out.onnx"), "linearised")


def test_photographs_are_what_the_models_own_library_makes_of_them(tmp_path: Path) -> None:
    network = load_model(pico.make_model(tmp_path / "clip"))
    _, _, prepare = open_clip.create_model_and_transforms(f"local-dir:{tmp_path / 'clip'}")
    china = Image.fromarray(np.asarray(load_sample_images().images[0]))
    assert torch.allclose(onnx_file.photographs(network)[0], prepare(china), atol=1e-6)
