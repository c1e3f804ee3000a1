"""What a reference means: each text is one kind, told apart in one place."""

import pytest

from negmerge.spec.references import DatasetRef
from negmerge.spec.sources import (
    DatasetSource,
    DatasetUri,
    ModelSource,
    PublishedDataset,
    RegisteredDataset,
    RegisteredModel,
    RegistryTag,
    StoredSource,
    WeightsPath,
    WeightsUri,
    model_source,
    stored_source,
)


@pytest.mark.parametrize(
    ("weights", "source"),
    [
        ("mdl_0006447d79f3", RegisteredModel("mdl_0006447d79f3")),
        ("mdl_://x", RegisteredModel("mdl_://x")),
        ("https://example.org/m.zip", WeightsUri("https://example.org/m.zip")),
        ("file:///models/m", WeightsUri("file:///models/m")),
        ("/models/m", WeightsPath("/models/m")),
        ("file:/models/m", WeightsPath("file:/models/m")),
        ("file:m", WeightsPath("file:m")),
        ("openai", RegistryTag("openai")),
        ("models/m", RegistryTag("models/m")),
        ("./mdl_1", RegistryTag("./mdl_1")),
    ],
)
def test_a_specs_weights_are_of_one_kind(weights: str, source: ModelSource) -> None:
    assert model_source(weights) == source


@pytest.mark.parametrize(
    ("text", "source"),
    [
        ("https://example.org/m.zip", WeightsUri("https://example.org/m.zip")),
        ("/models/m", WeightsPath("/models/m")),
        ("openai", RegistryTag("openai")),
        ("file:m", RegistryTag("file:m")),
        ("mdl_1", RegistryTag("mdl_1")),
    ],
)
def test_a_row_names_a_uri_a_path_or_a_tag_and_never_another_row(text: str, source: StoredSource) -> None:
    assert stored_source(text) == source


@pytest.mark.parametrize(
    ("ref", "source"),
    [
        (DatasetRef(dataset="ds_1"), RegisteredDataset("ds_1")),
        (DatasetRef(uri="ds_1"), DatasetUri("ds_1")),
        (DatasetRef(torchvision="MNIST", root="/data"), PublishedDataset("MNIST", "/data")),
    ],
)
def test_a_data_sets_reference_is_of_one_kind(ref: DatasetRef, source: DatasetSource) -> None:
    assert ref.source == source
