"""The encoding of a text is found, and nothing undecodable passes unnoticed."""

import codecs
import random

import pytest

from lanewise.data.text.encodings import decode
from lanewise.errors import DataError

TEXT = "λόγος;ζώο\nψάξ;12\nñandú;7\n"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
@pytest.mark.parametrize("text", ["a,b\n1,é\n", TEXT * 5])
def test_unicode_is_found_with_and_without_mark(encoding: str, text: str) -> None:
    assert decode(text.encode(encoding), name="t") == (text.encode(), [])


def test_big_endian_with_mark() -> None:
    assert decode(codecs.BOM_UTF16_BE + TEXT.encode("utf-16-be"), name="t")[0] == TEXT.encode()


def test_windows_text_is_read_as_such_and_said() -> None:
    text, findings = decode("prix\n12 \u20ac\n".encode("cp1252"), name="t")
    assert text.decode() == "prix\n12 \u20ac\n"
    assert [finding.code for finding in findings] == ["guessed_encoding"]


def test_bytes_undefined_in_windows_text_fall_back_to_latin_1() -> None:
    text, findings = decode(b"a\n\x81\xe9\n", name="t")
    assert text.decode() == "a\n\x81\xe9\n"
    assert "latin-1" in findings[0].message


def test_damaged_utf_8_stays_utf_8() -> None:
    text, findings = decode("é,ü\nö,ä\n".encode() + b"\xff,1\n", name="t")
    assert text.decode() == "é,ü\nö,ä\n\ufffd,1\n"
    assert (findings[0].code, findings[0].count, findings[0].severity) == ("repaired_encoding", 1, "warning")


def test_replacement_characters_of_the_text_itself_are_no_damage() -> None:
    assert decode("a\n\ufffd\n".encode(), name="t")[1] == []


def test_a_named_encoding_is_obeyed() -> None:
    assert decode("Ελλάς\n".encode("iso-8859-7"), name="t", encoding="iso-8859-7")[0].decode() == "Ελλάς\n"
    text, findings = decode(b"a\n\x81\n", name="t", encoding="cp1252")
    assert text.decode() == "a\n\ufffd\n"
    assert findings[0].count == 1


@pytest.mark.parametrize("encoding", ["utf-16", "UTF-16-LE", "utf_32"])
def test_text_that_is_not_of_the_named_wide_encoding_is_refused(encoding: str) -> None:
    with pytest.raises(DataError, match=f"t is not {encoding}: leave the encoding out"):
        decode(b"x,y\n1,2\n3,4\n", name="t", encoding=encoding)
    assert decode(TEXT.encode(encoding), name="t", encoding=encoding)[0] == TEXT.encode()


@pytest.mark.parametrize(
    ("content", "words"), [(bytes(range(32)) * 9, "binary"), (b"a,b\n1,\0\n", "NUL byte in line 2")]
)
def test_binary_data_and_nul_bytes_are_refused(content: bytes, words: str) -> None:
    with pytest.raises(DataError, match=words):
        decode(content, name="t")


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("size", [12, 40, 300])
def test_random_bytes_are_binary_and_no_table(size: int, seed: int) -> None:
    content = random.Random(seed).randbytes(size - 1).replace(b"\n", b"\xb2").replace(b"\r", b"\xb2") + b"\x91"
    with pytest.raises(DataError, match=r"binary data, not a table \(it holds|NUL byte in line 1"):
        decode(content, name="t")


@pytest.mark.parametrize("text", ["Straße;Größe\n", "имя;рост\nЮлия;31\n"])
def test_text_of_one_byte_a_letter_is_not_binary(text: str) -> None:
    encoding = "cp1252" if text.startswith("S") else "cp1251"
    assert decode(text.encode(encoding), name="t")[1][0].code == "guessed_encoding"


def test_lines_of_another_encoding_are_read_as_such_and_counted() -> None:
    good, other = "city,n\nMünchen,1\nNîmes,2\n", "Köln,3\nplain,4\nÅrhus,5\n"
    text, findings = decode(good.encode() + other.encode("latin-1") + "Łódź,6\n".encode(), name="t")
    assert text.decode() == good + other + "Łódź,6\n"
    (found,) = findings
    assert (found.code, found.count, found.severity) == ("mixed_encodings", 2, "warning")
    assert found.message.startswith("2 lines (the first is line 4) of another encoding than the UTF-8 of the others")


def test_a_cut_letter_among_utf_8_is_damage_and_no_letter_of_windows() -> None:
    text, findings = decode("é\nü\n".encode() + b"caf\xc3,1\n", name="t")
    assert text.decode() == "é\nü\ncaf\ufffd,1\n"
    assert [finding.code for finding in findings] == ["repaired_encoding"]


@pytest.mark.parametrize("encoding", ["cp437", "cp850", "mac_roman"])
def test_tables_of_dos_and_of_old_macs_are_text(encoding: str) -> None:
    text = "name;größe\n" + "Müller;1\nTür;2\nGröße;3\n" * 20
    decoded, findings = decode(text.encode(encoding), name="t")
    assert decoded.count(b"\n") == text.count("\n")
    assert findings[0].code == "guessed_encoding"


@pytest.mark.parametrize(
    ("encoding", "words"),
    [
        ("shift_jis", "東京 大阪 名古屋 札幌 カナダ"),
        ("euc_jp", "東京 大阪 名古屋 札幌 カナダ"),
        ("gbk", "北京 上海 广州 深圳 成都"),
        ("big5", "臺北 高雄 臺中 臺南 新竹"),
        ("euc_kr", "서울 부산 대구 인천"),
        ("cp1251", "Москва Казань Омск Пермь"),
        ("koi8_r", "Москва Казань Омск Пермь"),
        ("cp1253", "Αθήνα Πάτρα Βόλος"),
    ],
)
def test_text_of_another_script_is_warned_of_with_the_encoding_to_name(encoding: str, words: str) -> None:
    lines = "".join(f"{word},{n}\n" for n in range(20) for word in words.split())
    _, (found,) = decode(f"city,n\n{lines}".encode(encoding), name="t")
    assert (found.code, found.severity) == ("guessed_encoding", "warning")
    first = words.split(maxsplit=1)[0]
    assert (
        f"looks like no Western text: name its encoding, which may be --encoding {encoding} ('{first}')"
        in found.message
    )


@pytest.mark.parametrize(
    ("encoding", "words"),
    [
        ("cp1252", "München Größe Füße Straße Öl"),
        ("latin-1", "Orléans créée Nîmes Besançon"),
        ("cp1250", "Łódź Kraków Wrocław Gdańsk"),
        ("mac_roman", "Orléans créée Nîmes Besançon"),
        ("cp850", "München Größe Füße Straße"),
        ("cp1252", "“Zürich” 12 €"),
        ("cp1252", "€€€ €€€€ €€"),
        ("cp1252", "“Yes”—“No”"),
        ("cp1252", "°°° Jõõpre jäääär"),
    ],
)
def test_western_text_is_not_called_another_script(encoding: str, words: str) -> None:
    lines = "".join(f"{word},{n}\n" for n in range(20) for word in words.split())
    _, (found,) = decode(f"city,n\n{lines}".encode(encoding), name="t")
    assert (found.code, found.severity) == ("guessed_encoding", "info")
