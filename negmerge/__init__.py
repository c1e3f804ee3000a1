"""NegMerge: machine unlearning by sign-consensual merging of fine-tuned models (arXiv 2410.05583).

What a notebook needs is here (docs/library.md). Importing this package loads nothing of it: a name loads its room, and
torch with it, when it is first asked for, so the service's front door may use the rooms that are free of torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING

__version__ = "0.1.0"

__all__ = [
    "NegmergeError",
    "TaskVector",
    "__version__",
    "apply",
    "load_model",
    "load_result",
    "load_tensors",
    "merge",
    "run",
    "save_tensors",
    "task_vector",
    "unlearned",
]

if TYPE_CHECKING:
    from negmerge.checkpoints.files import load_tensors, save_tensors
    from negmerge.errors import NegmergeError
    from negmerge.merging.apply import apply
    from negmerge.merging.files import merge_files as merge
    from negmerge.merging.vectors import TaskVector, task_vector, unlearned
    from negmerge.models.loading import load_model
    from negmerge.pipeline.run_local import run_local as run
    from negmerge.spec.result import load_result
else:
    _HOMES = {
        "NegmergeError": "errors:NegmergeError",
        "TaskVector": "merging.vectors:TaskVector",
        "apply": "merging.apply:apply",
        "load_model": "models.loading:load_model",
        "load_result": "spec.result:load_result",
        "load_tensors": "checkpoints.files:load_tensors",
        "merge": "merging.files:merge_files",
        "run": "pipeline.run_local:run_local",
        "save_tensors": "checkpoints.files:save_tensors",
        "task_vector": "merging.vectors:task_vector",
        "unlearned": "merging.vectors:unlearned",
    }

    def __getattr__(name: str) -> object:
        """The public names, each loaded from its room when it is first asked for (PEP 562)."""
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        room, _, found = _HOMES[name].partition(":")
        globals()[name] = getattr(import_module(f"{__name__}.{room}"), found)
        return globals()[name]

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})
