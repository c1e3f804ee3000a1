"""What the classes of named data sets are called in prompts, and that a job's heads are made of those words."""

from pathlib import Path

import pytest
from open_clip.zero_shot_metadata import IMAGENET_CLASSNAMES, OPENAI_IMAGENET_TEMPLATES

from negmerge.data.published import words
from negmerge.decoding.dataset import open_torchvision
from negmerge.pipeline.local import open_datasets
from negmerge.spec.job import JobSpec, parse
from tests.support.data_trees import opened, tree


@pytest.mark.parametrize(
    ("name", "number", "expected"),
    [
        ("StanfordCars", 0, ["Acura RL Sedan 2012", "Ram C/V Cargo Van Minivan 2012"]),
        ("DTD", 0, ["banded", "polka-dotted"]),
        ("EuroSAT", 0, ["forest", "lake or sea"]),
        ("GTSRB", 0, ["red and white circle 20 kph speed limit", "stop"]),
        ("RESISC45", 0, ["airplane", "sea ice"]),
        ("SUN397", 0, ["abbey", "apse indoor"]),
        ("SUN397", 1, ["abbey", "apse indoor"]),
        ("ImageNet", 0, ["tench", "missile"]),
        ("CIFAR100", 0, ["apple", "aquarium fish", "baby"]),
        ("CUB200", 0, ["Black footed Albatross", "Laysan Albatross"]),
        ("TinyImageNet", 0, ["goldfish", "European fire salamander"]),
    ],
)
def test_classes_are_called_as_published(name: str, number: int, expected: list[str], tmp_path: Path) -> None:
    assert opened(tmp_path, name, number).class_words == expected


@pytest.mark.parametrize("name", ["MNIST", "SVHN"])
def test_digits_are_called_by_their_figures(name: str, tmp_path: Path) -> None:
    dataset = opened(tmp_path, name)
    called = dict(zip(dataset.index.classes, dataset.class_words, strict=True))
    assert [called[digit] for digit in ("zero", "one", "nine")] == ["0", "1", "9"]


@pytest.mark.parametrize(
    ("name", "count"),
    # as the released CLIP code has them; the last three have no published head
    [
        ("StanfordCars", 8),
        ("DTD", 8),
        ("EuroSAT", 3),
        ("GTSRB", 3),
        ("MNIST", 1),
        ("RESISC45", 18),
        ("SUN397", 2),
        ("SVHN", 1),
        ("ImageNet", 80),
        ("FashionMNIST", 1),
        ("CUB200", 1),
        ("TinyImageNet", 1),
    ],
)
def test_each_set_has_as_many_templates_as_published(name: str, count: int) -> None:
    found = words.templates(name)
    assert (len(found), len(set(found))) == (count, count)
    assert all(template.count("{}") == 1 for template in found)


def test_imagenets_words_and_templates_are_those_of_open_clip() -> None:
    wnids = sorted(words._document("imagenet"))
    assert [words.words("ImageNet", wnid) for wnid in wnids] == list(IMAGENET_CLASSNAMES)
    assert [template("{}") for template in OPENAI_IMAGENET_TEMPLATES] == list(words.templates("ImageNet"))


def test_the_43_signs_and_10_kinds_of_land_have_words() -> None:
    assert [len(words._document("words")[name]) for name in ("GTSRB", "EuroSAT")] == [43, 10]


def test_words_and_templates_that_are_given_take_the_place_of_the_published_ones(tmp_path: Path) -> None:
    tree(tmp_path, "EuroSAT")
    dataset = open_torchvision("EuroSAT", tmp_path, {"Forest": "trees"}, ["seen from above: {}"])
    assert dataset.class_words == ["trees", "lake or sea"]
    assert dataset.templates == ["seen from above: {}"]


# In a job


def job(root: Path) -> JobSpec:
    """Forget EuroSAT beside DTD as control set, both of which lie below one root."""
    return parse(
        {
            "base_model": {"family": "open_clip", "weights": "somewhere"},
            "forget": {"torchvision": "EuroSAT", "root": str(root)},
            "retain": {"torchvision": "DTD", "root": str(root)},
            "sweep": {"preset": "clip-finetune-eurosat"},
        }
    )


def test_each_side_of_a_job_has_its_published_words_and_templates(tmp_path: Path) -> None:
    tree(tmp_path, "EuroSAT")
    tree(tmp_path, "DTD")
    forget, retain = open_datasets(job(tmp_path))
    assert (forget.class_words, len(forget.templates)) == (["forest", "lake or sea"], 3)
    assert (retain.class_words, len(retain.templates)) == (["banded", "polka-dotted"], 8)


def test_given_words_change_the_classes_that_they_name_and_no_other(tmp_path: Path) -> None:
    tree(tmp_path, "EuroSAT")
    tree(tmp_path, "DTD")
    forget, retain = open_datasets(job(tmp_path), {"Forest": "trees"}, ["{}, from above"])
    assert (forget.class_words, retain.class_words) == (["trees", "lake or sea"], ["banded", "polka-dotted"])
    assert forget.templates == retain.templates == ["{}, from above"]
