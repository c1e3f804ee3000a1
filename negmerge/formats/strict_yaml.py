"""YAML of job specs, by the rules of YAML 1.2's core schema, and as strict as ``strict_json``.

PyYAML reads YAML 1.1, where ``1e-5`` is text and ``no`` is false. Anchors, tags and several documents are refused: a
spec has no need of them, and a small file of anchors is a large one.
"""

import json
import re
from typing import Any

import yaml
from yaml.events import CollectionEndEvent, CollectionStartEvent, Event
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from negmerge.formats import strict_json
from negmerge.formats.strict_json import NotStrict

_CORE = (
    ("null", re.compile(r"~|null|Null|NULL|")),
    ("bool", re.compile(r"true|True|TRUE|false|False|FALSE")),
    ("int", re.compile(r"[-+]?[0-9]+")),
    ("int", re.compile(r"0o[0-7]+|0x[0-9a-fA-F]+")),
    ("float", re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")),
    ("float", re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")),
)
"""YAML 1.2.2, §10.3.2."""


def loads(text: bytes) -> Any:
    """The value, of JSON's types. Raises NotStrict."""
    try:
        value = _parsed(text.decode())
    except UnicodeDecodeError:
        raise NotStrict("YAML must be UTF-8") from None
    except NotStrict:
        raise
    except (yaml.YAMLError, ValueError, OverflowError, RecursionError) as error:
        raise NotStrict(f"this is not YAML: {' '.join(str(error).split())[:300]}") from None
    try:
        return strict_json.loads(json.dumps(value, allow_nan=False))  # its limits hold here too
    except NotStrict:
        raise
    except ValueError:
        raise NotStrict("infinity and NaN are no numbers of a spec") from None


def _parsed(text: str) -> Any:
    _check_events(text)
    loader = yaml.SafeLoader(text)
    try:
        node = loader.get_single_node()
    finally:
        loader.dispose()
    return None if node is None else _value(node, 0)


def _check_events(text: str) -> None:
    """Raise NotStrict for an anchor, a tag, or what is nested too deep, before anything is made of it."""
    depth = 0
    for event in yaml.parse(text, Loader=yaml.SafeLoader):
        depth += isinstance(event, CollectionStartEvent) - isinstance(event, CollectionEndEvent)
        if depth > strict_json.MAX_DEPTH:
            raise NotStrict(f"YAML may be nested {strict_json.MAX_DEPTH} deep")
        if getattr(event, "anchor", None) is not None:
            raise NotStrict(f"line {_line(event)} has an anchor or an alias: write it out")
        if getattr(event, "tag", None) is not None:
            raise NotStrict(f"line {_line(event)} has a tag: leave it out")


def _line(place: Event | Node) -> int:
    return place.start_mark.line + 1 if place.start_mark else 0


def _value(node: Node, depth: int) -> Any:
    if depth > strict_json.MAX_DEPTH:
        raise NotStrict(f"YAML may be nested {strict_json.MAX_DEPTH} deep")
    if isinstance(node, SequenceNode):
        return [_value(item, depth + 1) for item in node.value]
    if isinstance(node, MappingNode):
        return _object(node, depth)
    assert isinstance(node, ScalarNode)  # there is no fourth kind
    return _scalar(node)


def _object(node: MappingNode, depth: int) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in node.value:
        name = _value(key, depth + 1)
        if not isinstance(name, str):
            raise NotStrict(f"line {_line(key)} has a key that is no text: put it in quotes")
        if name in found:
            raise NotStrict(f"line {_line(key)}: the key {name!r} is there twice")
        found[name] = _value(value, depth + 1)
    return found


def _scalar(node: ScalarNode) -> Any:
    """A plain scalar by the core schema; one in quotes, or a block, is text."""
    text: str = node.value
    if node.style is not None:
        return text
    kind = next((kind for kind, pattern in _CORE if pattern.fullmatch(text)), "str")
    match kind:
        case "null":
            return None
        case "bool":
            return text.lower() == "true"
        case "int":
            return _whole(text)
        case "float":
            return float(re.sub(r"\.(?=[iInN])", "", text))
    return text


def _whole(text: str) -> int:
    if len(text) > strict_json.MAX_DIGITS:
        raise NotStrict(f"a number may have {strict_json.MAX_DIGITS} digits")
    return int(text, 0) if text[:2] in ("0o", "0x") else int(text)
