"""A finished job's files in a bucket that its spec names (``deliver``), below a place that the operator allows.

Each job's files lie below its own id, so no job overwrites another's. ``result.json`` comes last: where it is, all is.
"""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Self

from obstore.exceptions import NotFoundError, PermissionDeniedError, UnauthenticatedError

from app.settings import Settings
from app.store.objects import ObjectMissing, Store, StoreUnavailable
from app.store.places import prefix_at
from negmerge.errors import DataError, PublishError
from negmerge.progress import OnStep, ignore
from negmerge.spec import paths

LAST = paths.RESULT
PROBE = ".negmerge-may-write"
"""An empty object that says, before a job begins, that its files can be written."""


@dataclass(frozen=True)
class Destination:
    """Where a spec's ``deliver`` leads to: a store of the operator's, and the prefix below it."""

    uri: str
    store_url: str
    prefix: PurePosixPath

    @classmethod
    def of(cls, uri: str, settings: Settings) -> Self:
        """Raises DataError, saying which setting decides, unless the URI is below an allowed place."""
        place = prefix_at(uri)
        allowed = place.below(settings.deliver_to)
        if allowed is None:
            raise DataError(f"{uri!r} is not below a place that results may be delivered to (NEGMERGE_DELIVER_TO)")
        return cls(uri, allowed.text, place.key.relative_to(allowed.prefix))

    def probe(self) -> None:
        """See that files can be written. Raises PublishError where they may not be, StoreUnavailable in an outage."""
        with tempfile.TemporaryDirectory() as folder:
            empty = Path(folder) / "empty"
            empty.touch()
            self._put(Store.open(self.store_url), PROBE, empty, ignore)

    def deliver(self, job_id: str, folder: Path, names: Sequence[str], on_step: OnStep) -> None:
        """Copy files of ``folder`` by their paths below the job's id; again is the same. Raises as ``probe``."""
        store = Store.open(self.store_url)
        for name in sorted(names, key=lambda name: (name == LAST, name)):
            self._put(store, f"{job_id}/{name}", folder / name, on_step)

    def _put(self, store: Store, name: str, path: Path, on_step: OnStep) -> None:
        try:
            store.put_file(str(self.prefix / name), path, on_step)
        except (ObjectMissing, StoreUnavailable) as error:
            if isinstance(error.__cause__, NotFoundError):
                raise PublishError(f"there is no bucket for {self.uri!r}: make it, or deliver elsewhere") from None
            if isinstance(error.__cause__, PermissionDeniedError | UnauthenticatedError):
                raise PublishError(f"the service's own credentials may not write below {self.uri!r}") from None
            raise
