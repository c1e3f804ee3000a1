"""How far runs agree: a layer weighs its tensors by their elements, and the words follow what had to agree."""

import pytest

from negmerge.spec.consensus import Consensus, layer_of


def test_a_layers_share_is_of_its_elements_and_not_of_its_tensors() -> None:
    told = Consensus(
        share=0.5,
        tensors={"blocks.0.weight": 0.2, "blocks.0.bias": 1.0, "head.weight": 0.7},
        elements={"blocks.0.weight": 90, "blocks.0.bias": 10, "head.weight": 5},
    )
    layers = told.by_layer()
    assert list(layers) == ["blocks.0", "head"]
    assert layers["blocks.0"].share == pytest.approx(0.28)
    assert layers["blocks.0"].tensors == [0.2, 1.0]


def test_of_a_result_of_an_earlier_version_every_tensor_weighs_the_same() -> None:
    told = Consensus.model_validate({"share": 0.5, "tensors": {"a.w": 0.2, "a.b": 1.0}})
    assert told.by_layer()["a"].share == pytest.approx(0.6)


def test_a_layer_of_no_elements_has_a_share_of_none() -> None:
    assert Consensus(share=0.0, tensors={"a.w": 0.0}, elements={"a.w": 0}).by_layer()["a"].share == 0.0


@pytest.mark.parametrize(
    ("needed", "told"),
    [(None, "every run"), (12, "every run"), (9, "at least 9 of 12 runs"), (1, "at least 1 of 12 runs")],
)
def test_the_words_say_how_many_runs_have_to_agree(needed: int | None, told: str) -> None:
    assert Consensus(share=0.5, tensors={}, needed=needed, counts=[0] * 13).agreeing() == told


@pytest.mark.parametrize(
    ("tensor", "layer"),
    [
        ("visual.transformer.resblocks.3.mlp.c_fc.weight", "visual.transformer.resblocks.3"),
        ("layer1.0.conv1.weight", "layer1.0"),
        ("fc.weight", "fc"),
        ("logit_scale", "logit_scale"),
    ],
)
def test_a_layer_ends_with_the_last_number_or_the_last_dot(tensor: str, layer: str) -> None:
    assert layer_of(tensor) == layer
