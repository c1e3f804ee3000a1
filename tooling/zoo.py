"""``make zoo``: ask open_clip and timm what they know, and write it where those read it who load no torch."""

import inspect
import json
import re
import sys
from collections.abc import Callable
from importlib.metadata import version
from types import ModuleType

import open_clip
import timm
import timm.models
import torch
from open_clip.model import _build_vision_tower

from app.intake.zoo import FILE
from negmerge.errors import ModelError
from negmerge.formats.open_clip_config import check_config
from negmerge.formats.timm_config import ARGUMENTS_FILE
from negmerge.spec.auto import tower_parameters

_NOT_OF_A_CONFIG = {"self", "args", "kwargs", "cfg", "device", "dtype"}
"""Parameters of constructors that no JSON says."""

_OF_BUILDERS = ("bn_eps", "bn_momentum")
"""What timm's builder of EfficientNets and their like takes out of the arguments, so that no function names it."""


def main() -> None:
    """Write both files."""
    sizes = {architecture: parameters_of(architecture) for architecture in with_weights()}
    FILE.write_text(text(sizes), encoding="utf-8")
    ARGUMENTS_FILE.write_text(arguments_text(), encoding="utf-8")


def arguments_text() -> str:
    """What the constructors of timm's classifiers take, name → kinds of values: JSON, a name a line, sorted."""
    modules = [module for name, module in sys.modules.items() if name.startswith("timm.models.")]
    kinds: dict[str, set[str]] = {}
    for constructor in (made for module in modules for made in _classifiers(module)):
        for name, parameter in inspect.signature(constructor).parameters.items():
            kinds.setdefault(name, set()).update(_kinds(parameter))
    kinds |= {name: {"float"} for name in _OF_BUILDERS}
    for builder in (made for module in modules for made in _builders(module)):
        for name, parameter in inspect.signature(builder).parameters.items():
            kinds.setdefault(name, set()).update({type(parameter.default).__name__} & {"int", "float"})
    known = {name: sorted(kinds[name]) for name in sorted(kinds) if kinds[name] and name not in _NOT_OF_A_CONFIG}
    lines = [f"  {json.dumps(name)}: {json.dumps(found)}" for name, found in known.items()]
    return "{\n" + ",\n".join(lines) + "\n}\n"


def _kinds(parameter: inspect.Parameter) -> set[str]:
    """What JSON may say as this parameter. A layer is called by its name."""
    annotated = str(parameter.annotation)
    if "Dict[" in annotated:  # of words, where it is no list of them, which timm's own builders make
        return {"dict"} if re.fullmatch(r"typing\.Optional\[typing\.Dict\[str, typing\.Any]]", annotated) else set()
    kinds = set(re.findall(r"\b(bool|int|float|str)\b", annotated))
    if re.search(r"Callable|Module|Any|Literal", annotated):
        kinds.add("str")
    return kinds or {type(parameter.default).__name__} & {"bool", "int", "float", "str"}


def _classifiers(module: ModuleType) -> list[type[torch.nn.Module]]:
    """The classes of a module of timm's that are told how many classes there are."""
    own = (made for made in vars(module).values() if isinstance(made, type) and made.__module__ == module.__name__)
    modules = [made for made in own if issubclass(made, torch.nn.Module)]
    return [made for made in modules if "num_classes" in inspect.signature(made).parameters]


def _builders(module: ModuleType) -> list[Callable[..., object]]:
    """The functions of a module of timm's that make one of its models' arguments, such as widths from a multiplier."""
    return [made for name, made in vars(module).items() if name.startswith("_gen_") and inspect.isfunction(made)]


def text(towers: dict[str, int]) -> str:
    """The file for the libraries that are installed: JSON, a name a line, all sorted.

    towers: ``parameters_of`` each architecture with published weights, which takes a minute.
    """
    tags: dict[str, list[str]] = {}
    for architecture, tag in sorted(open_clip.list_pretrained()):
        tags.setdefault(architecture, []).append(tag)
    document = {
        "versions": {name: version(name) for name in ("open_clip_torch", "timm")},
        "architectures": sorted(open_clip.list_models()),
        "unserved": _unserved(),
        "tags": tags,
        "tower_parameters": towers,
        "classifiers": sorted({*timm.list_models(), *timm.models.get_deprecated_models()}),
        "classifier_tags": _classifier_tags(),
    }
    return json.dumps(document, indent=1) + "\n"


def with_weights() -> list[str]:
    """open_clip's architectures that have published weights and that a job can use, sorted."""
    return sorted({architecture for architecture, _ in open_clip.list_pretrained()} - _unserved().keys())


def parameters_of(architecture: str) -> int:
    """How many parameters the image tower of an architecture of open_clip's has; it is built without memory."""
    config = open_clip.get_model_config(architecture)
    assert config is not None
    with torch.device("meta"):
        tower = _build_vision_tower(config["embed_dim"], config["vision_cfg"], config.get("quick_gelu", False))
    sizes = {
        f"visual.{name}": tensor.numel() for name, tensor in tower.state_dict().items() if tensor.is_floating_point()
    }
    return tower_parameters(sizes)


def _classifier_tags() -> dict[str, list[str]]:
    """timm's architectures → the tags of their published weights; one without a tag cannot be asked for by it."""
    found: dict[str, list[str]] = {}
    for name in sorted(timm.list_pretrained()):
        architecture, _, tag = name.partition(".")
        if tag:
            found.setdefault(architecture, []).append(tag)
    return found


def _unserved() -> dict[str, str]:
    """open_clip's architectures that no job can use → why not."""
    found = {}
    for name in sorted(open_clip.list_models()):
        try:
            check_config({"model_cfg": open_clip.get_model_config(name)})
        except ModelError as error:
            found[name] = str(error)
    return found


if __name__ == "__main__":
    main()
