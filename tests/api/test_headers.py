"""What request headers say, as RFC 9110 reads them."""

import pytest

from app.api.headers import names, prefers

STREAM, JSON = "text/event-stream", "application/json"


@pytest.mark.parametrize(
    ("accept", "asked"),
    [
        ("", False),
        ("*/*", False),
        ("text/*", False),
        (STREAM, True),
        ("Text/Event-Stream", True),
        ("text/event-stream; charset=utf-8", True),
        ("text/event-stream;q=0", False),
        ("text/event-stream;q=0.000, application/json", False),
        ("text/event-stream;q=0.5", True),
        ("text/event-stream;q=0.5, application/json;q=0.4", True),
        ("text/event-stream;q=0.4, application/json;q=0.5", False),
        ("application/json, text/event-stream", True),
        ("text/event-stream;Q=0.1", True),
        ("text/event-stream;q=2", False),
        ("text/event-stream;q=", False),
        ("application/x-text/event-stream", False),
        ("text/event-streams", False),
    ],
)
def test_a_stream_is_given_where_it_is_asked_for_by_name_and_no_less_than_json(accept: str, asked: bool) -> None:
    assert prefers(accept, STREAM, JSON) is asked


@pytest.mark.parametrize(
    ("header", "weak", "strong"),
    [
        (None, False, False),
        ("*", True, True),
        ('"a"', True, True),
        ('"b", "a"', True, True),
        ('W/"a"', True, False),
        ('"b"', False, False),
        ("", False, False),
    ],
)
def test_entity_tags_are_compared_weakly_or_strongly(header: str | None, weak: bool, strong: bool) -> None:
    assert names(header, '"a"', weak=True) is weak
    assert names(header, '"a"', weak=False) is strong
