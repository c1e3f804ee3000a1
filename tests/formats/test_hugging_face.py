"""Configs of transformers: what open_clip and timm call the same, and what is refused because they would differ."""

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from negmerge.errors import ModelError
from negmerge.formats.families import family_of
from negmerge.formats.hugging_face.config import check_config, library_config, outputs_config
from negmerge.formats.hugging_face.images import for_open_clip, for_timm

PIXELS: dict[str, Any] = {"image_mean": [0.5] * 3, "image_std": [0.5] * 3, "resample": 2}
SQUASHED = PIXELS | {"size": {"height": 224, "width": 224}}
CUT = PIXELS | {"size": {"shortest_edge": 256}, "do_center_crop": True, "crop_size": {"height": 224, "width": 224}}
CLIP: dict[str, Any] = {"architectures": ["CLIPModel"], "model_type": "clip"}
SIGLIP: dict[str, Any] = {"architectures": ["SiglipModel"], "model_type": "siglip"}
VIT: dict[str, Any] = {"architectures": ["ViTForImageClassification"], "model_type": "vit", "num_labels": 3}
RESNET: dict[str, Any] = {"architectures": ["ResNetForImageClassification"], "model_type": "resnet", "num_labels": 3}
SWIN: dict[str, Any] = {"architectures": ["SwinForImageClassification"], "model_type": "swin", "num_labels": 3}


@pytest.mark.parametrize(
    ("config", "family"),
    [(CLIP, "open_clip"), (SIGLIP, "open_clip"), (VIT, "timm"), (RESNET, "timm"), (SWIN, "timm")],
    ids=["clip", "siglip", "vit", "resnet", "swin"],
)
def test_a_config_that_leaves_all_to_transformers_is_one_of_a_family(config: dict[str, Any], family: str) -> None:
    assert family_of(config).name == family


def test_what_a_config_leaves_out_is_what_transformers_takes() -> None:
    """openai/clip-vit-base-patch32, as open_clip has it."""
    found = library_config(CLIP, {"preprocessor_config.json": SQUASHED}, False)["model_cfg"]
    assert (found["embed_dim"], found["quick_gelu"]) == (512, True)
    assert {key: found["vision_cfg"][key] for key in ("width", "layers", "head_width", "patch_size", "image_size")} == {
        "width": 768,
        "layers": 12,
        "head_width": 64,
        "patch_size": 32,
        "image_size": 224,
    }
    assert {key: found["text_cfg"][key] for key in ("width", "heads", "context_length", "vocab_size")} == {
        "width": 512,
        "heads": 8,
        "context_length": 77,
        "vocab_size": 49408,
    }


def test_what_old_configs_say_twice_holds_as_in_transformers() -> None:
    twice = {"vision_config": {"patch_size": 32}, "vision_config_dict": {"patch_size": 14, "hidden_size": 384}}
    vision = library_config(CLIP | twice, {"preprocessor_config.json": SQUASHED}, False)["model_cfg"]["vision_cfg"]
    assert (vision["patch_size"], vision["width"]) == (14, 384)


@pytest.mark.parametrize(
    ("config", "word"),
    [
        ({"model_type": "bert"}, "'bert' of Hugging Face transformers, of which CLIPModel, SiglipModel"),
        (CLIP | {"architectures": ["CLIPVisionModel"]}, "'CLIPVisionModel' of Hugging Face transformers"),
        ({"model_type": ["clip"]}, "of Hugging Face transformers"),
        (CLIP | {"vision_config": {"hidden_act": "gelu"}}, '"hidden_act" of both towers'),
        (CLIP | {"vision_config": {"num_channels": 4}}, "three channels"),
        (CLIP | {"vision_config": {"num_attention_heads": 7}}, "no whole number"),
        (CLIP | {"text_config": {"eos_token_id": [1, 2]}}, '"eos_token_id"'),
        (CLIP | {"vision_config": {"num_hidden_layers": 300}}, "vision_cfg.layers"),
        (CLIP | {"vision_config": []}, '"vision_config" must be an object'),
        (SIGLIP | {"vision_config": {"num_hidden_layers": 3}}, "timm has no SigLIP tower of these sizes"),
        (SIGLIP | {"vision_config": {"hidden_size": 32}}, "projection_size"),
        (SIGLIP | {"vision_config": {"vision_use_head": False}}, "vision_use_head"),
        (SIGLIP | {"text_config": {"hidden_act": "quick_gelu"}}, "\"hidden_act\" is 'quick_gelu'"),
        (VIT | {"hidden_act": "relu"}, "\"hidden_act\" is 'relu'"),
        (VIT | {"layer_norm_eps": 1}, "norm_eps"),
        (VIT | {"image_size": [224, 448]}, "image_size"),
        (VIT | {"num_hidden_layers": True}, "num_hidden_layers"),
        (VIT | {"problem_type": "multi_label_classification"}, "problem_type"),
        (VIT | {"id2label": {"0": "a", "2": "b"}}, "id2label"),
        (RESNET | {"downsample_in_bottleneck": True}, "the answers would differ"),
        (RESNET | {"downsample_in_first_stage": True}, "the answers would differ"),
        (RESNET | {"embedding_size": 32}, "stem of 64 channels"),
        (RESNET | {"hidden_act": "gelu"}, "only relu can be served"),
        (RESNET | {"layer_type": "x"}, "layer_type"),
        (RESNET | {"depths": [1, 1, 1]}, "must have 4 stages"),
        (RESNET | {"hidden_sizes": [30, 64, 64, 64]}, "multiples of 4"),
        (SWIN | {"use_absolute_embeddings": True}, "use_absolute_embeddings"),
        (SWIN | {"layer_norm_eps": 1e-6}, "layer_norm_eps"),
        (SWIN | {"window_size": 8}, "does not divide the 28 places a side of stage 2"),
        (SWIN | {"num_heads": [3, 6]}, '"depths" has 4 stages, "num_heads" 2'),
    ],
)
def test_what_the_library_would_compute_otherwise_is_refused(config: dict[str, Any], word: str) -> None:
    with pytest.raises(ModelError) as refused:
        family_of(config)
    assert word in str(refused.value)


def test_outputs_are_called_as_their_labels() -> None:
    found = outputs_config(VIT | {"id2label": {"0": "cat", "1": "dog"}})
    assert (found["num_classes"], found["label_names"]) == (2, ["cat", "dog"])


def test_outputs_that_nobody_named_have_no_names() -> None:
    found = outputs_config(VIT | {"id2label": {"0": "LABEL_0", "1": "LABEL_1"}})
    assert (found["num_classes"], "label_names" in found) == (2, False)


def test_one_name_of_two_outputs_gets_their_numbers() -> None:
    found = outputs_config(VIT | {"id2label": {"0": "crane", "1": "heron", "2": "crane"}})
    assert found["label_names"] == ["crane (0)", "heron", "crane (2)"]


def test_a_squashed_image_is_squashed() -> None:
    found = for_timm(SQUASHED, 224)
    assert (found["input_size"], found["crop_mode"], found["crop_pct"]) == ([3, 224, 224], "squash", 1.0)
    assert for_open_clip(SQUASHED, 224)["resize_mode"] == "squash"


def test_a_cut_image_is_cut_from_as_many_pixels() -> None:
    found = for_timm(CUT, None)
    assert (found["input_size"], found["crop_mode"], found["crop_pct"]) == ([3, 224, 224], "center", 0.875)


def test_a_number_for_a_size_is_that_of_its_processor() -> None:
    old = PIXELS | {"size": 224, "feature_extractor_type": "ViTFeatureExtractor"}
    assert for_timm(old, 224)["crop_mode"] == "squash"
    clip = PIXELS | {"size": 224, "crop_size": 224, "do_center_crop": True}
    assert for_open_clip(clip, 224)["resize_mode"] == "shortest"


@pytest.mark.parametrize(("size", "found"), [(224, ("center", 224 / 256)), (384, ("squash", 1.0))])
def test_convnexts_processor_cuts_small_images_alone(size: int, found: tuple[str, float]) -> None:
    document = PIXELS | {"size": {"shortest_edge": size}, "image_processor_type": "ConvNextImageProcessorFast"}
    way = for_timm(document, None)
    assert (way["crop_mode"], way["crop_pct"]) == found


@pytest.mark.parametrize(
    ("processor", "word"),
    [
        (PIXELS | {"size": {"shortest_edge": 224}}, '"size"'),
        (PIXELS | {"size": {"height": 224, "width": 192}}, "no square"),
        (PIXELS | {"size": {"height": 384, "width": 384}}, "the model takes 224"),
        (SQUASHED | {"do_resize": False}, "do_resize"),
        (SQUASHED | {"do_rescale": False}, "rescale_factor"),
        (SQUASHED | {"rescale_factor": 1 / 127.5}, "rescale_factor"),
        (SQUASHED | {"rescale_factor": "x"}, "rescale_factor"),
        (SQUASHED | {"resample": 9}, "resample"),
        (PIXELS | {"size": {"shortest_edge": 224}, "crop_pct": 0}, "crop_pct"),
        (PIXELS, '"size"'),
    ],
)
def test_a_preprocessor_that_is_not_served_says_which_field(processor: dict[str, Any], word: str) -> None:
    with pytest.raises(ModelError) as refused:
        for_timm(processor, 224)
    assert word in str(refused.value)


def test_a_processor_with_colours_of_another_kind_is_judged_with_the_librarys_config() -> None:
    with pytest.raises(ModelError, match=r'in the words of timm: "mean" must'):
        library_config(VIT, {"preprocessor_config.json": SQUASHED | {"image_mean": "x"}}, False)


def test_a_config_that_names_another_vocabulary_needs_its_tokenizer() -> None:
    other = CLIP | {"text_config": {"vocab_size": 49000}}
    with pytest.raises(ModelError, match=r"put its tokenizer\.json and tokenizer_config\.json beside the config"):
        library_config(other, {"preprocessor_config.json": SQUASHED}, False)
    assert library_config(CLIP, {"preprocessor_config.json": SQUASHED}, True)["model_cfg"]["text_cfg"][
        "hf_tokenizer_name"
    ]


def test_a_prompt_that_ends_elsewhere_needs_its_tokenizer() -> None:
    other = CLIP | {"text_config": {"eos_token_id": 300}}
    with pytest.raises(ModelError, match="eos_token_id"):
        library_config(other, {"preprocessor_config.json": SQUASHED}, False)
    text = library_config(other, {"preprocessor_config.json": SQUASHED}, True)["model_cfg"]["text_cfg"]
    assert (text["pool_type"], text["eos_id"]) == ("eos", 300)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
FIELDS = st.sampled_from(
    (
        *(
            "vision_config",
            "text_config",
            "hidden_size",
            "depths",
            "hidden_sizes",
            "num_heads",
            "id2label",
            "patch_size",
        ),
        *(
            "image_size",
            "window_size",
            "layer_norm_eps",
            "hidden_act",
            "qkv_bias",
            "architectures",
            "num_labels",
            "size",
        ),
    )
)


@given(st.sampled_from([CLIP, SIGLIP, VIT, RESNET, SWIN]), st.dictionaries(FIELDS, VALUES, max_size=4))
def test_any_config_is_judged_or_refused(config: dict[str, Any], fields: dict[str, Any]) -> None:
    for judge in (check_config, lambda one: library_config(one, {"preprocessor_config.json": SQUASHED | fields}, True)):
        with suppress(ModelError):  # anything else would be a fault of ours
            judge(config | fields)
