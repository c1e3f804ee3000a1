"""What steps need beside torch, loaded one by one while there is nothing to do.

Loading all of it takes seconds, so a worker looks for work without: its first step loads what that one needs, and a
worker that finds nothing loads the rest before somebody waits for it.
"""

from importlib import import_module

MODULES = (
    "negmerge.models.classifiers",  # timm
    "negmerge.models.zero_shot",  # open_clip
    "worker.prepare",
    "worker.tune",
    "worker.rival",
    "worker.conclude",
    "negmerge.evaluation.membership",
    "negmerge.report.plots",  # matplotlib
)


class Ahead:
    """The modules that are still to be loaded. Only the computing thread uses it."""

    def __init__(self) -> None:
        self._left = list(reversed(MODULES))

    def load_one(self) -> bool:
        """Load the next module. False where none is left: between two there is time to look for work."""
        if not self._left:
            return False
        import_module(self._left.pop())
        return True
