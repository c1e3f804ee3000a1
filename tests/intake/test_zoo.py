"""The names in zoo.json against open_clip and timm themselves."""

import open_clip
import pytest
import timm

from app.intake import zoo
from negmerge.errors import ModelError
from negmerge.formats.timm_config import ARGUMENTS_FILE, CIFAR_RESNETS
from negmerge.spec.auto import CLIP_PARAMETERS
from tooling.zoo import arguments_text, parameters_of, text, with_weights


def test_the_list_is_of_the_libraries_that_are_installed() -> None:
    assert zoo.FILE.read_text() == text(zoo.tower_parameters()), f"{zoo.FILE.name} is old: run `make zoo`"


def test_the_arguments_are_those_of_the_timm_that_is_installed() -> None:
    assert ARGUMENTS_FILE.read_text() == arguments_text(), f"{ARGUMENTS_FILE.name} is old: run `make zoo`"


def test_every_architecture_that_can_be_had_by_its_tag_has_a_size() -> None:
    assert list(zoo.tower_parameters()) == with_weights()


@pytest.mark.parametrize("architecture", ["RN50", "ViT-B-32", "MobileCLIP-S1", "ViT-B-16-SigLIP"])
def test_a_towers_size_is_open_clips_own(architecture: str) -> None:
    """All of them take a minute; these are one of each kind of tower."""
    assert zoo.tower_parameters()[architecture] == parameters_of(architecture)


def test_the_published_rate_is_of_the_tower_that_it_was_published_for() -> None:
    assert zoo.tower_parameters()["ViT-B-32"] == CLIP_PARAMETERS


def test_tags_and_architectures_are_open_clips_own() -> None:
    ours = {(architecture, tag) for architecture, tags in zoo.tags().items() for tag in tags}
    assert ours == set(open_clip.list_pretrained())
    assert zoo.architectures() == set(open_clip.list_models())


def test_classifiers_are_timms_own() -> None:
    assert set(timm.list_models()) <= zoo.classifiers()
    assert {name for name in zoo.classifiers() if not timm.is_model(name)} == set(CIFAR_RESNETS)


def test_an_older_name_that_timm_still_takes_is_a_classifier() -> None:
    assert "tv_resnet34" not in timm.list_models()
    zoo.check_architecture("timm", "tv_resnet34")


def test_a_name_that_is_nearly_one_is_told_which() -> None:
    with pytest.raises(ModelError, match=r"did you mean .*resnet18"):
        zoo.check_architecture("timm", "resnet1800")


def test_tags_of_classifiers_are_timms_own() -> None:
    ours = {f"{architecture}.{tag}" for architecture, tags in zoo.classifier_tags().items() for tag in tags}
    assert ours == {name for name in timm.list_pretrained() if "." in name}


@pytest.mark.parametrize(
    ("family", "architecture", "tag"), [("timm", "resnet18", "a9_in1k"), ("open_clip", "ViT-B-32", "openei")]
)
def test_a_tag_that_cannot_be_had_is_told_at_once_with_those_that_can(family: str, architecture: str, tag: str) -> None:
    with pytest.raises(ModelError, match=rf"{architecture} has no published weights '{tag}'; known are \w+"):
        zoo.check_tag(family, architecture, tag)


def test_tags_that_can_be_had_are_taken() -> None:
    zoo.check_tag("timm", "resnet18", "a1_in1k")
    zoo.check_tag("open_clip", "ViT-B-32", "openai")


def test_an_architecture_that_no_job_can_use_is_told_at_once() -> None:
    with pytest.raises(ModelError, match=r"^roberta-ViT-B-32 cannot be used: .* a text tower of transformers"):
        zoo.check_architecture("open_clip", "roberta-ViT-B-32")


@pytest.mark.parametrize("architecture", ["ViT-B-16-SigLIP", "ViT-B-16-SigLIP2", "coca_ViT-B-32", "ViT-H-14-CLIPA"])
def test_siglips_and_cocas_can_be_used(architecture: str) -> None:
    zoo.check_architecture("open_clip", architecture)
