"""How images become a model's pixels, up to but without the conversion to floats, as open_clip and timm say it.

Each library takes seconds to load, so a job loads its own model's alone.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from math import floor
from typing import TYPE_CHECKING, Any

from PIL import Image

if TYPE_CHECKING:
    from open_clip.transform import PreprocessCfg

Step = Callable[[Image.Image], Image.Image]


@dataclass(frozen=True)
class Preprocess:
    """The evaluation transform of a model: ``steps`` bring any image to ``size`` × ``size`` pixels of RGB.

    ``images / 255``, normalised by ``mean`` and ``std``, is what the model then gets. fitted: pixels that the shorter
    side is brought to while the longer one grows or shrinks along; 0 where the steps do not do so. told: what the
    model's library calls the resizing, for whoever does it elsewhere. recipe: all that decides about the pixels, the
    versions of the libraries too: two that are equal give the same ones.
    """

    size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    steps: tuple[Step, ...]
    fitted: int = 0
    told: tuple[tuple[str, str | float], ...] = ()
    recipe: str = ""

    def pixels_on_the_way(self, width: int, height: int) -> int:
        """The most pixels that resizing makes of an image: Pillow brings all its rows to their length first."""
        if not self.fitted:
            return self.size * max(self.size, height)
        short = max(1, min(width, height))
        return self.fitted * width // short * max(self.fitted * height // short, height)


def of_open_clip(cfg: "PreprocessCfg") -> Preprocess:
    """open_clip's own transform for evaluation. As there, an EXIF orientation is not applied."""
    from open_clip.transform import image_transform_v2

    *steps, _to_floats, _normalise = image_transform_v2(cfg, is_train=False).transforms
    size = cfg.size if isinstance(cfg.size, int) else cfg.size[0]
    fitted = size if cfg.resize_mode == "shortest" else 0
    told = (("interpolation", cfg.interpolation), ("resize_mode", cfg.resize_mode))
    recipe = _recipe("open_clip_torch", size, cfg.mode, cfg.fill_color, told)
    return Preprocess(size, tuple(cfg.mean), tuple(cfg.std), tuple(steps), fitted, told, recipe)


def of_timm(cfg: dict[str, Any]) -> Preprocess:
    """timm's own transform for evaluation, from a ``pretrained_cfg`` with nothing left out."""
    from timm.data.transforms_factory import create_transform

    size, crop = int(cfg["input_size"][-1]), float(cfg["crop_pct"])
    *steps, _to_floats, _normalise = create_transform(
        tuple(cfg["input_size"]),
        interpolation=cfg["interpolation"],
        mean=tuple(cfg["mean"]),
        std=tuple(cfg["std"]),
        crop_pct=crop,
        crop_mode=cfg["crop_mode"],
    ).transforms
    fitted = 0 if cfg["crop_mode"] == "squash" else floor(size / crop)
    told = (("interpolation", cfg["interpolation"]), ("crop_pct", crop), ("crop_mode", cfg["crop_mode"]))
    recipe = _recipe("timm", tuple(cfg["input_size"]), told)
    return Preprocess(size, tuple(cfg["mean"]), tuple(cfg["std"]), (_to_rgb, *steps), fitted, told, recipe)


def _recipe(library: str, *decides: object) -> str:
    return json.dumps([*(f"{package} {version(package)}" for package in ("pillow", "torchvision", library)), *decides])


def _to_rgb(image: Image.Image) -> Image.Image:
    return image.convert("RGB")
