"""What a run on this machine has done so far, kept beside where its result will be, so that it can be gone on with.

``.NAME.unfinished`` holds the exact sums of the points that are done, their rows, and what they were done with: another
spec, other data, another model or other arithmetic would give points that do not belong together. The file
``done.json`` is the truth; it takes the place of its forerunner in one step, and names the sums that it is about.
"""

import fcntl
import json
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from negmerge import __version__
from negmerge.checkpoints.files import atomic_path
from negmerge.checkpoints.tensors import digest
from negmerge.errors import CheckpointError, DataError, MergeError, ModelError, SpecError
from negmerge.evaluation.prepared import Prepared
from negmerge.merging.partial import Partial
from negmerge.models.network import Network
from negmerge.pipeline.tune import new_partial
from negmerge.spec.job import JobSpec
from negmerge.spec.precision import Trained
from negmerge.spec.result import PointRow, RivalRow

_DONE, _LOCK, _RESULT = "done.json", "lock", "result"

Identity = dict[str, Any]
"""What points were done with, by the word that says what differs."""


def identity(spec: JobSpec, model: Network, prepared: Prepared, trained: Trained) -> Identity:
    """What the points of a job depend on: they may be put together where all of it is the same."""
    tensors = {}
    for name, side in prepared.sides.items():
        tensors[f"{name}/head"] = side.head.cpu().contiguous()
        for part, decoded in side.parts.items():
            tensors |= {f"{name}/{part}/images": decoded.images, f"{name}/{part}/labels": decoded.labels}
    return {
        "spec": spec.model_dump(mode="json", exclude_none=True),
        "base model": model.digest,
        "data": [digest(tensors), prepared.data.as_json()],
        "device or number of threads": [torch.device(model.device).type, torch.get_num_threads()],
        "precision": [trained.precision, trained.by],
        "version of torch or of negmerge": [torch.__version__, __version__],
    }


class Unfinished:
    """The folder, held by this process alone. ``result`` is where the artifacts are made."""

    def __init__(self, folder: Path) -> None:
        self.result = folder / _RESULT
        self.points: list[PointRow] = []
        self.rivals: list[RivalRow] = []
        self.retrained: RivalRow | None = None
        self._folder = folder
        self._identity: Identity = {}
        self._names: list[str] = []

    @property
    def begun(self) -> bool:
        """Whether the folder is this job's."""
        return bool(self._identity)

    def begin(self, spec: JobSpec, model: Network, prepared: Prepared, trained: Trained) -> list[Partial]:
        """The partials to go on with, one for each repeat; ``points``, ``rivals`` and ``retrained``, the
        model that λ is to match, are the rows of what is done.

        Raises CheckpointError where the folder holds points of another job.
        """
        now = identity(spec, model, prepared, trained)
        if (self._folder / _DONE).exists():
            kept = json.loads((self._folder / _DONE).read_text())
            if differing := [what for what, found in now.items() if kept["identity"].get(what) != found]:
                raise CheckpointError(
                    f"{self._folder} holds {_told(kept)} of a run with another {differing[0]}: go on "
                    "with what that run had, or begin anew with --restart (restart=True)"
                )
            self.points = [PointRow.model_validate(row) for row in kept["points"]]
            self.rivals = [RivalRow.model_validate(row) for row in kept["rivals"]]
            self.retrained = RivalRow.model_validate(kept["retrained"]) if kept.get("retrained") else None
            self._names = kept["partials"]
        else:
            shutil.rmtree(self.result, ignore_errors=True)
            self._names = [""] * spec.repeats
        self._identity = now
        self.result.mkdir(exist_ok=True)
        return [
            Partial.load(self._folder / name, model.base, spec.merge) if name else new_partial(spec, model)
            for name in self._names
        ]

    def keep_point(self, row: PointRow, repeat: int, partial: Partial) -> None:
        """Remember a point that is done; ``partial`` is its repeat's, with the point in it where it did not diverge."""
        before, name = self._names[repeat], f"partial-{repeat}-{len(self.points)}.safetensors"
        partial.save(self._folder / name)
        self._names[repeat] = name
        self.points.append(row)
        self._write()
        if before:
            (self._folder / before).unlink()

    def keep_rival(self, row: RivalRow) -> None:
        """Remember a rival that is done."""
        self.rivals.append(row)
        self._write()

    def keep_retrained(self, row: RivalRow) -> None:
        """Remember the retrained model that λ is to match."""
        self.retrained = row
        self._write()

    def _write(self) -> None:
        document = {
            "identity": self._identity,
            "points": [row.as_json() for row in self.points],
            "rivals": [row.as_json() for row in self.rivals],
            "retrained": None if self.retrained is None else self.retrained.as_json(),
            "partials": self._names,
        }
        with atomic_path(self._folder / _DONE) as unfinished:
            unfinished.write_text(json.dumps(document))


def kept(out: Path) -> str:
    """What a run that was stopped has left for the next one to go on with, in words; empty where there is nothing."""
    try:
        return _told(json.loads((_folder_of(out) / _DONE).read_text()))
    except FileNotFoundError:
        return ""


def _told(done: dict[str, Any]) -> str:
    named = ["the retrained model"] if done.get("retrained") else []
    for word in ("point", "rival"):
        if number := len(done[f"{word}s"]):
            named.append(f"{number} {word}{'s' if number > 1 else ''}")
    return " and ".join([", ".join(named[:-1]), named[-1]] if len(named) > 1 else named)


def _folder_of(out: Path) -> Path:
    return out.parent / f".{out.name}.unfinished"


@contextmanager
def unfinished(out: Path, *, restart: bool = False) -> Iterator[Unfinished]:
    """The folder of what is done for ``out``. At the end of the block its ``result`` becomes ``out``, and it goes away.

    Where the block is stopped, or the machine fails it, it stays if anything in it is done; where the job itself cannot
    be done, or nothing is, it goes. Raises CheckpointError where another process makes ``out`` now.
    """
    folder = _folder_of(out)
    folder.mkdir(exist_ok=True)
    with (folder / _LOCK).open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise CheckpointError(f"another run makes {out} now: wait for its end, or choose another folder") from None
        if restart:
            (folder / _DONE).unlink(missing_ok=True)
        held, worth_keeping = Unfinished(folder), True
        try:
            yield held
            held.result.rename(out)
            worth_keeping = False
        except (SpecError, DataError, ModelError, MergeError):
            worth_keeping = not held.begun  # it would fail again in the same way
            raise
        finally:
            if not (worth_keeping and (folder / _DONE).exists()):
                shutil.rmtree(folder, ignore_errors=True)
