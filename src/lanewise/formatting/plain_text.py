"""Text that came from outside, made safe to show: no control characters, no hidden change of direction."""

import re
import unicodedata

_ANSI = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"  # CSI: colours, cursor movements
    r"|(?:\x1b[\]PX^_]|[\x9d\x90\x98\x9e\x9f]).*?(?:\x07|\x1b\\|\x9c|$)"  # OSC and other strings: titles, links
    r"|\x1b[ -/]*[0-~]",  # two-character escapes
    re.DOTALL,
)
# Marks, embeddings, overrides and isolates of the bidirectional algorithm, and the byte-order mark.
_BIDI = re.compile("[\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]")
_UNSAFE = {"Cc", "Cs", "Zl", "Zp"}
ELLIPSIS = "…"


def clean(text: object) -> str:
    """The text on one line, without terminal escapes, control characters, bidi overrides or lone surrogates.

    >>> clean("a\\x1b[31mred\\x1b[0m\\tb\\u202ec")
    'ared bc'
    """
    kept = _BIDI.sub("", _ANSI.sub("", str(text)))
    if kept.isprintable():
        return kept
    spaced = "".join(_plain(char) for char in kept)
    return re.sub(r" {2,}", " ", spaced).strip()


def _plain(char: str) -> str:
    if char in "\t\n\r\v\f\x85\u2028\u2029":
        return " "
    category = unicodedata.category(char)
    if category == "Cs":
        return "\ufffd"
    return "" if category in _UNSAFE else char


def visible(text: str) -> str:
    """The text with its line ends; what else could steer a terminal is written as in a program.

    >>> print(visible("red\\x1b[31m\\nof\\u202e"))
    red\\x1b[31m
    of\\u202e
    """
    return "".join(char if char == "\n" or not _steers(char) else repr(char)[1:-1] for char in text)


def _steers(char: str) -> bool:
    return unicodedata.category(char) in _UNSAFE or _BIDI.match(char) is not None


def shorten(text: object, limit: int = 40) -> str:
    """The cleaned text, cut in the middle to at most ``limit`` characters: the ends of long names tell them apart.

    >>> shorten("a_very_long_column_name_2024", 15)
    'a_very_…me_2024'
    """
    kept = clean(text)
    if len(kept) <= limit:
        return kept
    head = limit // 2
    return f"{kept[:head]}{ELLIPSIS}{kept[len(kept) - (limit - head - 1) :]}"


def columns_of(text: str) -> int:
    """How many columns of a terminal a text takes: wide signs take two, combining ones none.

    >>> columns_of("abc"), columns_of("日本"), columns_of("e\\u0301")
    (3, 4, 1)
    """
    return sum(_sign_columns(sign) for sign in text)


def _sign_columns(sign: str) -> int:
    if unicodedata.combining(sign) or unicodedata.category(sign) == "Cf":
        return 0
    return 2 if unicodedata.east_asian_width(sign) in "WF" else 1
