"""A job's spec in a file of this machine: JSON, or YAML where the name ends so."""

from pathlib import Path
from typing import Any

from negmerge.errors import FieldError, SpecError
from negmerge.formats import strict_json, strict_yaml

MAX_SPEC_BYTES = 16 * 2**20
"""The most that a spec has; over HTTP it is 4 MiB."""


def read_document(path: Path) -> dict[str, Any]:
    """The object in a JSON or YAML file (.yaml, .yml). Raises SpecError, also where it is missing or no object."""
    try:
        read = strict_yaml.loads if path.suffix.lower() in (".yaml", ".yml") else strict_json.loads
        with path.open("rb") as file:
            content = file.read(MAX_SPEC_BYTES + 1)  # a device has no end
        if len(content) > MAX_SPEC_BYTES:
            raise SpecError([FieldError("", f"{path} has more than {MAX_SPEC_BYTES} bytes: a job's spec is small")])
        document = read(content)
    except OSError as error:
        raise SpecError([FieldError("", f"{path} cannot be read: {error.strerror}")]) from None
    except strict_json.NotStrict as error:
        raise SpecError([FieldError("", f"{path}: {error}")]) from None
    if not isinstance(document, dict):
        raise SpecError([FieldError("", f"{path} should hold an object: a job's spec")])
    return document
