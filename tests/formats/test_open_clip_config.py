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
