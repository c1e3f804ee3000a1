"""Where in a checkpoint the weights lie: under one of the keys that trainers use, or under the one that is told."""

from collections import Counter, deque
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from negmerge.errors import CheckpointError
from negmerge.naming import shown

NESTS = (
    *("state", "state_dict", "model", "model_state_dict", "model_state", "net", "network", "weights", "params"),
    *("module", "model_weights", "net_state_dict"),
    *("generator", "classifier", "backbone", "encoder", "student", "teacher"),
    *("ema", "model_ema", "ema_model", "state_dict_ema", "ema_state_dict", "params_ema", "ema_params", "ema_weights"),
)
"""Where training scripts keep the weights beside the epoch and the optimizer."""

_OF_TRAINING = ("optim", "sched", "scaler", "amp", "rng", "random", "loss", "criterion", "metric", "callback", "hook")
"""Words in the keys of what is no model's weights."""
_OF_OPTIMIZERS = {"exp_avg", "exp_avg_sq", "momentum_buffer", "square_avg"}
"""What optimizers keep for each parameter."""
_FEW, _SHORT = 4, 1000
"""The most tensors, and elements of one, of what is taken for numbers beside the weights, such as means of pixels."""
_DEEPEST = 8
"""Levels that are looked into: a pickle may hold itself."""
_MOST_TOLD = 20


def found(document: Any, file: Path) -> Any:
    """The weights in a checkpoint, wherever its trainer put them. Raises CheckpointError where it has several."""
    path: list[str] = []
    while isinstance(document, Mapping) and len(path) < _DEEPEST:
        nests = [name for name in NESTS if _holds_tensors(document.get(name))]
        beside = [name for name, value in document.items() if name not in nests and _may_be_weights(name, value)]
        weights = [name for name in (*nests, *beside) if not _is_small(document[name])] or nests
        if not nests or weights[0] not in nests:
            break
        if len(weights) > 1:
            keys = ", ".join(".".join([*path, str(name)]) for name in weights)
            joined = "" if _are_copies(document[name] for name in weights) else _JOIN
            raise CheckpointError(f"{file} has weights under {keys}: say which with --key{joined}")
        path.append(weights[0])
        document = document[weights[0]]
    return document


_JOIN = ", or join them in one state dict where they are parts of one model"


def at(document: Any, key: str, file: Path) -> Any:
    """What lies at a dotted key, of mappings and lists. Raises CheckpointError with the keys that are there."""
    place, left = document, key
    while left:
        inside = _inside(place)
        name = max((one for one in inside if left == one or left.startswith(f"{one}.")), key=len, default=None)
        if name is None:
            known = ", ".join([*inside][:_MOST_TOLD]) or "none"
            raise CheckpointError(f"{file} has no key {shown(key)}: there are {known}")
        place, left = inside[name], left[len(name) + 1 :]
    return place


def places(document: Any) -> list[str]:
    """The dotted keys, as ``at`` takes them, under which there may be weights; the first that are found."""
    keys: list[str] = []
    waiting: deque[tuple[tuple[str, ...], Any]] = deque([((), document)])
    seen = {id(document)}
    while waiting and len(keys) < _MOST_TOLD:
        path, place = waiting.popleft()
        for name, value in _inside(place).items():
            if id(value) in seen or len(path) == _DEEPEST or any(word in name.lower() for word in _OF_TRAINING):
                continue
            if _may_be_weights(name, value) and not _is_small(value):
                keys.append(".".join([*path, name]))
            elif isinstance(value, Mapping | list | tuple):
                seen.add(id(value))
                waiting.append(((*path, name), value))
    return keys[:_MOST_TOLD]


def _inside(place: Any) -> dict[str, Any]:
    """What lies in a mapping by its keys' text, or in a list by number. Of two keys of one text, the text."""
    if isinstance(place, list | tuple):
        return {str(number): value for number, value in enumerate(place)}
    if not isinstance(place, Mapping):
        return {}
    texts = {name: value for name, value in place.items() if isinstance(name, str)}
    return {str(name): value for name, value in place.items()} | texts


def _may_be_weights(name: Any, value: Any) -> bool:
    """Whether tensors by name lie here that are no optimizer's nor what else goes on with a training."""
    if not isinstance(name, str) or any(word in name.lower() for word in _OF_TRAINING):
        return False
    if not isinstance(value, Mapping) or _OF_OPTIMIZERS & value.keys():
        return False
    tensors = [item for key, item in value.items() if isinstance(key, str)]
    return any(isinstance(item, Tensor) and item.ndim for item in tensors)


def _is_small(value: Any) -> bool:
    """Whether these are a few vectors that no layer has, such as the means and deviations of pixels."""
    tensors = dict(_tensors_in(value))
    vectors = all(sum(side > 1 for side in t.shape) <= 1 and t.numel() <= _SHORT for t in tensors.values())
    return vectors and len(tensors) <= _FEW and not any("weight" in name for name in tensors)


def _are_copies(values: Iterator[Any]) -> bool:
    """Whether all have the shapes of the smallest, as averaged weights do, and the parts of a model do not."""
    shapes = [Counter(tensor.shape for _, tensor in _tensors_in(value)) for value in values]
    smallest = min(shapes, key=lambda one: one.total())
    return all(smallest <= other for other in shapes)


def _tensors_in(value: Any) -> Iterator[tuple[str, Tensor]]:
    """All tensors in mappings in mappings, by their own names; what is there twice counts once."""
    waiting, seen = deque([(value, 0)]), {id(value)}
    while waiting:
        place, depth = waiting.popleft()
        for name, item in place.items() if isinstance(place, Mapping) else ():
            if isinstance(item, Tensor):
                yield str(name), item
            elif id(item) not in seen and depth < _DEEPEST:
                seen.add(id(item))
                waiting.append((item, depth + 1))


def _holds_tensors(value: Any) -> bool:
    return next(_tensors_in(value), None) is not None
