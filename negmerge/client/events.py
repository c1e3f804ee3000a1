"""A job's events as they happen: Server-Sent Events, gone on with by ``Last-Event-ID`` where the stream was cut."""

from pydantic import ValidationError

from negmerge.client.asking import PAGE, asked, begun, pause
from negmerge.client.effects import Call, Close, Flow, Head, Item, Lost, Policy, Request, Retries, Sleep, read
from negmerge.client.errors import NotUnderstood, TooMany, Unreachable
from negmerge.spec import newer
from negmerge.spec.job_resources import Event, Job, Links
from negmerge.spec.resources import Page

STREAM = "text/event-stream"
SILENCE_SECONDS = 45.0
"""The service gives a sign of life every 15 s: a stream that is silent for longer is held up on its way."""
POLL_SECONDS = 2.0
_MAX_LINE_BYTES = 2**20


class Stream:
    """A job's events from a number on. Opened when it is first read, and again where it was cut."""

    def __init__(self, path: str, after: int) -> None:
        self.after = after
        self._path = path
        self._head: Head | None = None
        self._lines = Lines()
        self._failures = 0
        self._silences = 0

    def news(self, patience: float = SILENCE_SECONDS) -> Call[list[Event] | None]:
        """The next events: none where there was but a sign of life, None where the job has ended and all was told.

        Raises Unreachable where the stream is cut again and again, or held up, NotUnderstood where it is none.
        """
        retries: Retries = yield Policy()
        while True:
            try:
                if self._head is None:
                    self._head = yield from self._opened(patience)
                if self._head is None:
                    return None
                piece, why = (yield from read(self._head)), "it ended"
            except Lost as lost:
                piece, why = None, str(lost)
                if lost.silent and self._silences == 0:
                    self._head, self._silences = None, 1
                    return []
            if piece is not None:
                self._failures = self._silences = 0
                return self._new(piece)
            self._head = None
            self._failures += 1
            if self._failures > retries.attempts or self._silences:
                raise Unreachable(f"the stream of events does not come through: {why}")
            yield Sleep(pause(retries, self._failures))

    def _new(self, piece: bytes) -> list[Event]:
        """The events that end in this piece, and were not told before."""
        events = [event for event in self._lines.feed(piece) if event.number > self.after]
        self.after = max([self.after, *(event.number for event in events)])
        return events

    def _opened(self, patience: float) -> Call[Head | None]:
        headers = {"Accept": STREAM, "Last-Event-ID": str(self.after)}
        head = yield from begun(Request("GET", self._path, headers=headers, patience=patience))
        if head.status == 204:  # the job has ended, and its last event was told
            return None
        if head.headers.get("content-type", "").partition(";")[0].strip() != STREAM:
            yield Close(head.answer)
            raise NotUnderstood("the service answers with no stream of events: is there a proxy before it?")
        self._lines = Lines()
        return head


class Lines:
    """The format of event streams (HTML Living Standard, §9.2.6), as far as ours has it: ``data`` of one event."""

    def __init__(self) -> None:
        self._begun = b""
        self._data: list[str] = []

    def feed(self, piece: bytes) -> list[Event]:
        """The events that end in this piece. Raises NotUnderstood."""
        *lines, self._begun = (self._begun + piece).split(b"\n")
        if len(self._begun) > _MAX_LINE_BYTES:
            raise NotUnderstood("an event has no end: is this a NegMerge service?")
        return [event for line in lines if (event := self._line(line.rstrip(b"\r"))) is not None]

    def _line(self, line: bytes) -> Event | None:
        if line:
            name, _, value = line.decode("utf-8", "replace").partition(":")
            if name == "data":
                self._data.append(value.removeprefix(" "))
            return None
        data, self._data = "\n".join(self._data), []
        if not data:
            return None
        try:
            return newer.read(Event, data)
        except ValidationError:
            raise NotUnderstood("an event is not one that this client knows: is it of the service's version?") from None


def followed(job_id: str, after: int) -> Flow[Event]:
    """All events after a number, as they happen, until the job has ended."""
    links = Links.of(job_id)
    stream = Stream(links.events, after)
    try:
        while (events := (yield from stream.news())) is not None:
            for event in events:
                yield Item(event)
    except (NotUnderstood, Unreachable, TooMany):  # then they are asked for
        yield from _polled(links, stream.after)


def _polled(links: Links, after: int) -> Flow[Event]:
    ended = False
    while not ended:
        ended = (
            yield from asked(Request("GET", links.self), Job)
        ).terminal  # before its events, so that none is missed
        page = yield from asked(Request("GET", links.events, {"after": after, "limit": PAGE}), Page[Event])
        for event in page.data:
            after = event.number
            yield Item(event)
        ended = ended and page.next_cursor is None
        if not page.data and not ended:
            yield Sleep(POLL_SECONDS)
