"""A model on a hub of Hugging Face's, by its repository and one commit: ``hf-hub:owner/name@40 hex digits``. No torch.

A branch or a tag may be another model tomorrow, so a commit is asked for: the same spec always means the same weights.
"""

import re
from dataclasses import dataclass

from negmerge.errors import ModelError

SCHEME = "hf-hub:"
_NAME = r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,94}[A-Za-z0-9])?"
_REFERENCE = re.compile(rf"{SCHEME}({_NAME}/{_NAME}|{_NAME})@([0-9a-f]{{40}})")


@dataclass(frozen=True)
class HubReference:
    """A repository, ``owner/name`` or a bare name of old, and the commit."""

    repository: str
    revision: str


def parsed(text: str) -> HubReference:
    """Raises ModelError, saying how to find the commit, where the text names no repository with one."""
    found = _REFERENCE.fullmatch(text)
    if found is None or ".." in text or "--" in found[1]:
        raise ModelError(
            f"{text[:200]!r} must be {SCHEME}OWNER/NAME@COMMIT with the 40 hex digits of a commit, which stays what it "
            "is: the hub shows it under History, and `git ls-remote https://HUB/OWNER/NAME` prints it"
        )
    return HubReference(found[1], found[2])
