"""Reading back what a job left behind."""

import json
from pathlib import Path
from typing import Any

from negmerge.errors import NegmergeError


def load_result(path: Path | str) -> dict[str, Any]:
    """A job's result document: its ``result.json``, or the one in the folder that a job wrote.

    Raises NegmergeError where there is none, or where the file holds no JSON object.
    """
    file = Path(path)
    file = file / "result.json" if file.is_dir() else file
    try:
        document = json.loads(file.read_bytes())
    except OSError as error:
        raise NegmergeError(f"{file} cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise NegmergeError(f"{file} is not a JSON document: {error}") from None
    if not isinstance(document, dict):
        raise NegmergeError(f"{file} should hold a JSON object: a job's result")
    return document
