"""What a spec selects of its data sets, cut into parts when it is submitted."""

import threading
from typing import Any

import structlog

from app.errors import InternalError, InvalidSpec, Unavailable
from app.record.tables import Dataset
from app.settings import Settings
from app.store.indexes import Indexes
from app.store.objects import Store, StoreUnavailable
from negmerge import confined
from negmerge.data.selection import split
from negmerge.errors import FieldError, SelectionError
from negmerge.spec.figures import SplitCounts
from negmerge.spec.job import JobSpec

log = structlog.get_logger(__name__)

MOST_HERE = 50_000
"""Samples that are cut in this process: nobody waits for 50 ms. A million hold it for a second at a time."""
_OF_THE_STORE = ("AWS_", "SSL_", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy")
_AT_ONCE = 2
_PLACES = 8
"""Submissions that may be cut or wait for it: each holds a thread that other requests need, and there are 40."""


class Cutter:
    """Cuts data sets for submissions: small ones here, large ones in a process of its own (``cut``)."""

    def __init__(self, settings: Settings, store: Store) -> None:
        self._settings = settings
        self._indexes = Indexes(store)
        self._places = threading.BoundedSemaphore(_PLACES)
        self._turns = threading.BoundedSemaphore(_AT_ONCE)

    def counts(self, spec: JobSpec, forget: Dataset | None, retain: Dataset | None) -> SplitCounts | None:
        """Samples by side and part; None where nobody has read a data set yet, as it is only registered.

        Raises InvalidSpec: an unknown class or id, an overlap, nothing to forget or to keep. Unavailable, where the
        store does not answer or too many wait.
        """
        if forget is None or retain is None or forget.index_key is None or retain.index_key is None:
            return None
        try:
            if max(forget.samples or 0, retain.samples or 0) > MOST_HERE:
                return self._cut_elsewhere(spec, forget.index_key, retain.index_key)
            indexes = self._indexes.get(forget), self._indexes.get(retain)
            return split(spec.forget, spec.retain, *indexes, spec.rivals_compared()).counts()
        except SelectionError as error:
            told = f"{error.pointer}: {error}"
            raise InvalidSpec(told, [FieldError(error.pointer, str(error))]) from None

    def _cut_elsewhere(self, spec: JobSpec, forget: str, retain: str) -> SplitCounts:
        question = {
            "store": self._settings.store_url,
            "spec": spec.model_dump(mode="json", exclude_none=True),
            "forget": forget,
            "retain": retain,
        }
        if not self._places.acquire(blocking=False):
            raise Unavailable("too many jobs with large data sets are submitted at once: try again")
        try:
            with self._turns:
                answer = self._answer(question)
        finally:
            self._places.release()
        if "away" in answer:
            raise StoreUnavailable(answer["away"])
        if "wrong" in answer:
            raise SelectionError(answer["wrong"], answer["pointer"])
        return SplitCounts.model_validate(answer["counts"])

    def _answer(self, question: dict[str, Any]) -> dict[str, Any]:
        memory, seconds = self._settings.check_memory_bytes, self._settings.check_seconds
        try:
            return confined.ask("app.intake.cut", question, memory, seconds, inherited=_OF_THE_STORE)
        except confined.TooMuch as limit:
            name = {"memory": "NEGMERGE_CHECK_MEMORY_BYTES", "seconds": "NEGMERGE_CHECK_SECONDS"}[limit.of]
            told = f"the data set is too large to be cut within {name}: name a part of it as a data set of its own"
            raise InvalidSpec(told, [FieldError("/forget", told)]) from None
        except confined.Starved as starved:
            raise Unavailable(f"the data set could not be cut ({starved}): try again") from None
        except confined.Broken as broken:
            log.error("a data set could not be cut", trace=str(broken))
            raise InternalError("the data set could not be cut; the service's log has the cause") from None
