"""The service itself."""

from negmerge.client.asking import asked
from negmerge.client.effects import Call, Request
from negmerge.spec.resources import Meta, Readiness


def meta() -> Call[Meta]:
    """What the service is, what it serves and how much it takes. Answered to anybody: it does not judge the key."""
    return (yield from asked(Request("GET", "/v1/meta"), Meta))


def readiness() -> Call[Readiness]:
    """Whether jobs can be taken, and which part does not answer."""
    return (yield from asked(Request("GET", "/readyz", patience=30.0, answers=frozenset({503})), Readiness))
