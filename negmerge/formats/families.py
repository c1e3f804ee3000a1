"""The families of models: whose files a folder holds, and whose config a JSON is. No torch, for the API."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from negmerge.errors import ModelError
from negmerge.formats import open_clip_config, timm_config
from negmerge.formats.hugging_face import config as hugging_face


@dataclass(frozen=True)
class Family:
    """A library's format: the two files of a model's folder, and the judge of its config (raises ModelError)."""

    name: str
    config_file: str
    weights_file: str
    check_config: Callable[[Any], None]


OPEN_CLIP = Family(
    "open_clip", open_clip_config.CONFIG_FILE, open_clip_config.WEIGHTS_FILE, open_clip_config.check_config
)
TIMM = Family("timm", timm_config.CONFIG_FILE, timm_config.WEIGHTS_FILE, timm_config.check_config)
FAMILIES = {family.name: family for family in (OPEN_CLIP, TIMM)}
TRANSFORMERS = {
    name: Family(name, hugging_face.CONFIG_FILE, hugging_face.WEIGHTS_FILE, hugging_face.check_config)
    for name in FAMILIES
}
"""Folders of transformers, by the library that has their models too."""


def family_of(config: Any) -> Family:
    """Whose config this is, by the key that only one of them has; it is judged too. Raises ModelError."""
    if not isinstance(config, dict) or not {"model_cfg", "architecture", "model_type"} & config.keys():
        raise ModelError(
            'the config has neither "model_cfg" nor "architecture" nor "model_type": give the JSON of an '
            "open_clip_config.json, or of the config.json of timm or transformers"
        )
    if hugging_face.is_of_transformers(config):
        family = TRANSFORMERS[hugging_face.kind_of(config).family]
    else:
        family = OPEN_CLIP if "model_cfg" in config else TIMM
    family.check_config(config)
    return family
