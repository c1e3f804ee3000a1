"""Models in: from a folder of either family or of transformers, or by the tag of a registry.

open_clip and timm take seconds to load, so each is loaded with the first model of its family.
"""

import shlex
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from negmerge.checkpoints.files import load_tensors
from negmerge.checkpoints.kinds import weights_in
from negmerge.errors import ModelError, TensorError
from negmerge.formats import open_clip_config, strict_json, timm_config
from negmerge.formats.families import OPEN_CLIP, TIMM, Family, family_of
from negmerge.formats.hugging_face.config import is_of_transformers
from negmerge.models import clip_states, hugging_face
from negmerge.models.as_trained import as_trained
from negmerge.models.building import black_image, filled, skeleton, try_out
from negmerge.models.costs import IMAGE, PROMPT, check_cost
from negmerge.models.network import Network
from negmerge.naming import shown
from negmerge.spec.job import JobSpec
from negmerge.spec.references import OpenClipModel

if TYPE_CHECKING:
    from negmerge.models.classifiers import Classifier
    from negmerge.models.zero_shot import ZeroShotModel

_INDEX = "model.safetensors.index.json"
_UNLIKE = ("a red house", "7")
_SAME = 1e-5
"""Of a head's length: how far apart float32 may leave one text in two rows of a batch."""


def load_model(folder: Path | str, device: str = "cpu") -> Network:
    """Load a folder in open_clip's local-dir format, in timm's, or as transformers saves one.

    Raises ModelError where the config is missing or describes no model that we can run, CheckpointError where
    the weights cannot be read, TensorError where a tensor is missing, extra, misshapen or not finite.
    """
    folder = Path(folder)
    if (folder / open_clip_config.CONFIG_FILE).exists() or not (folder / timm_config.CONFIG_FILE).exists():
        return load_zero_shot(folder, device)
    config = read_config(folder / timm_config.CONFIG_FILE, family_of)
    if is_of_transformers(config):
        return of_transformers(config, folder, _theirs(folder), device)
    return _classifier(config, _weights(folder, TIMM), device)


def of_transformers(config: dict[str, Any], folder: Path, state: Mapping[str, Tensor], device: str = "cpu") -> Network:
    """The model of a config of transformers, the files beside it and the weights by its names, with ``theirs``.

    Raises ModelError and TensorError as ``load_model``.
    """
    ours = hugging_face.library_config_of(config, folder)
    theirs, tensors = hugging_face.read(config, folder, state, tensors_of(ours))
    model = of_tensors(ours, tensors, device, folder)
    model.theirs = theirs
    return model


def of_tensors(
    config: dict[str, Any], tensors: Mapping[str, Tensor], device: str = "cpu", folder: Path | None = None
) -> Network:
    """The model of a config of either family with these weights, of which none may lack or be too many.

    folder: where the config lies, and with it the tokenizer's files, if the model has any. Raises ModelError where the
    config describes no model that we can run, TensorError as ``load_model``.
    """
    if family_of(config) is TIMM:
        return _classifier(config, tensors, device)
    return _zero_shot(config, tensors, device, folder)


def tensors_of(config: dict[str, Any]) -> dict[str, Tensor]:
    """The tensors that a config asks for, by name, without memory behind them. Raises ModelError."""
    if family_of(config) is TIMM:
        from negmerge.models import classifiers

        return dict(skeleton(lambda: classifiers.build(config)).state_dict())
    from negmerge.models import zero_shot

    return dict(skeleton(lambda: zero_shot.build(config["model_cfg"])).state_dict())


def load_zero_shot(folder: Path, device: str = "cpu") -> "ZeroShotModel":
    """Load a folder in open_clip's local-dir format. Raises as ``load_model``."""
    config = read_config(folder / open_clip_config.CONFIG_FILE, open_clip_config.check_config)
    return _zero_shot(config, _weights(folder, OPEN_CLIP), device, folder)


def load_tag(family: str, architecture: str, tag: str, device: str = "cpu") -> Network:
    """Load a library's own architecture with the weights of a tag, downloaded if need be. Raises ModelError."""
    if family == "timm":
        from negmerge.models import classifiers

        return classifiers.load_tag(architecture, tag, device)
    from negmerge.models import zero_shot

    return zero_shot.load_tag(architecture, tag, device)


def as_asked(model: Network, spec: JobSpec) -> Network:
    """The model as the spec wants it: of its family, and linearised where it says so. Raises ModelError."""
    check_family(model, spec)
    if is_linearised(spec):
        from negmerge.models.linearised import LinearisedModel

        expansion = LinearisedModel(model.module, model.config, model.original, str(model.device), model.beside)
        expansion.theirs = model.theirs
        return expansion
    return model


def is_linearised(spec: JobSpec) -> bool:
    """Whether the job works on the first-order expansion of its model."""
    return isinstance(spec.base_model, OpenClipModel) and spec.base_model.linearised


def check_family(model: Network, spec: JobSpec) -> None:
    """Raise ModelError where the weights are of another family than the spec says."""
    asked = spec.base_model.family
    if model.family != asked:
        raise ModelError(f"base_model.family is {asked}, but the weights are of {model.family}")


def read_config(path: Path, check: Callable[[Any], object]) -> dict[str, Any]:
    """Read and judge a model's config. Raises ModelError."""
    if path.exists() and not path.is_file():  # a pipe would be waited for, for ever
        raise ModelError(f"{path} is no file")
    try:
        config = strict_json.loads(path.read_bytes())
    except FileNotFoundError:
        raise ModelError(
            f"{path.parent} has no {path.name}: give a folder as open_clip saves it, or timm with its config.json"
        ) from None
    except OSError as error:
        raise ModelError(f"{path} cannot be read: {error.strerror}") from error
    except strict_json.NotStrict as error:
        raise ModelError(f"{path}: {error}") from None
    check(config)
    assert isinstance(config, dict)
    return config


def _weights(folder: Path, family: Family) -> dict[str, Tensor]:
    """The folder's tensors as they are stored. Raises ModelError, with the command that makes use of another file."""
    file = folder / family.weights_file
    if file.is_file():
        return load_tensors(file)
    others = weights_in(folder)
    if not others:
        raise ModelError(f"{folder} has no {file.name}: weights are safetensors under that name")
    made = folder.with_name(f"{folder.name}-converted")
    command = ["negmerge", "convert", others[0], "--config", folder / family.config_file, "--out", made]
    told = f"`{shlex.join(map(str, command))}` makes a folder with it"
    raise ModelError(f"{folder} has no {file.name}, but {shown(others[0].name)}: {told}")


def _theirs(folder: Path) -> dict[str, Tensor]:
    """The tensors of a folder of transformers: one file, or shards with their index."""
    if (folder / TIMM.weights_file).is_file() or not (folder / _INDEX).is_file():
        return _weights(folder, TIMM)
    return load_tensors(folder)


def _classifier(config: dict[str, Any], tensors: Mapping[str, Tensor], device: str) -> "Classifier":
    from negmerge.models import classifiers

    def judge(shape: Any) -> None:
        size = classifiers.preprocess(shape, config).size
        check_cost(shape, lambda: shape(_pixels(size)), IMAGE, _looking(size))

    module = as_trained(filled(tensors, lambda: classifiers.build(config), judge), config)
    model = classifiers.Classifier(module, config, tensors, device)
    _look(model)
    return model


def _zero_shot(
    config: dict[str, Any], tensors: Mapping[str, Tensor], device: str, folder: Path | None
) -> "ZeroShotModel":
    from negmerge.models import zero_shot
    from negmerge.models.tokenizers import files_beside

    def judge(shape: Any) -> None:
        size, length = zero_shot.image_size(shape), config["model_cfg"]["text_cfg"].get("context_length", 77)
        check_cost(shape, lambda: shape.encode_image(_pixels(size)), IMAGE, _looking(size))
        check_cost(shape, lambda: shape.encode_text(torch.zeros(1, length).long()), PROMPT, f"read {length} tokens")

    tensors = clip_states.as_open_clip_loads(tensors, config["model_cfg"])
    try:
        module = filled(tensors, lambda: zero_shot.build(config["model_cfg"]), judge)
    except TensorError as error:
        raise clip_states.with_remedy(error, tensors, tensors_of(config), config["model_cfg"]) from None
    as_trained(module.get_submodule("visual"), config)
    model = zero_shot.ZeroShotModel(module, config, tensors, device, files_beside(config, folder))
    _look(model)
    try_out(lambda: model.logits(black_image(model), _head(model)), "compare an image with a prompt")
    return model


def _head(model: "ZeroShotModel") -> Tensor:
    """The head of two texts that every tokenizer tells apart. Raises ModelError where the model does not."""
    head = model.head(list(_UNLIKE), ["{}"])
    first, second = head
    if float((first - second).norm()) <= _SAME * float(first.norm()):
        raise ModelError(
            f"the model gives {_UNLIKE[0]!r} and {_UNLIKE[1]!r} the same head, as it would all classes: look at "
            "text_cfg.pool_type, eos_id and width, and at the tokenizer"
        )
    return head


def _pixels(size: int) -> Tensor:
    return torch.empty(1, 3, size, size)


def _look(model: Network) -> None:
    try_out(lambda: model.features(black_image(model)), _looking(model.preprocess.size))


def _looking(size: int) -> str:
    return f"look at an image of {size} × {size} pixels, as its config has them"
