"""A whole pico job in this process, for tests of what comes out of it."""

import json
from pathlib import Path
from typing import Any

from negmerge.pipeline import run as pipeline
from negmerge.pipeline.local import open_datasets, open_model
from negmerge.pipeline.unfinished import unfinished
from negmerge.progress import ignore
from negmerge.spec.job import parse
from tests.support import pico

KEEP = 0.8
"""So small a model forgets a class only at some cost to the others."""


def spec_document(folder: Path, **changes: Any) -> dict[str, Any]:
    """A spec that forgets "three" with four points; makes the model and the archive that it names."""
    archive = str(pico.make_archive(folder / "digits.zip", per_class=100))
    document: dict[str, Any] = {
        "base_model": {"family": "open_clip", "weights": str(pico.make_model(folder / "model"))},
        "forget": {"uri": archive, "select": {"classes": ["three"]}},
        "retain": {"uri": archive},
        "sweep": {
            "grid": {
                "learning_rate": [1e-3, 3e-3],
                "epochs": [4, 8],
                "batch_size": [16],
                "label_smoothing": [0.1],  # without it there is too little loss for so small a model to move on
            }
        },
        "scale_search": {"keep": KEEP},
    }
    return document | changes


def run(folder: Path, **changes: Any) -> dict[str, Any]:
    """Run it; the artifacts lie in ``folder / "out"``. Returns the result document as it was written."""
    spec = parse(spec_document(folder, **changes))
    model = open_model(spec, "cpu")
    forget, retain = open_datasets(spec, pico.CLASS_WORDS, pico.TEMPLATES)
    with unfinished(folder / "out") as done:
        pipeline.run(spec, model, forget, retain, done, lambda stage: ignore)
    document: dict[str, Any] = json.loads((folder / "out" / "result.json").read_text())
    return document
