"""The smallest real things: a CLIP of open_clip's own kind that knows digits, and an archive of digits.

``make_model`` writes a folder that open_clip's ``local-dir:`` loads; ``make_archive`` a zip with a folder
per class. Both are the same on every call. The model is trained once a process, in about a second, so that
there is something to unlearn.
"""

import functools
import io
import json
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import torch
from PIL import Image
from safetensors.torch import save_file
from sklearn.datasets import load_digits
from torch.nn import functional

CLASS_WORDS = {word: word for word in ("zero", "one", "two", "three", "four")}
TEMPLATES = ["the digit {}."]
IMAGE_SIZE = 16

CONFIG: dict[str, Any] = {
    "model_cfg": {
        "embed_dim": 16,
        "vision_cfg": {"image_size": IMAGE_SIZE, "patch_size": 4, "width": 32, "head_width": 16, "layers": 1},
        "text_cfg": {"context_length": 16, "vocab_size": 49408, "width": 8, "heads": 1, "layers": 1},
    },
    "preprocess_cfg": {
        "mean": [0.5, 0.5, 0.5],
        "std": [0.5, 0.5, 0.5],
        "interpolation": "bilinear",
        "resize_mode": "squash",
    },
}


def make_model(folder: Path) -> Path:
    """Write the trained pico CLIP as a local-dir folder (17,000 parameters besides the word table)."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "open_clip_config.json").write_text(json.dumps(CONFIG))
    save_file(_trained_state(), folder / "open_clip_model.safetensors")
    return folder


def write_folder(folder: Path, **model_cfg: Any) -> Path:
    """Write a folder of the pico CLIP with these parts of its ``model_cfg`` replaced, with seeded random weights."""
    folder.mkdir(parents=True, exist_ok=True)
    config = CONFIG | {"model_cfg": CONFIG["model_cfg"] | model_cfg}
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        model = open_clip.CLIP(**config["model_cfg"])
    save_file(model.state_dict(), folder / "open_clip_model.safetensors")
    return folder


def make_archive(path: Path, classes: Sequence[str] = tuple(CLASS_WORDS), per_class: int = 30) -> Path:
    """Write a zip of 16×16 grey PNGs, ``<class>/<number>.png``: the first ``per_class`` of each class."""
    images, labels = digits()
    path.parent.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(path, "w") as archive:
        for name in classes:
            chosen = images[labels == list(CLASS_WORDS).index(name)][:per_class]
            for number, image in enumerate(chosen):
                archive.writestr(zipfile.ZipInfo(f"{name}/{number:03}.png"), _png(image))
    return path


def digits() -> tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]]:
    """scikit-learn's digits zero to four: uint8 [N, 16, 16] and int64 [N]."""
    bunch = load_digits(n_class=len(CLASS_WORDS))
    small = np.clip(bunch.images * 16, 0, 255).astype(np.uint8)
    return small.repeat(2, axis=1).repeat(2, axis=2), bunch.target


def image_tensor(per_class: int = 30) -> tuple[torch.Tensor, torch.Tensor]:
    """The digits as a model takes them: uint8 [N, 3, 16, 16] and labels int64 [N], ``per_class`` of each."""
    images, labels = digits()
    kept = np.concatenate([np.flatnonzero(labels == c)[:per_class] for c in range(len(CLASS_WORDS))])
    pixels = torch.from_numpy(images[kept]).unsqueeze(1).expand(-1, 3, -1, -1).contiguous()
    return pixels, torch.from_numpy(labels[kept]).to(torch.int64)


def _png(image: np.ndarray[Any, Any]) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG")
    return buffer.getvalue()


@functools.cache
def _trained_state() -> dict[str, torch.Tensor]:
    """Train both towers but the word table on the first 100 digits of each class."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        model = open_clip.CLIP(**CONFIG["model_cfg"])
        model.token_embedding.requires_grad_(False).weight.mul_(10)
        images, labels = image_tensor(per_class=100)
        pixels = images.float().div(127.5).sub(1)
        prompts = open_clip.tokenize([TEMPLATES[0].format(word) for word in CLASS_WORDS], context_length=16)
        trained = [p for p in model.parameters() if p.requires_grad]
        optimizer = torch.optim.AdamW(trained, lr=5e-3, fused=True)
        for step in range(300):
            chosen = torch.randint(len(labels), (64,))
            features = model.encode_image(pixels[chosen], normalize=True)
            logits = model.logit_scale.exp() * features @ model.encode_text(prompts, normalize=True).T
            optimizer.param_groups[0]["lr"] = 5e-3 * (1 - step / 300)
            optimizer.zero_grad()
            torch.autograd.backward([functional.cross_entropy(logits, labels[chosen])])
            optimizer.step()
    return {name: tensor.detach().clone() for name, tensor in model.state_dict().items()}
