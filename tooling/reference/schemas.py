"""The schemas of the OpenAPI document, as Markdown: what each field is, what it takes, what it means."""

import json
from collections.abc import Iterator
from typing import Any

from tooling.reference.tables import code, table

Schema = dict[str, Any]

PAGE = "schemas.md"
"""The page that has a section for each schema, beside the one with the operations."""

_BOUNDS = {
    "minimum": "≥ {}",
    "exclusiveMinimum": "> {}",
    "maximum": "≤ {}",
    "exclusiveMaximum": "< {}",
    "minLength": "at least {} characters",
    "maxLength": "at most {} characters",
    "minItems": "at least {} entries",
    "maxItems": "at most {} entries",
    "maxProperties": "at most {} entries",
}
_KINDS = {
    "string": "text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "null": "null",
    "object": "an object",
}


def sections(made: Schema) -> str:
    """All schemas of an OpenAPI document, in the order of their names. What is required is told of what is sent."""
    schemas = made["components"]["schemas"]
    sent = _reached([one.get("requestBody", {}) for item in made["paths"].values() for one in item.values()], schemas)
    return "\n".join(_section(name, schemas[name], sent=name in sent) for name in sorted(schemas))


def linked(schema: Schema) -> str:
    """A reference as a link to its section."""
    name = schema["$ref"].rpartition("/")[2]
    return f"[{name}]({PAGE}#{name.lower()})"


def kind_of(schema: Schema) -> str:
    """What a value is, in words: ``a list of text``, ``[Sweep](…) or `"auto"` ``."""
    if "$ref" in schema:
        return linked(schema)
    if "const" in schema:
        return code(json.dumps(schema["const"]))
    if "enum" in schema:
        return ", ".join(code(json.dumps(word)) for word in schema["enum"])
    for several in ("anyOf", "oneOf"):
        if schema.get(several):
            return " or ".join(dict.fromkeys(kind_of(one) for one in schema[several]))
    if schema.get("type") == "array":
        items = schema.get("prefixItems", [schema.get("items", {})])
        return "a list of " + ", ".join(kind_of(one) for one in items)
    if schema.get("type") == "object" and (values := _values(schema)):
        return f"an object of {kind_of(values)}"
    return {"date-time": "a time (RFC 3339)", "binary": "bytes"}.get(schema.get("format", "")) or _KINDS.get(
        schema.get("type", ""), "any JSON"
    )


def limits_of(schema: Schema) -> str:
    """Bounds and default of a value, in brackets; those of the one kind that is not null."""
    told = [_bound(name, one[name]) for one in _alternatives(schema) for name in _BOUNDS if name in one]
    if not isinstance(schema.get("default"), (dict, list, type(None))):  # of objects and lists their own section tells
        told.append(f"default {code(json.dumps(schema['default'], ensure_ascii=False))}")
    return f"({', '.join(dict.fromkeys(told))})" if told else ""


def _section(name: str, schema: Schema, *, sent: bool) -> str:
    parts = [f"## {name} {{ #{name.lower()} }}\n", _code_of_rest(schema.get("description", "")) + "\n"]
    if "enum" in schema:
        parts.append(f"One of {kind_of(schema)}.\n")
    required = schema.get("required", []) if sent else []
    parts.append(table(["field", "takes" if sent else "is", "meaning"], _fields(schema, required)))
    return "\n".join(part for part in parts if part.strip())


def _fields(schema: Schema, required: list[str]) -> Iterator[tuple[str, str, str]]:
    for name, field in schema.get("properties", {}).items():
        taken = " ".join(filter(None, (kind_of(field), limits_of(field))))
        yield (
            code(name) + (", required" if name in required else ""),
            taken,
            _code_of_rest(field.get("description", "")),
        )


def _reached(node: Any, schemas: Schema) -> set[str]:
    """The names of all schemas that a part of the document leads to."""
    found: set[str] = set()
    waiting = [node]
    while waiting:
        one = waiting.pop()
        if isinstance(one, list):
            waiting += one
        elif isinstance(one, dict):
            waiting += one.values()
            name = str(one.get("$ref", "")).rpartition("/")[2]
            if name in schemas and name not in found:
                found.add(name)
                waiting.append(schemas[name])
    return found


def _code_of_rest(text: str) -> str:
    """A docstring's ````code```` as Markdown's."""
    return text.replace("``", "`")


def _values(schema: Schema) -> Schema:
    """What an object's values are, where it is a mapping."""
    found: Any = schema.get("additionalProperties") or next(iter(schema.get("patternProperties", {}).values()), {})
    return found if isinstance(found, dict) else {}


def _alternatives(schema: Schema) -> list[Schema]:
    return [schema, *(one for one in schema.get("anyOf", []) if one.get("type") != "null")]


def _bound(name: str, value: float) -> str:
    if name in ("minLength", "minItems") and value == 1:
        return "not empty"
    return _BOUNDS[name].format(f"{value:,.15g}".replace(",", "\u202f"))
