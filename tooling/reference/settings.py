"""The settings of the service, of ``app.settings``: each with its default, its bounds and what it means."""

from pathlib import Path

from pydantic.fields import FieldInfo

from app.settings import Settings
from tooling.reference.schemas import Schema, kind_of, limits_of
from tooling.reference.tables import code, size

DATA_DIR = Path("/DATA_DIR")
"""Stands in defaults for NEGMERGE_DATA_DIR."""


def page() -> str:
    """A section for each setting, in the order of the class: default, what is taken, meaning."""
    taken = Settings.model_json_schema()["properties"]
    return "\n".join(
        f"## NEGMERGE_{name.upper()}\n\n"
        f"Default: {_default(name, field)} · Takes: {_taken(taken[name])}\n\n{field.description}\n"
        for name, field in Settings.model_fields.items()
    )


def _default(name: str, field: FieldInfo) -> str:
    value = field.get_default(call_default_factory=True, validated_data={"data_dir": DATA_DIR})
    if value == "":
        return "empty"
    told = code(f"{value:.15g}" if isinstance(value, float) else str(value))
    words = size(value) if name.endswith("_bytes") else ""
    return f"{told} ({words})" if words else told


def _taken(schema: Schema) -> str:
    """What a variable may hold; words stand there as they are typed, lists as JSON."""
    told = f"{kind_of(schema)} {limits_of({name: schema[name] for name in schema if name != 'default'})}".strip()
    return f"{told}, as JSON" if schema.get("type") == "array" else told.replace('"', "")
