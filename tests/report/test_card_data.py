"""The head of a model card, as PyYAML, a reader of YAML 1.2 and huggingface_hub itself read it."""

from typing import Any

import pytest
import yaml
from huggingface_hub import ModelCard, ModelCardData
from hypothesis import given
from hypothesis import strategies as st

from negmerge.formats import strict_yaml
from negmerge.naming import visible
from negmerge.report import pages
from negmerge.spec.figures import Sides
from negmerge.spec.result import MethodRow, Named, ResultDocument
from tests.support import results

pytestmark = pytest.mark.slow


def called(document: ResultDocument, forget: str, retain: str) -> ResultDocument:
    asked = document.asked.model_copy(update={"forget": Named(name=forget), "retain": Named(name=retain)})
    return document.model_copy(update={"asked": asked})


def of_base(document: ResultDocument, **base_model: str) -> ResultDocument:
    spec = type(document.spec).model_validate(results.SPEC | {"base_model": base_model})
    return document.model_copy(update={"spec": spec})


def head(card: str) -> str:
    """The text between the two lines of dashes, which a card begins with."""
    empty, yaml_text, _body = card.split("---\n", 2)
    assert empty == ""
    return yaml_text


def data(document: ResultDocument) -> dict[str, Any]:
    read: dict[str, Any] = yaml.safe_load(head(pages.model_card(document)))
    return read


def test_the_figures_of_both_sides_stand_beside_those_of_the_base_model() -> None:
    [index] = data(results.measured())["model-index"]
    assert index["name"] == "model, after unlearning"
    assert index["results"] == [
        {
            "task": {"type": "zero-shot-image-classification"},
            "dataset": {"type": "digits.zip", "name": "digits.zip", "split": "test"},
            "metrics": [
                {"type": "accuracy", "value": 0.2, "name": "forget accuracy"},
                {"type": "accuracy", "value": 1.0, "name": "forget accuracy, base model"},
                {"type": "accuracy", "value": 0.85, "name": "retain accuracy"},
                {"type": "accuracy", "value": 0.9, "name": "retain accuracy, base model"},
            ],
        }
    ]


def test_two_data_sets_are_two_results() -> None:
    [index] = data(called(results.measured(), "faces", "everything"))["model-index"]
    assert [(one["dataset"]["name"], len(one["metrics"])) for one in index["results"]] == [
        ("faces", 2),
        ("everything", 2),
    ]


def test_a_side_without_samples_has_no_metric_and_no_figures_no_index() -> None:
    document = results.measured()
    kept = {name: MethodRow(test=Sides(retain=row.figure("test", "retain"))) for name, row in document.methods.items()}
    [index] = data(document.model_copy(update={"methods": kept}))["model-index"]
    assert [one["name"] for one in index["results"][0]["metrics"]] == ["retain accuracy", "retain accuracy, base model"]
    none = {"base": MethodRow(), "negmerge": MethodRow()}
    assert "model-index" not in data(document.model_copy(update={"methods": none}))


def test_huggingface_hub_reads_the_card_and_finds_every_figure() -> None:
    card = ModelCard(pages.model_card(results.measured()))
    assert isinstance(card.data, ModelCardData)
    read = card.data.to_dict()  # type: ignore[no-untyped-call]
    assert (read["library_name"], read["pipeline_tag"]) == ("open_clip", "zero-shot-image-classification")
    assert read["tags"] == ["machine-unlearning", "negmerge", "open_clip"]
    assert [(one.metric_name, one.metric_value) for one in card.data.eval_results or []] == [
        ("forget accuracy", 0.2),
        ("forget accuracy, base model", 1.0),
        ("retain accuracy", 0.85),
        ("retain accuracy, base model", 0.9),
    ]
    assert card.text.lstrip().startswith("# Unlearned: the class “three”")


@given(
    st.one_of(st.text(min_size=1), st.sampled_from(["1e3", "012", "yes", "~", "a: b", "a\n---\nb: c", '"', "{}", "#"]))
)
def test_a_data_set_of_any_name_is_that_name_to_every_reader(name: str) -> None:
    card = pages.model_card(called(results.measured(), name, "kept"))
    parsed = ModelCard(card).data
    assert isinstance(parsed, ModelCardData)
    read = parsed.eval_results or []
    assert read[0].dataset_name == visible(name)
    for again in (yaml.safe_load(head(card)), strict_yaml.loads(head(card).encode())):
        assert again["model-index"][0]["results"][0]["dataset"]["name"] == visible(name)


def test_a_licence_is_named_only_where_a_registry_says_it() -> None:
    known = of_base(results.measured(), family="timm", architecture="resnet18", weights="a1_in1k")
    assert data(known)["license"] == "apache-2.0"
    assert "under the licence `apache-2.0`" in pages.model_card(known)
    for unknown in (
        results.measured(),
        of_base(results.measured(), family="timm", weights="mdl_1"),
        of_base(results.measured(), family="open_clip", architecture="ViT-B-32", weights="openai"),
    ):
        assert "license" not in data(unknown)
        assert "none is claimed" in pages.model_card(unknown)


def test_a_licence_that_the_hub_does_not_list_is_another_with_its_name() -> None:
    own = of_base(results.measured(), family="timm", architecture="fastvit_t8", weights="apple_in1k")
    assert {name: data(own)[name] for name in ("license", "license_name")} == {
        "license": "other",
        "license_name": "fastvit-license",
    }


@pytest.mark.parametrize(
    ("family", "architecture", "weights", "repository"),
    [
        ("timm", "resnet18", "a1_in1k", "timm/resnet18.a1_in1k"),
        ("open_clip", "ViT-B-32", "laion2b_s34b_b79k", "laion/CLIP-ViT-B-32-laion2B-s34B-b79K"),
    ],
)
def test_published_weights_are_named_by_their_repository(
    family: str, architecture: str, weights: str, repository: str
) -> None:
    document = of_base(results.measured(), family=family, architecture=architecture, weights=weights)
    assert data(document)["base_model"] == repository


def test_a_base_model_of_a_hub_is_named_by_its_repository_whatever_the_service_calls_it() -> None:
    document = of_base(results.measured(), family="timm", weights="mdl_1")
    asked = document.asked.model_copy(update={"hub": f"google/vit-base-patch16-224@{'a' * 40}"})
    assert data(document.model_copy(update={"asked": asked}))["base_model"] == "google/vit-base-patch16-224"


def test_a_model_of_transformers_says_which_library_loads_it() -> None:
    card = pages.model_card(results.measured(), of_transformers=True)
    read = yaml.safe_load(head(card))
    assert (read["library_name"], read["tags"][-1]) == ("transformers", "transformers")
    assert "`from_pretrained` of transformers loads" in card
    assert "`from_pretrained`" not in pages.model_card(results.measured())


@pytest.mark.parametrize(
    "base_model",
    [
        {"family": "timm", "weights": "/models/resnet"},
        {"family": "timm", "architecture": "resnet18", "weights": "no_such_tag"},
        {"family": "open_clip", "architecture": "ViT-B-32", "weights": "no_such_tag"},
        {"family": "open_clip", "weights": "mdl_1"},
    ],
)
def test_a_model_of_ones_own_has_no_repository(base_model: dict[str, str]) -> None:
    assert "base_model" not in data(of_base(results.measured(), **base_model))
