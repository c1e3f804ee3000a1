"""timm's config: what of it is refused before anything is built."""

from copy import deepcopy
from typing import Any

import pytest

from negmerge.errors import ModelError
from negmerge.formats.families import family_of
from negmerge.formats.timm_config import architecture_of, check_config
from tests.support import pico_timm


def config_with(path: str, value: Any) -> dict[str, Any]:
    """The pico config with one value, at a dotted path, changed."""
    config = deepcopy(pico_timm.CONFIG)
    config["model_args"] = dict(config["model_args"])
    *parents, last = path.split(".")
    place = config
    for parent in parents:
        place = place[parent]
    place[last] = value
    return config


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        ("architecture", "hf-hub:timm/resnet18.a1_in1k", "plain name"),
        ("architecture", "local-dir:/etc", "plain name"),
        ("architecture", "r" * 101, "plain name"),
        ("architecture", "timm/resnet18.a1_in1k", "plain name"),
        ("architecture", "resnet18.", "plain name"),
        ("architecture", "resnet18.a/../b", "plain name"),
        ("architecture", "resnet18.a.b", "plain name"),
        ("architecture", None, "plain name"),
        ("num_classes", 0, "num_classes"),
        ("num_classes", 10**6, "num_classes"),
        ("num_classes", True, "num_classes"),
        ("stem", "large", "stem"),
        ("label_names", ["zero", "one"], "5 different names"),
        ("label_names", ["zero"] * 5, "5 different names"),
        ("label_names", "zero", "list of names"),
        ("label_names", [*pico_timm.CLASSES, pico_timm.CLASSES[0]], "5 different names"),
        ("label_names", ["a", "b", "c", "caf\u00e9", "cafe\u0301"], "5 different names"),
        ("label_names", ["a", "b", "c", "d", "\u202e"], "list of names"),
        ("model_args", [], "model_args"),
        ("model_args.checkpoint_path", "/etc/passwd", "checkpoint_path"),
        ("model_args.pretrained", True, "pretrained"),
        ("model_args.pretrained_cfg", {"url": "x"}, "pretrained_cfg"),
        ("model_args.features_only", True, "features_only"),
        ("model_args.norm_layer", "os.system", "norm_layer"),
        ("model_args.num_class", 5, "did you mean 'num_classes'"),
        ("model_args.num_classes", 6, "leave one out"),
        ("model_args.in_chans", 1, "three channels"),
        ("model_args.img_size", [16, 10**4], "from 0 to 1024"),
        ("model_args.embed_dim", 10**5, "from 0 to 16384"),
        ("model_args.embed_dim", "wide", "whole numbers"),
        ("model_args.depth", 0, "a block as 'depth'"),
        ("model_args.depths", [0, 0], "a block as 'depths'"),
        ("model_args.window_sizes", [7, 112, 14, 7], "from 0 to 32"),
        ("model_args.window_size", [60, 60, 60], "from 0 to 32"),
        ("model_args.num_rnn_layers", 4096, "from 0 to 256"),
        ("model_args.cls_attn_layers", 4096, "from 0 to 256"),
        ("model_args.mlp_ratio", 1e300, "from 0 to 64"),
        ("model_args.mlp_ratio", 65, "from 0 to 64"),
        ("model_args.drop_rate", 1.0, "below 1"),
        ("model_args.drop_path_rate", -0.1, "below 1"),
        ("model_args.crpe_window", {"3": 2}, "no model of timm takes"),
        ("model_args.channels", [[8] * 9] * 9, "at most 64"),
        ("model_args.layers", [10**9], "layers"),
        ("model_args.channels", [8.5], "channels"),
        ("model_args.channel_multiplier", 65.0, "from 0 to 64"),
        ("model_args.block_args", "se", "needs an object"),
        ("model_args.block_args", [[1]], "needs an object"),
        ("model_args.block_args", {"attn_layer": "os.system"}, "in 'block_args': .* needs a plain word"),
        ("model_args.block_args", {"checkpoint_path": "x"}, "in 'block_args': .*'checkpoint_path'"),
        ("model_args.block_args", {"cardinality": 10**9}, "in 'block_args': .* from 0 to"),
        ("model_args.block_args", {"block_args": {"attn_layer": "se"}}, "without objects"),
        ("model_args.block_args", {"channels": [1] * 64}, "without objects"),
        ("model_args.channels", {"attn_layer": "se"}, "needs whole numbers"),
        ("pretrained_cfg", 3, "pretrained_cfg"),
        ("pretrained_cfg.interpolation", "random", "is for training: name the one of evaluation"),
        ("pretrained_cfg.input_size", [1, 16, 16], "three channels"),
        ("pretrained_cfg.input_size", [3, 16, 32], "square"),
        ("pretrained_cfg.input_size", [3, 10**6, 10**6], "input_size"),
        ("pretrained_cfg.std", [0.5, 0.0, 0.5], "std"),
        ("pretrained_cfg.mean", 0.5, "mean"),
        ("pretrained_cfg.crop_pct", 0.0, "crop_pct"),
        ("pretrained_cfg.interpolation", "magic", "interpolation"),
        ("pretrained_cfg.crop_mode", "magic", "crop_mode"),
    ],
)
def test_a_config_that_asks_for_what_is_not_served_says_which_key(path: str, value: Any, said: str) -> None:
    check_config(pico_timm.CONFIG)
    with pytest.raises(ModelError, match=said):
        check_config(config_with(path, value))


@pytest.mark.parametrize("config", [None, [], "resnet18", 3])
def test_what_is_no_config_at_all_is_refused(config: Any) -> None:
    with pytest.raises(ModelError, match="object"):
        check_config(config)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("num_classes", 5),
        ("in_chans", 3),
        ("global_pool", "fast"),
        ("img_size", [224, 224]),
        ("depths", [0, 12, 0]),
        ("window_sizes", [16, 32, 32, 16]),
        ("rope_temperature", 10_000.0),
        ("act_layer", "gelu"),
        ("bn_eps", 1e-3),
        ("bn_momentum", 0.01),
        ("init_values", None),
        ("out_features", None),
        ("block_args", {"attn_layer": "se"}),
        ("channel_multiplier", 0.5),
        ("depth_multiplier", 1.2),
    ],
)
def test_what_timm_says_of_its_models_is_taken(name: str, value: Any) -> None:
    check_config(config_with(f"model_args.{name}", value))


def test_a_tag_after_the_architecture_is_no_part_of_its_name() -> None:
    config = config_with("architecture", "resnet18.a1_in1k")
    check_config(config)
    assert architecture_of(config) == "resnet18"


def test_a_config_of_transformers_is_called_by_its_name() -> None:
    config = {"architectures": ["CLIPModel"], "model_type": "clip", "projection_dim": 512}
    with pytest.raises(ModelError, match=r"Hugging Face transformers \('clip'\), which says too little by itself"):
        check_config(config)
    assert family_of(config).name == "open_clip"
