"""Which encodings a text may have whose bytes are no Western text: those of East Asia, Cyrillic and Greek."""

import re
from collections import Counter
from collections.abc import Callable
from functools import partial

_SAMPLE = 2**16
_FEWEST_BYTES = 8
_RUN = re.compile(rb"(?<![A-Za-z\x80-\xff])[\x80-\xff]{3,}(?![A-Za-z\x80-\xff])")
_FOREIGN_SHARE = 0.5
"""Share of the bytes beyond ASCII in words of such alone: of Western letters hardly any two stand side by side."""

_MOSTLY = 0.9
_MOST_NAMED = 3
_SHOWN = 12
# Of equally likely ones, those of the fewest usual signs first.
_ASIAN = ("euc_kr", "euc_jp", "shift_jis", "gbk", "big5")
_TOGETHER = 0.8
"""Share of the signs of East Asia that stand beside another one."""


def _between(first: int, last: int, sign: str) -> bool:
    return first <= ord(sign) <= last


_kana = partial(_between, 0x3040, 0x30FF)
_hangul = partial(_between, 0xAC00, 0xD7A3)
_ONE_BYTE: dict[str, Callable[[str], bool]] = {
    "cp1251": partial(_between, 0x0400, 0x045F),
    "koi8_r": partial(_between, 0x0400, 0x045F),
    "cp866": partial(_between, 0x0400, 0x045F),
    "cp1253": partial(_between, 0x0386, 0x03CE),
}


def likely_encodings(content: bytes) -> list[tuple[str, str]]:
    """Encodings that a text not of UTF-8 may have if its bytes are no Western text, with the first word by each.

    The likeliest first; none for Western text, and for bytes that none of the encodings known here explains.

    >>> likely_encodings("город\\nМосква\\nКазань\\n".encode("cp1251"))[0]
    ('cp1251', 'город')
    >>> likely_encodings("ville\\nNîmes\\nOrléans\\nBesançon\\nChâlons\\n".encode("cp1252"))
    []
    """
    end = content.rfind(b"\n", 0, _SAMPLE)
    sample = content[: end + 1] if len(content) > _SAMPLE and end > 0 else content
    high = sum(map(len, re.findall(rb"[\x80-\xff]+", sample)))
    if high < _FEWEST_BYTES:
        return []
    scores = {name: score for name in _ASIAN if (score := _asian_share(sample, name)) >= _MOSTLY}
    words = (run for run in _RUN.findall(sample) if len(set(run)) > 1)  # "€€€" is no word
    if sum(map(len, words)) >= _FOREIGN_SHARE * high:
        scores |= {name: share for name in _ONE_BYTE if (share := _one_byte_share(sample, name)) >= _MOSTLY}
    else:  # only there the second byte of a sign may be one of ASCII
        scores = {name: score for name, score in scores.items() if name in ("shift_jis", "big5", "gbk")}
    ranked = sorted(scores, key=lambda name: -scores[name])[:_MOST_NAMED]
    return [(name, _first_word(sample.decode(name, errors="ignore"))) for name in ranked]


def _asian_share(sample: bytes, encoding: str) -> float:
    """How much of the text beyond ASCII is of the usual signs of such an encoding; 0 where some byte is none of it."""
    try:
        text = sample.decode(encoding)
    except UnicodeDecodeError:
        return 0.0
    signs = Counter(sign for sign in text if not sign.isascii())
    total = signs.total()
    if sum(map(len, re.findall(r"[^\x00-\x7f]{2,}", text))) < _TOGETHER * total:
        return 0.0
    usual = sum(count for sign, count in signs.items() if _is_usual(sign, encoding))
    return usual / total if total else 0.0


def _is_usual(sign: str, encoding: str) -> bool:
    """Whether a sign is punctuation, or one of those that a language writes most of its words with."""
    if _between(0x3000, 0x303F, sign) or _between(0xFF01, 0xFF5E, sign):
        return True
    first = sign.encode(encoding)[0]
    match encoding:
        case "euc_kr":
            return _hangul(sign)
        case "shift_jis":
            return _kana(sign) or 0x88 <= first <= 0x98  # signs of the first level
        case "euc_jp":
            return _kana(sign) or 0xB0 <= first <= 0xCF
        case "gbk":
            return 0xB0 <= first <= 0xD7
        case _:
            return 0xA4 <= first <= 0xC6


def _one_byte_share(sample: bytes, encoding: str) -> float:
    """Share of the signs beyond ASCII that are letters of the script, less where capitals stand within words."""
    text = sample.decode(encoding, errors="replace")
    signs = [sign for sign in text if not sign.isascii()]
    letters = [sign for sign in signs if _ONE_BYTE[encoding](sign)]
    inner = re.findall(r"(?<=[^\W\d_])[^\W\d_a-zA-Z]", text)
    small = sum(sign.islower() for sign in inner)
    if not small and not all(sign.isupper() for sign in letters):
        return 0.0
    return len(letters) / len(signs) * (small / len(inner) if small else 0.95)


def _first_word(text: str) -> str:
    found = re.search(r"[^\x00-\x7f]{2,}|[^\x00-\x7f]", text)
    return found[0][:_SHOWN] if found else ""
