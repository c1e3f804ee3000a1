"""What a model may do for one image or one prompt, counted before it has memory: attention over pixels, wide places."""

from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from torch import nn

from negmerge.errors import ModelError
from negmerge.models.building import skeleton
from negmerge.models.costs import IMAGE, MAX_STEPS, Limit, check_cost
from negmerge.models.loading import load_model
from tests.support import pico, pico_timm

VIT: dict[str, Any] = {"patch_size": 1, "embed_dim": 8, "depth": 1, "num_heads": 1, "pos_embed": "none"}
BOUNDLESS = Limit(1e30, 0, 1e30, 0, 1e30)


def count(answer: Any, limit: Limit = BOUNDLESS, shape: nn.Module | None = None) -> None:
    check_cost(shape or nn.Identity(), answer, limit, "answer")


@pytest.mark.parametrize("side", [512, 1024])
@pytest.mark.timeout(60)  # what is refused too late takes minutes
def test_attention_of_each_pixel_to_each_is_refused_before_it_is_tried(side: int, tmp_path: Path) -> None:
    config = pico_timm.config("vit_tiny_patch16_224", side, img_size=side, **VIT)
    folder = pico_timm.write_folder(tmp_path / "model", config)
    with pytest.raises(ModelError, match=rf"to look at an image of {side} × .* takes the model more than"):
        load_model(folder)


def test_attention_that_would_fill_the_memory_is_refused(tmp_path: Path) -> None:
    arguments = {"img_size": 400, "patch_size": 2, "embed_dim": 8, "depth": 1, "num_heads": 1}
    folder = pico_timm.write_folder(tmp_path / "model", pico_timm.config("cait_xxs24_224", 400, **arguments))
    with pytest.raises(ModelError, match=r"takes the model more than .*, which no real one of as many weights needs"):
        load_model(folder)


def test_a_wide_vector_for_each_pixel_is_refused(tmp_path: Path) -> None:
    config = pico_timm.config("vit_tiny_patch16_224", 1024, img_size=1024, **VIT | {"embed_dim": 768})
    with pytest.raises(ModelError, match=r"takes the model more than .* GiB of tensors"):
        load_model(pico_timm.write_folder(tmp_path / "model", config))


def test_a_prompt_of_many_heads_is_refused(tmp_path: Path) -> None:
    text = pico.CONFIG["model_cfg"]["text_cfg"] | {"context_length": 1024, "width": 256, "heads": 256}
    folder = pico.write_folder(tmp_path / "model", text_cfg=text)
    with pytest.raises(
        ModelError, match=r"to read 1024 tokens takes the model more than 0\.5 GiB of tensors at a time"
    ):
        load_model(folder)


def test_a_product_counts_two_flops_for_each_pair() -> None:
    square = torch.empty(100, 100, device="meta")
    count(lambda: square @ square, Limit(2e6, 0, 1e30, 0, 1e30))
    with pytest.raises(ModelError, match="more than 2e-06 TFLOP"):
        count(lambda: (square @ square, square @ square[:, :1]), Limit(2e6, 0, 1e30, 0, 1e30))


def test_what_is_written_is_counted_and_views_are_not() -> None:
    ones = torch.empty(1024, device="meta")
    count(lambda: (ones + 1).view(32, 32).T.add_(1), Limit(1, 0, 8192, 0, 1e30))
    with pytest.raises(ModelError, match="GiB of tensors on the way"):
        count(lambda: (ones + 1).view(32, 32).T.add_(1).add_(1), Limit(1, 0, 8192, 0, 1e30))


def test_what_was_let_go_of_is_held_no_more() -> None:
    def chain() -> None:
        value = torch.empty(1024, device="meta")
        for _ in range(100):
            value = value + 1

    count(chain, Limit(1, 0, 1e30, 0, 3 * 4096))


def test_what_is_held_at_a_time_is_counted() -> None:
    with pytest.raises(ModelError, match="GiB of tensors at a time"):
        count(lambda: [torch.empty(1024) for _ in range(4)], Limit(1, 0, 1e30, 0, 3 * 4096))


def test_a_model_may_do_more_the_more_weights_it_has() -> None:
    limit, line = Limit(0, 200, 0, 40, 1e30), nn.Linear(100, 100, device="meta")
    count(lambda: line(torch.empty(100, 100)), limit, line)
    with pytest.raises(ModelError, match="TFLOP"):
        count(lambda: line(torch.empty(102, 100)), limit, line)


def test_a_loop_without_end_is_stopped() -> None:
    def loop() -> None:
        one = torch.empty(1, device="meta")
        for _ in range(2 * MAX_STEPS):
            one.add_(1)

    with pytest.raises(ModelError, match=r"more than 6\.4e\+04 operations"):
        count(loop)


@pytest.mark.parametrize(
    "architecture",
    ["vit_so400m_patch14_siglip_gap_896", "samvit_base_patch16", "efficientnet_l2", "tiny_vit_21m_512", "volo_d5_512"],
)
def test_the_real_models_that_do_most_for_an_image_are_within_the_limit(architecture: str) -> None:
    shape: Any = skeleton(lambda: timm.create_model(architecture))
    check_cost(shape, lambda: shape(torch.empty(1, *shape.pretrained_cfg["input_size"])), IMAGE, "look")
