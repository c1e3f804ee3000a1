"""open_clip's config: what of it is refused before anything is built."""

from typing import Any

import pytest

from negmerge.errors import ModelError
from negmerge.formats.open_clip_config import check_config


def config(**text: Any) -> dict[str, Any]:
    vision = {"image_size": 32, "layers": 1, "width": 8, "patch_size": 8}
    return {"model_cfg": {"embed_dim": 8, "vision_cfg": vision, "text_cfg": {"layers": 1, "width": 8} | text}}


@pytest.mark.parametrize("length", [8, 77, 248, 1024])
def test_a_context_as_real_models_have_it_is_taken(length: int) -> None:
    check_config(config(context_length=length))


@pytest.mark.parametrize("length", [-1, 0, 1, 7, 1025, 12_000, 75_000, 10**300, True, 77.0, "77", [77]], ids=repr)
def test_a_context_whose_mask_no_machine_holds_or_no_prompt_fits_is_refused(length: Any) -> None:
    with pytest.raises(ModelError, match=r"^text_cfg\.context_length must be a whole number from 8 to 1024$"):
        check_config(config(context_length=length))


@pytest.mark.parametrize(
    ("tower", "key", "value"),
    [
        ("vision_cfg", "width", 10**6),
        ("vision_cfg", "image_size", 4096),
        ("vision_cfg", "image_size", [224, 0]),
        ("vision_cfg", "image_size", []),
        ("vision_cfg", "image_size", [32]),
        ("vision_cfg", "image_size", [32, 32, 32]),
        ("vision_cfg", "layers", []),
        ("vision_cfg", "layers", [1, 1]),
        ("vision_cfg", "patch_size", 0),
        ("vision_cfg", "mlp_ratio", 1e300),
        ("vision_cfg", "mlp_ratio", 0.0),
        ("vision_cfg", "mlp_ratio", True),
        ("vision_cfg", "patch_dropout", 1.0),
        ("vision_cfg", "ls_init_value", 1e300),
        ("vision_cfg", "layers", 10**6),
        ("vision_cfg", "timm_drop", -0.5),
        ("text_cfg", "width", "wide"),
        ("text_cfg", "heads", 0),
        ("text_cfg", "mlp_ratio", 1e300),
        ("text_cfg", "vocab_size", 10**9),
        ("text_cfg", "vocab_size", 3),
    ],
)
def test_a_size_that_no_real_tower_has_is_refused_by_its_name(tower: str, key: str, value: Any) -> None:
    document = config()
    document["model_cfg"][tower] |= {key: value}
    with pytest.raises(ModelError, match=rf"^{tower}\.{key} must be"):
        check_config(document)


@pytest.mark.parametrize("dimension", [None, 0, 1, 10**6, "wide", True])
def test_an_embedding_that_no_real_model_has_is_refused(dimension: Any) -> None:
    document = config()
    document["model_cfg"]["embed_dim"] = dimension
    with pytest.raises(ModelError, match="embed_dim"):
        check_config(document)


def sines(**vision: Any) -> dict[str, Any]:
    document = config()
    document["model_cfg"]["vision_cfg"] |= {"pos_embed_type": "sin_cos_2d"} | vision
    return document


def test_sines_of_more_places_than_a_real_tower_has_are_refused() -> None:
    with pytest.raises(
        ModelError, match=r"^vision_cfg asks for sines of 65536 places in 4096 channels, at most 8388608"
    ):
        check_config(sines(image_size=1024, patch_size=4, width=4096))


def test_sines_as_real_towers_have_them_are_taken() -> None:
    check_config(sines(image_size=[378, 384], patch_size=14, width=1664))


def test_null_leaves_a_part_out_as_open_clip_means_it() -> None:
    document = config()
    document["model_cfg"] |= {"multimodal_cfg": None}
    document["model_cfg"]["vision_cfg"] |= {"timm_model_name": None}
    check_config(document)
