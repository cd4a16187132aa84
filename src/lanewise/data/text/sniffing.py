"""Find how a text is cut into records and fields: comment block, line ends, delimiter, quote mark.

A delimiter is judged on a sample of whole records: by the share of records that have the most frequent
number of fields, by whether the first record has it too, and by whether the cells stay free of the other
delimiters. A comma between two digits counts as a decimal comma there, and one before a blank as prose.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from lanewise.data.findings import Finding
from lanewise.data.text.records import CR, LF, NO_DELIMITER, Dialect, ScannedRecords, field_counts, scan
from lanewise.data.text.stray_quotes import ORDINARY, scan_loosely, with_stand_ins
from lanewise.data.wording import counted

_SEPARATOR = re.compile(rb'("?)sep=([^\r\n])\1[ ,;]*(?=[\r\n]|\Z)')
DELIMITERS = (",", "\t", ";", "|")
_ENTITY = re.compile(rb"&(?:[A-Za-z]{2,8}|#[0-9]{1,6});")  # of HTML, whose semicolon separates nothing
_SAMPLE_BYTES = 2**18
_STEADY = 0.8  # share of records with the usual number of fields that needs no further evidence
_HEADER_DIFFERS = 0.7
_PROPER_SHARE = 0.8
SINGLE_QUOTES = "single_quotes"
"""Code of the finding that cells stand in single quotes."""


@dataclass(frozen=True, kw_only=True)
class Preface:
    """What stands before the table: text from the header on, its first line, comment lines dropped.

    ``marked``: the header stood behind a comment mark, which is gone.
    """

    text: bytes
    first_line: int
    comments: int
    delimiter: str | None
    marked: bool = False


def skip_preface(text: bytes) -> Preface:
    """Drop blank lines and ``#`` lines before the table, and Excel's ``sep=;`` line.

    A ``#`` line right before the table that has as many fields as the table is its header: the mark
    is dropped and the line kept.
    """
    line_end = b"\n" if b"\n" in text else b"\r"
    at, line, comments = 0, 1, 0
    last_comment: tuple[int, int] | None = None
    delimiter: str | None = None
    while at < len(text):
        end = text.find(line_end, at)
        end = len(text) if end < 0 else end
        content = text[at : min(end, at + 2**16)].strip()
        if line == 1 and (named := _SEPARATOR.match(text)):
            delimiter = named[2].decode("latin-1")
        elif content.startswith(b"#"):
            last_comment = (at, line)
            comments += 1
        elif content:
            break
        at, line = end + 1, line + 1
    if last_comment is not None and last_comment[1] == line - 1:
        start = text.find(b"#", last_comment[0])
        header = text[start:at].lstrip(b"# ")
        if _is_header_of(header, text[at : at + _SAMPLE_BYTES]):
            return Preface(
                text=header + text[at:],
                first_line=line - 1,
                comments=comments - 1,
                delimiter=delimiter,
                marked=True,
            )
    return Preface(text=text[at:], first_line=line, comments=comments, delimiter=delimiter)


def _is_header_of(header: bytes, body: bytes) -> bool:
    """Whether a comment line has the fields of the records below it, which hold a number where it has none."""
    delimiter = find_delimiter(body)
    if delimiter == NO_DELIMITER or not body.strip():
        return False
    lines = [scan_loosely(part, delimiter) for part in (header, body.decode(errors="ignore").encode())]
    if any(records.fields.size == 0 for records in lines):
        return False
    names, first = (records.cells(0) for records in lines)
    if len(names) != len(first):
        return False
    pairs = zip(names, first, strict=True)
    return any(re.search(r"\d", cell) and not re.search(r"[^\W\d]", cell) for _, cell in pairs)


def find_records(
    text: bytes, delimiter: str | None, *, first_line: int
) -> tuple[ScannedRecords, Dialect, list[Finding]]:
    """The records of a text in the dialect that fits best.

    Quotes are tried as proper double ones (in a text without them as single ones that keep to their line),
    then with blanks before them, then with backslash escapes. If none holds, marks are read loosely or as ordinary
    characters, whichever leaves fewer records of an unusual width.
    """
    line_end = LF if b"\n" in text else CR
    used = delimiter or find_delimiter(text[:_SAMPLE_BYTES], whole=len(text) <= _SAMPLE_BYTES)
    plain = Dialect(delimiter=used, quote='"', line_end=line_end)
    records = scan(text, plain, first_line=first_line)
    if records is not None and b'"' not in text and b"'" in text:
        single = Dialect(delimiter=used, quote="'", line_end=line_end)
        quoted = scan(text, single, first_line=first_line)
        spans_lines = quoted is not None and quoted.fields.size < records.fields.size
        if quoted is not None and not spans_lines and _unusual(quoted.fields) <= _unusual(records.fields):
            message = "cells are quoted with the single quote mark; the marks were dropped"
            return quoted, single, [Finding(code=SINGLE_QUOTES, message=message)]
    if records is not None:
        return records, plain, []
    for variant, what in _quote_variants(text, used):
        if (records := scan(variant, plain, first_line=first_line)) is not None:
            message = f"quoted cells have {what}; they were read so"
            return records, plain, [Finding(code="unusual_quotes", message=message)]
    records, quote = _loose_or_unquoted(text, plain, first_line)
    meaning = "as ordinary characters" if quote is None else "as quotes only around whole cells"
    dialect = Dialect(delimiter=used, quote=quote, line_end=line_end)
    unclosed = _unclosed(text, dialect, first_line)
    if not unclosed:
        message = f"quote marks do not pair up as quotes around cells; they were read {meaning}"
        return records, dialect, [Finding(code="stray_quotes", message=message)]
    marks = f"{counted(len(unclosed), 'quote mark')} that nothing closes (the first in line {unclosed[0]})"
    message = f"{marks} may cut rows and cells wrongly: all marks were read {meaning}; close or remove it"
    return records, dialect, [Finding(code="stray_quotes", severity="warning", count=len(unclosed), message=message)]


def _unclosed(text: bytes, dialect: Dialect, first_line: int) -> list[int]:
    """Lines of the cells that begin with a quote mark and have no other one."""
    quote = b'"'
    if dialect.quote is not None:
        text, quote = with_stand_ins(_in_lines(text, dialect), dialect.delimiter), ORDINARY
    end, edge = b"\n" if b"\n" in text else b"\r", rb"\r\n" + re.escape(dialect.delimiter.encode())
    # The mark before what stands before it: a search for one byte is quick.
    alone = re.compile(
        quote + rb"(?<![^" + edge + rb"]" + quote + rb")[^" + quote + edge + rb"]*(?=[" + edge + rb"]|\Z)"
    )
    lines, at, line = list[int](), 0, first_line
    for found in alone.finditer(text):
        line += text.count(end, at, found.start())
        at = found.start()
        lines.append(line)
    return lines


def _in_lines(text: bytes, dialect: Dialect) -> bytes:
    """The text with lines that end in LF."""
    return text if dialect.line_end == LF else text.replace(b"\r", b"\n")


def _quote_variants(text: bytes, delimiter: str) -> Iterator[tuple[bytes, str]]:
    mark = re.escape(delimiter.encode())
    blanked, escaped = b' "' in text, b'\\"' in text
    unblanked = re.sub(rb"(" + mark + rb'|\n) +(?=")', rb"\1", text) if blanked else text
    if blanked:
        yield unblanked, "blanks before them"
    if escaped:
        escape = rb'(?<!\\)\\"(?!\s*(?:' + mark + rb"|\r?\n|\Z))"
        yield re.sub(escape, b'""', text), "backslash escapes"
        if blanked:
            yield re.sub(escape, b'""', unblanked), "blanks before them and backslash escapes"
        # An escaped mark may stand before a delimiter too: "say \"hi\", he said". It comes last, for where another way
        # holds a backslash before a mark at the end of a cell belongs to the cell.
        yield re.sub(rb'(?<!\\)\\"', b'""', unblanked), "backslash escapes"


def _loose_or_unquoted(text: bytes, dialect: Dialect, first_line: int) -> tuple[ScannedRecords, str | None]:
    unquoted = scan(
        text,
        Dialect(delimiter=dialect.delimiter, quote=None, line_end=dialect.line_end),
        first_line=first_line,
    )
    assert unquoted is not None, "without quotes every text has records"
    loose = scan_loosely(_in_lines(text, dialect), dialect.delimiter, first_line=first_line)
    odd_loose, odd_unquoted = _unusual(loose.fields), _unusual(unquoted.fields)
    if odd_loose == odd_unquoted:
        edge = rb"\r\n" + re.escape(dialect.delimiter.encode())
        paired = re.findall(rb'"(?<![^' + edge + rb']")[^"\r\n]*"(?=[' + edge + rb"]|\Z)", text)
        proper = 2 * len(paired) / text.count(b'"')
        return (loose, '"') if proper >= _PROPER_SHARE else (unquoted, None)
    return (loose, '"') if odd_loose < odd_unquoted else (unquoted, None)


def _unusual(fields: np.ndarray) -> int:
    return int(fields.size - np.bincount(fields).max(initial=0))


def find_delimiter(sample: bytes, *, whole: bool = True) -> str:
    """The delimiter that cuts a sample best; U+001F if the sample looks like one column."""
    line_end = LF if b"\n" in sample else CR
    if not whole and (last := sample.rfind(bytes([line_end]))) > 0:
        sample = sample[: last + 1]
    sample = _ENTITY.sub(b"&", sample)
    best, best_score, best_fields = NO_DELIMITER, 0.0, 1
    for delimiter in DELIMITERS:
        if delimiter.encode() not in sample:
            continue
        for quote in ('"', None):
            score, fields = _score(sample, delimiter, quote, line_end)
            if (score, fields) > (best_score, best_fields):
                best, best_score, best_fields = delimiter, score, fields
    return best


def _score(sample: bytes, delimiter: str, quote: str | None, line_end: int) -> tuple[float, int]:
    counts = field_counts(sample, delimiter, quote, line_end)
    used = counts[counts > 1]
    if used.size == 0:
        return 0.0, 1
    usual = int(np.bincount(used).argmax())
    steady = float((counts == usual).sum() / max(1, (counts > 0).sum() - _blank_lines(sample, line_end)))
    marks = sample.count(delimiter.encode())
    prose = sample.count(delimiter.encode() + b" ") / marks if delimiter == "," else 0.0
    if steady < _STEADY and prose > 1 - _STEADY:
        return 0.0, 1
    same_header = 1.0 if counts[0] == usual else _HEADER_DIFFERS
    return min(1.0, steady) * same_header * (1 + _clean(sample, delimiter, line_end)) / 2, usual


def _blank_lines(sample: bytes, line_end: int) -> int:
    return sum(1 for line in sample.split(bytes([line_end])) if not line.strip())


def _clean(sample: bytes, delimiter: str, line_end: int) -> float:
    """Share of lines without another delimiter outside quotes; decimal commas and prose do not count."""
    others = [re.escape(other.encode()) for other in DELIMITERS if other not in (delimiter, ",")]
    if delimiter != ",":
        others.append(rb"(?<!\d),(?! )|,(?![\d ])")
    foreign = re.compile(b"|".join(others))
    lines = [line for line in re.sub(rb'"[^"]*"', b"", sample).split(bytes([line_end])) if line.strip()]
    return sum(1 for line in lines if not foreign.search(line)) / max(1, len(lines))
