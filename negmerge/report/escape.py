"""Text of others in what people read: shown, and never obeyed by a browser, a Markdown renderer or a terminal."""

import re
from typing import Any

from markupsafe import Markup

from negmerge.naming import visible

_MARKUP = re.compile(r"[\\`*_\[\]<>|&~!@$#^{}]|(?<=:)//|(?<=[Ww]{3})\.")
"""What means something within a line of Markdown, and what makes a link of a plain address."""


def markdown(text: str) -> str:
    """The text for the middle of a line of Markdown: punctuation behind a backslash is itself (CommonMark, 2.4)."""
    return _MARKUP.sub(r"\\\g<0>", visible(text))


def code(text: str) -> str:
    """The text as Markdown's code, where nothing is escaped: the fence is longer than any inside (CommonMark, 6.1)."""
    text = visible(text)
    fence = "`" * (max(map(len, re.findall("`+", text)), default=0) + 1)
    return f"{fence} {text} {fence}" if "`" in text else f"{fence}{text}{fence}"


def seen(value: Any) -> Any:
    """What a template writes, with what cannot be seen escaped; markup that we made is left as it is."""
    return visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value
