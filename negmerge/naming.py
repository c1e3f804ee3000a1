"""Names that come from outside: which are taken for a class or a prompt, when two are one, and how any is shown."""

import unicodedata

MAX_NAME = 200
"""Most characters of a class's name."""

NAME_RULE = f"at most {MAX_NAME} characters that can all be seen"

_UNSEEN_KINDS = frozenset({"Cc", "Cf", "Cn", "Co", "Cs", "Zl", "Zp"})
"""Control and format characters (right-to-left marks, zero-width ones), what has no meaning, what breaks a line."""
_UNSEEN = frozenset(
    map(
        chr,
        (
            *(0x034F, 0x115F, 0x1160, 0x17B4, 0x17B5, *range(0x180B, 0x1810), 0x3164, 0xFFA0),
            *(*range(0xFE00, 0xFE10), *range(0xFFF0, 0xFFF9), *range(0xE0000, 0xE1000)),
            *(0x2800, 0x1107F, 0x16FE4, 0x1D159),
        ),
    )
)
"""Characters of other kinds that show nothing: Unicode's Default_Ignorable_Code_Point, and a few blank ones.

The variation selectors among them, U+FE0F behind an emoji too: with it and without, two names look the same.
"""


def is_seen(text: str) -> bool:
    """Whether every character of the text can be seen, or is a space."""
    return not any(_is_unseen(char) for char in text)


def is_name(text: str) -> bool:
    """Whether this may be a class's name: something to be seen, and ``NAME_RULE``."""
    return bool(text.strip()) and len(text) <= MAX_NAME and is_seen(text)


def quoted(name: str) -> str:
    """A name in quotation marks, with what cannot be seen escaped."""
    return f"“{visible(name)}”"


def visible(text: str) -> str:
    """The text with what cannot be seen escaped (``\\u202e``), so that no terminal or page obeys it."""
    if text.isascii() and text.isprintable():  # nearly all are, and lists of them may be long
        return text
    return "".join(ascii(char)[1:-1] if _is_unseen(char) else char for char in text)


def shown(name: str) -> str:
    """A name for a message: quoted, with what cannot be seen escaped, and spaces that only look like U+0020."""
    return f"'{''.join(ascii(char)[1:-1] if _is_other_space(char) else char for char in visible(name))}'"


def one_form(name: str) -> str:
    """The name in Unicode's composed form (NFC): é is one character, as on Linux, or two, as a Mac writes it."""
    return unicodedata.normalize("NFC", name)


def alike(name: str) -> str:
    """The form that two names share when they differ only in compatibility forms, case or spaces."""
    return " ".join(unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold()).split())


def _is_unseen(char: str) -> bool:
    if char.isascii():
        return not " " <= char <= "~"
    return char in _UNSEEN or unicodedata.category(char) in _UNSEEN_KINDS


def _is_other_space(char: str) -> bool:
    return char != " " and unicodedata.category(char) == "Zs"
