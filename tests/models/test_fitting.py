"""Tensors' names brought to an architecture's: what wrappers and pruning put there, what others call a part."""

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors.torch import load_file
from torch import Tensor
from torch.distributed.algorithms._checkpoint.checkpoint_wrapper import checkpoint_wrapper
from torch.nn.utils import parametrizations, parametrize, prune

from negmerge.errors import TensorError
from negmerge.models.convert import convert, convert_plain
from negmerge.models.fitting import fitted
from tests.support import pico_timm

CONFIG = pico_timm.CONFIGS["resnet18"]
remove: Any = prune.remove
unstructured: Any = prune.l1_unstructured


@pytest.fixture
def module() -> Any:
    return pico_timm.module(CONFIG)


def brought_in(tmp_path: Path, state: dict[str, Tensor], config: dict[str, Any] = CONFIG) -> tuple[str, ...]:
    """What was done to the state dict on its way to a folder, ``tmp_path / "out"``."""
    (tmp_path / "config.json").write_text(json.dumps(config))
    torch.save(state, tmp_path / "checkpoint.pth")
    return convert(tmp_path / "checkpoint.pth", tmp_path / "config.json", tmp_path / "out").done


def written(tmp_path: Path) -> dict[str, Tensor]:
    return load_file(tmp_path / "out" / "model.safetensors")


def same(left: dict[str, Tensor], right: dict[str, Tensor]) -> bool:
    return left.keys() == right.keys() and all(torch.equal(left[name], right[name]) for name in left)


@pytest.mark.parametrize(
    ("word", "wrap"),
    [
        ("_orig_mod", torch.compile),
        ("module", torch.nn.DataParallel),
        ("_checkpoint_wrapped_module", checkpoint_wrapper),
    ],
)
def test_a_wrapper_of_a_part_is_taken_out_of_its_names_and_said(
    tmp_path: Path, module: Any, word: str, wrap: Callable[[Any], Any]
) -> None:
    plain = copy.deepcopy(module.state_dict())
    module.layer1, module.layer2[0] = wrap(module.layer1), wrap(module.layer2[0])
    wrapped = sum(name.startswith(("layer1", "layer2")) for name in plain)
    named = [*module.named_parameters(), *module.named_buffers()]  # where checkpoint_wrapper does not hide itself
    state = {f"module.{name}": tensor.detach() for name, tensor in named}
    assert brought_in(tmp_path, state) == ("took 'module.' off all names", f"took {word!r} out of {wrapped} names")
    assert same(written(tmp_path), plain)


def test_wrappers_in_wrappers_are_taken_out() -> None:
    name = "a._fsdp_wrapped_module._checkpoint_wrapped_module.b._orig_mod.weight"
    found, _ = fitted({name: torch.zeros(1)}, {"a.b.weight": torch.zeros(1)})
    assert list(found) == ["a.b.weight"]


def test_a_word_that_the_architecture_has_itself_stays() -> None:
    state = {"a.module.weight": torch.zeros(1), "b.module.weight": torch.zeros(1)}
    assert fitted(state, {"a.weight": torch.zeros(1), "b.module.weight": torch.zeros(1)})[0].keys() == state.keys()


def test_two_names_that_would_become_one_stay() -> None:
    state = {"a.module.weight": torch.zeros(1), "a.weight": torch.ones(1)}
    assert fitted(state, {"a.weight": torch.zeros(1)}) == (state, [])


# Weights kept as what makes them.


def test_masks_of_pruning_are_applied_as_torch_does_it(tmp_path: Path, module: Any) -> None:
    for part in (module.fc, module.layer1[0].conv1):
        unstructured(part, "weight", amount=0.3)
    state = copy.deepcopy(module.state_dict())
    for part in (module.fc, module.layer1[0].conv1):
        remove(part, "weight")
    assert brought_in(tmp_path, state) == ("applied the masks of 2 pruned tensors",)
    assert same(written(tmp_path), module.state_dict())


def test_masks_of_pruning_are_applied_without_a_config_too(tmp_path: Path, module: Any) -> None:
    unstructured(module.fc, "bias", amount=2)
    torch.save(module.state_dict(), tmp_path / "checkpoint.pth")
    remove(module.fc, "bias")
    done = convert_plain(tmp_path / "checkpoint.pth", tmp_path / "w.safetensors").done
    assert done == ("applied the masks of 1 pruned tensors",)
    assert same(load_file(tmp_path / "w.safetensors"), module.state_dict())


def test_a_mask_of_endless_shape_and_no_size_is_not_applied() -> None:
    endless = torch.zeros(1).expand(10**15)
    state = {"w_orig": endless, "w_mask": endless}
    assert fitted(state, {"w": torch.zeros(1)})[0].keys() == state.keys()


@pytest.mark.parametrize(
    ("wrap", "undone"),
    [
        (parametrizations.weight_norm, r"parametrize\.remove_parametrizations\(layer, 'weight'\)"),
        (parametrizations.spectral_norm, r"parametrize\.remove_parametrizations\(layer, 'weight'\)"),
        (lambda part: parametrize.register_parametrization(part, "weight", torch.nn.Tanh()), "remove_parametrizations"),
        (torch.nn.utils.spectral_norm, r"remove_spectral_norm\(layer\)"),
    ],
    ids=["weight norm", "spectral norm", "a parametrisation", "spectral norm of old"],
)
def test_a_parametrised_layer_is_told_with_what_undoes_it(
    tmp_path: Path, module: Any, wrap: Callable[[Any], Any], undone: str
) -> None:
    wrap(module.fc)
    with pytest.raises(
        TensorError, match=rf"'fc\.weight': is kept as what makes it .*: save the model after .*{undone}"
    ):
        brought_in(tmp_path, module.state_dict())


@pytest.mark.filterwarnings("ignore:.*weight_norm.*:FutureWarning")
def test_weight_norm_of_old_is_told_with_what_undoes_it(tmp_path: Path, module: Any) -> None:
    old: Any = torch.nn.utils.weight_norm
    old(module.fc)
    with pytest.raises(TensorError, match=r"'fc\.weight': is kept as .* after torch\.nn\.utils\.remove_weight_norm"):
        brought_in(tmp_path, module.state_dict())


# Heads and parts.


def test_a_head_behind_a_dropout_is_renamed(tmp_path: Path, module: Any) -> None:
    plain = copy.deepcopy(module.state_dict())
    module.fc = torch.nn.Sequential(torch.nn.Dropout(0.5), module.fc)
    assert brought_in(tmp_path, module.state_dict()) == ("renamed 'fc.1' to 'fc'",)
    assert same(written(tmp_path), plain)


def test_a_head_behind_another_layer_is_not_renamed(tmp_path: Path, module: Any) -> None:
    module.fc = torch.nn.Sequential(torch.nn.Linear(8, 8), torch.nn.ReLU(), module.fc)
    with pytest.raises(TensorError, match=r"'fc\.weight': is missing: the nearest name .* is 'fc\.2\.weight'"):
        brought_in(tmp_path, module.state_dict())


def test_of_two_layers_that_may_be_the_head_none_is_renamed(tmp_path: Path, module: Any) -> None:
    state = module.state_dict()
    for name in ("weight", "bias"):
        state[f"linear.{name}"] = state[f"head.{name}"] = state.pop(f"fc.{name}")
    with pytest.raises(TensorError, match=r"'fc\.weight': is missing"):
        brought_in(tmp_path, state)


def test_a_resnet_of_kuangliu_is_brought_in(tmp_path: Path) -> None:
    """Its names, of https://github.com/kuangliu/pytorch-cifar: ``shortcut`` and ``linear``."""
    config = pico_timm.CONFIGS["resnet18-cifar"] | {"model_args": {"layers": [1, 1, 1, 1], "channels": [8, 16, 16, 16]}}
    plain = pico_timm.module(config).state_dict()
    renamed = {name.replace("downsample.", "shortcut.").replace("fc.", "linear."): t for name, t in plain.items()}
    done = brought_in(tmp_path, {f"module.{name}": tensor for name, tensor in renamed.items()}, config)
    count = sum("downsample" in name for name in plain)
    assert done[1:] == (f"renamed 'shortcut' to 'downsample' in {count} names", "renamed 'linear' to 'fc'")
    assert same(written(tmp_path), dict(plain))


def test_a_part_with_more_than_the_architectures_is_told_with_the_nearest_name(tmp_path: Path, module: Any) -> None:
    plain = module.state_dict()
    state = {name.replace("downsample.", "shortcut."): tensor for name, tensor in plain.items()}
    told = r"downsample\.0\.weight': is missing: the nearest name .* is '.*\.shortcut\.0\.weight'\. Where"
    with pytest.raises(TensorError, match=told):
        brought_in(tmp_path, state | {"layer2.0.shortcut.2.weight": torch.zeros(1)})


def test_no_architecture_of_timm_is_renamed_itself() -> None:
    """A state dict that fits as it is stays as it is, whatever its parts are called."""
    for name in ("test_resnet", "test_vit", "test_efficientnet", "test_convnext", "test_mambaout"):
        state = timm.create_model(name, num_classes=3).state_dict()
        assert fitted(state, state)[1] == []
