"""From bytes to text: the encoding is found, and what could not be decoded is counted.

Text is handed on as UTF-8 bytes, because the readers scan it as an array of bytes.
"""

import codecs
import re

import numpy as np

from lanewise.data.findings import Finding
from lanewise.data.text.foreign_scripts import likely_encodings
from lanewise.data.wording import counted
from lanewise.errors import DataError

BYTE_ORDER_MARKS = (  # UTF-32 first: its little-endian mark begins with that of UTF-16
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_SAMPLE = 2**16
_UTF16_NUL_SHARE = 0.2  # of the high bytes: at least a fifth of the characters are ASCII
_FEW_BYTES = 64
_MAX_CONTROL_SHARE = 0.02
_REPLACEMENT = "\ufffd".encode()
_CONTROLS = bytes(sorted(set(range(32)) - {9, 10, 11, 12, 13, 26, 27, 28, 29, 30, 31}))
BINARY = (
    "{name} is binary data, not a table (it holds {what}): give CSV, TSV, Parquet, Arrow, JSON lines or svmlight text"
)
_MAX_FOREIGN_SHARE = 0.3  # of a single line without an end; such text has no rows anyway
_OFTEN_LATIN = bytes({*range(0xC0, 0xFF), 0x80, *range(0x91, 0x98), *b"\xa1\xa3\xa7\xab\xb0\xb5\xbb\xbf"})
_OFTEN_LATIN = _OFTEN_LATIN.translate(None, b"\xc2\xc3\xd7\xf7")  # not letters, or what one of UTF-8 begins with
_FEWEST_GOOD = 0.05  # of the lines that are not UTF-8: fewer lines of UTF-8 letters are chance
_MULTIBYTE = re.compile(rb"[\xc2-\xdf][\x80-\xbf]|[\xe0-\xef][\x80-\xbf]{2}|[\xf0-\xf4][\x80-\xbf]{3}")


def decode(content: bytes, *, name: str, encoding: str | None = None) -> tuple[bytes, list[Finding]]:
    """The text as UTF-8 bytes without byte-order mark, and findings about its encoding.

    The order: the ``encoding`` given; a byte-order mark; UTF-16 by the pattern of its NUL bytes; UTF-8;
    UTF-8 with damaged places, or with lines of Windows-1252 among those of UTF-8; else Windows-1252, and latin-1 for
    bytes that it leaves undefined.

    Raises ``DataError`` for binary data, for NUL bytes in text, and for UTF-16 or UTF-32 given for other text.
    """
    marked = next(((mark, codec) for mark, codec in BYTE_ORDER_MARKS if content.startswith(mark)), None)
    if encoding is not None:
        _check_wide(content, encoding, name)
        utf8, findings = _decode_as(content, encoding)
    elif marked is not None:
        utf8, findings = _decode_as(content[len(marked[0]) :], marked[1])
    elif (wide := _utf16_by_nuls(content)) is not None:
        utf8, findings = _decode_as(content, wide)
    else:
        utf8, findings = _decode_bytewise(content)
    utf8 = utf8.removeprefix(codecs.BOM_UTF8)
    _refuse_binary(utf8, name, guessed=any(finding.code == "guessed_encoding" for finding in findings))
    return utf8, findings


def codec_of(content: bytes, encoding: str | None) -> str | None:
    """The codec of a text that begins so, where its beginning tells it: stated, marked, or UTF-8; else None."""
    if encoding is not None:
        return encoding
    marked = next((codec for mark, codec in BYTE_ORDER_MARKS if content.startswith(mark)), None)
    return marked or (None if b"\0" in content else "utf-8")


def _check_wide(content: bytes, encoding: str, name: str) -> None:
    """Line ends and signs between cells have a NUL byte in UTF-16 and UTF-32: without any there is no such table."""
    if content and b"\0" not in content and codecs.lookup(encoding).name.startswith(("utf-16", "utf-32")):
        message = f"{name} is not {encoding}: leave the encoding out, or name another (encoding='utf-8')"
        raise DataError(message)


def _decode_as(content: bytes, encoding: str) -> tuple[bytes, list[Finding]]:
    try:
        return content.decode(encoding).encode(), []
    except UnicodeError:
        text = content.decode(encoding, errors="replace").encode(errors="replace")
    return text, [_repaired(encoding, max(1, text.count(_REPLACEMENT)))]


def _repaired(encoding: str, count: int) -> Finding:
    return Finding(
        code="repaired_encoding",
        severity="warning",
        count=count,
        message=f"{counted(count, 'place')} not valid in {encoding}, read as the replacement character U+FFFD",
    )


def _utf16_by_nuls(content: bytes) -> str | None:
    sample = np.frombuffer(content[: min(_SAMPLE, len(content) // 2 * 2)], dtype=np.uint8)
    if len(content) % 2 or sample.size == 0:
        return None
    even, odd = (float((sample[start::2] == 0).mean()) for start in (0, 1))
    needed = _UTF16_NUL_SHARE if sample.size >= _FEW_BYTES else 0.5
    if odd >= needed and odd > 8 * even:
        return "utf-16-le"
    if even >= needed and even > 8 * odd:
        return "utf-16-be"
    return None


def _decode_bytewise(content: bytes) -> tuple[bytes, list[Finding]]:
    try:
        content.decode()
    except UnicodeDecodeError:
        pass
    else:
        return content, []
    mixed = _decode_lines(content)
    if mixed is not None:
        return mixed
    damaged = content.decode(errors="replace").encode()
    bad = damaged.count(_REPLACEMENT) - content.count(_REPLACEMENT)
    good = sum(1 for _ in _MULTIBYTE.finditer(content))
    if good > bad:
        return damaged, [_repaired("utf-8", bad)]
    text, used = _latin(content)
    return text.encode(), [_guessed(content, used)]


def _guessed(content: bytes, used: str) -> Finding:
    """That a text was ``used`` as Western; a warning where its bytes look like another script."""
    read = f"the text is not UTF-8 and was read as {used}"
    likely = likely_encodings(content)
    if not likely:
        other = "cp850" if used == "latin-1" else "latin-1"
        message = f"{read}; if letters look wrong, name its encoding (--encoding {other})"
        return Finding(code="guessed_encoding", message=message)
    ways = " or ".join(f"--encoding {name} ({word!r})" for name, word in likely)
    message = f"{read}, but looks like no Western text: name its encoding, which may be {ways}"
    return Finding(code="guessed_encoding", severity="warning", message=message)


def _latin(content: bytes) -> tuple[str, str]:
    """Text of one byte a letter, and the encoding that it was read as."""
    try:
        return content.decode("cp1252"), "cp1252"
    except UnicodeDecodeError:
        return content.decode("latin-1"), "latin-1"


def _decode_lines(content: bytes) -> tuple[bytes, list[Finding]] | None:
    """Lines of UTF-8 and lines of Windows-1252 in one text, as files put together have them; None for other text."""
    lines = content.split(b"\n")
    good, latin = 0, []
    for place, line in enumerate(lines):
        if line.isascii():
            continue
        try:
            line.decode()
            good += 1
        except UnicodeDecodeError:
            if not _MULTIBYTE.search(line) and not line.translate(None, _OFTEN_LATIN + bytes(range(128))):
                latin.append(place)
    if not latin or good <= _FEWEST_GOOD * len(latin):
        return None
    for place in latin:
        lines[place] = _latin(lines[place])[0].encode()
    repaired = b"\n".join(lines)
    utf8 = repaired.decode(errors="replace").encode()
    damaged = utf8.count(_REPLACEMENT) - repaired.count(_REPLACEMENT)
    message = (
        f"{counted(len(latin), 'line')} (the first is line {latin[0] + 1:,}) of another encoding than the UTF-8 of the "
        "others, read as cp1252"
    )
    mixed = Finding(code="mixed_encodings", severity="warning", count=len(latin), message=message)
    return utf8, [mixed, *([_repaired("utf-8", damaged)] if damaged else [])]


def _refuse_binary(utf8: bytes, name: str, *, guessed: bool) -> None:
    """Control characters tell data from text; of a ``guessed`` encoding, in which all bytes are letters, even one."""
    head = utf8[:_SAMPLE]
    controls = len(head) - len(head.translate(None, _CONTROLS))
    bare = utf8.strip() if guessed else b"\n"
    unbroken = b"\n" not in bare and b"\r" not in bare
    if unbroken:  # with line ends, letters that Windows leaves undefined are those of DOS or of a Mac
        controls += max(0, len(re.findall(rb"\xc2[\x80-\x9f]", head)) - 1)
    if controls > max(0 if guessed else 1, _MAX_CONTROL_SHARE * len(head)):
        what = "NUL bytes" if b"\0" in head else "control characters"
        raise DataError(BINARY.format(name=name, what=what))
    if unbroken:
        letters = head.decode(errors="ignore")
        if sum(not letter.isascii() for letter in letters) > _MAX_FOREIGN_SHARE * len(letters):
            raise DataError(BINARY.format(name=name, what="hardly a letter and no line end"))
    nul = utf8.find(b"\0")
    if nul >= 0:
        line = utf8.count(b"\n", 0, nul) + 1
        message = f"{name} has a NUL byte in line {line}: the file is damaged or not text; write it again"
        raise DataError(message)
