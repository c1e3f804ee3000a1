"""How images become pixels: ``preprocessor_config.json`` of transformers in open_clip's and timm's words."""

from math import floor
from typing import Any

from negmerge.errors import ModelError
from negmerge.formats.hugging_face.fields import Config, part, switch, whole

_PILLOWS = ("nearest", "lanczos", "bilinear", "bicubic", "box", "hamming")
"""Pillow's numbers for ways of resizing, in order."""
_SQUASHED_FROM = 384
"""Pixels from which ConvNext's processor resizes without keeping the sides' proportion."""


def for_open_clip(processor: Config, size: int) -> dict[str, Any]:
    """A ``preprocess_cfg`` for images of ``size`` pixels a side. Raises ModelError for steps that open_clip has not."""
    short, crop = _steps(processor)
    if crop != size or short not in (None, size):
        raise ModelError(f"the preprocessor makes images of {crop} pixels from {short or crop}, the model takes {size}")
    found = _colours(processor) | {"interpolation": _interpolation(processor)}
    return found | {"resize_mode": "squash" if short is None else "shortest"}


def for_timm(processor: Config, size: int | None) -> dict[str, Any]:
    """A ``pretrained_cfg``; size: pixels a side that the model takes, None for any. Raises ModelError as above."""
    short, crop = _steps(processor)
    if size not in (None, crop):
        raise ModelError(f"the preprocessor makes images of {crop} pixels a side, the model takes {size}")
    share = 1.0 if short is None else crop / short
    if short is not None and floor(crop / share) != short:
        raise ModelError(f"images cut to {crop} pixels from {short} cannot be told to timm: choose another size")
    steps = {"crop_pct": share, "crop_mode": "squash" if short is None else "center"}
    return {"input_size": [3, crop, crop], "interpolation": _interpolation(processor)} | steps | _colours(processor)


def _steps(processor: Config) -> tuple[int | None, int]:
    """Pixels of the shorter side before the cut, None where images are squashed; pixels a side after it."""
    if not switch(processor, "do_resize", True):
        raise ModelError('"do_resize" is false in the preprocessor: images of one size are needed')
    size = processor.get("size")
    sizes = dict(size) if isinstance(size, dict) else {}
    if "crop_pct" in processor or _kind(processor) == "ConvNext":
        return _of_convnext(processor, whole(sizes, "shortest_edge", 0) if sizes else whole(processor, "size", 0))
    crops = switch(processor, "do_center_crop", False)
    if isinstance(size, int):
        sizes = {"shortest_edge": size} if crops else {"height": size, "width": size}
    if set(sizes) == {"shortest_edge"} and crops:
        return whole(sizes, "shortest_edge", 0), _square(processor.get("crop_size"), "crop_size")
    if set(sizes) == {"height", "width"}:
        pixels = _square(sizes, "size")
        if not crops or _square(processor.get("crop_size"), "crop_size") == pixels:
            return None, pixels
    raise ModelError(
        '"size" of the preprocessor must be {"height", "width"}, both the same, or {"shortest_edge"} with '
        '"do_center_crop" and "crop_size"'
    )


def _of_convnext(processor: Config, size: int) -> tuple[int | None, int]:
    if size >= _SQUASHED_FROM:
        return None, size
    share = processor.get("crop_pct", 224 / 256)
    if type(share) not in (int, float) or not 0 < share <= 1:
        raise ModelError('"crop_pct" of the preprocessor must be a number above 0, at most 1')
    return int(size / share), size


def _square(size: Any, key: str) -> int:
    sides = size if isinstance(size, dict) else {"height": size, "width": size}
    if sides.get("height") != sides.get("width"):
        raise ModelError(f'"{key}" of the preprocessor is no square: only square images are served')
    return whole(sides, "height", 0)


def _interpolation(processor: Config) -> str:
    number = processor.get("resample")
    if type(number) is not int or not 0 <= number < len(_PILLOWS):
        raise ModelError(
            f'"resample" of the preprocessor must be a number from 0 to {len(_PILLOWS) - 1}, as Pillow has it'
        )
    return _PILLOWS[number]


def _colours(processor: Config) -> dict[str, Any]:
    """``mean`` and ``std``; their numbers are judged with the library's config."""
    factor = processor.get("rescale_factor", 1 / 255)
    if not switch(processor, "do_rescale", True) or type(factor) is not float or abs(factor - 1 / 255) > 1e-9:
        raise ModelError('the preprocessor must make numbers from 0 to 1 of pixels: "rescale_factor" 1/255')
    if not switch(processor, "do_normalize", True):
        return {"mean": [0.0, 0.0, 0.0], "std": [1.0, 1.0, 1.0]}
    return {"mean": processor.get("image_mean"), "std": processor.get("image_std")}


def _kind(processor: Config) -> str:
    """What the processor is called, without its endings: ``ViT`` for ``ViTImageProcessorFast``."""
    name = str(processor.get("image_processor_type", processor.get("feature_extractor_type", "")))
    for ending in ("Fast", "Pil", "ImageProcessor", "FeatureExtractor"):
        name = name.removesuffix(ending)
    return name


def image_processor(document: Config) -> dict[str, Any]:
    """The part of a processor's document that is about images; ``processor_config.json`` has it inside."""
    return part(document, "image_processor") or dict(document)
