"""timm's config: what of it is refused before anything is built."""

from copy import deepcopy
from typing import Any

import pytest

from negmerge.errors import ModelError
from negmerge.formats.timm_config import check_config
from tests.support import pico_timm


def config_with(path: str, value: Any) -> dict[str, Any]:
    """The pico config with one value, at a dotted path, changed."""
    config = deepcopy(pico_timm.CONFIG)
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
        ("architecture", None, "plain name"),
        ("num_classes", 0, "num_classes"),
        ("num_classes", 10**6, "num_classes"),
        ("num_classes", True, "num_classes"),
        ("stem", "large", "stem"),
        ("label_names", ["zero", "one"], "5 different names"),
        ("label_names", ["zero"] * 5, "5 different names"),
        ("label_names", "zero", "list of names"),
        ("model_args", [], "model_args"),
        ("model_args.checkpoint_path", "/etc/passwd", "checkpoint_path"),
        ("model_args.pretrained", True, "pretrained"),
        ("model_args.pretrained_cfg", {"url": "x"}, "pretrained_cfg"),
        ("model_args.features_only", True, "features_only"),
        ("model_args.norm_layer", "os.system", "norm_layer"),
        ("model_args.layers", [10**9], "layers"),
        ("model_args.channels", [8.5], "channels"),
        ("pretrained_cfg", 3, "pretrained_cfg"),
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
