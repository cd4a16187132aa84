"""The pages say what is true: their Python runs, their commands parse, their links lead somewhere."""

import re
import shlex
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import click
import pytest
from click.exceptions import Exit

from lanewise.cli.main import cli

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md")), ROOT / "benchmarks" / "README.md"]
NEEDS = {"docs/interop.md": ("lightning", "accelerate", "transformers")}
FENCE = re.compile(r"^(?P<indent> *)```(?P<language>\w*)\n(?P<body>.*?)^(?P=indent)```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\[[^\]]*\]\((?P<target>[^)\s]+)\)")
HEADING = re.compile(r"^#+ +(?P<text>.+)$", re.MULTILINE)
TO_THE_WEB = re.compile(r"^[a-z]+:")


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def blocks(page: Path, language: str) -> list[tuple[int, str]]:
    """The fenced blocks of a language, each with the line that it begins on."""
    text = page.read_text(encoding="utf-8")
    found = [match for match in FENCE.finditer(text) if match["language"] == language]
    return [(text.count("\n", 0, match.start()) + 2, match["body"]) for match in found]


def anchors(page: Path) -> set[str]:
    """What may follow ``#`` in a link to a page: its headings in small letters, with dashes for blanks."""
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    return {
        re.sub(r"[^\w\- ]", "", match["text"].strip().lower()).replace(" ", "-") for match in HEADING.finditer(text)
    }


def commands(page: Path) -> Iterator[list[str]]:
    """The arguments of every ``lanewise`` in the console blocks, without what belongs to the shell."""
    for _, block in blocks(page, "console"):
        for line in block.splitlines():
            lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
            lexer.whitespace_split = True
            words: list[str] = []
            for word in [*lexer, ";"]:
                if word not in (";", "|", "&&", "||"):
                    words.append(word)
                    continue
                at = next((place for place, own in enumerate(words) if Path(own).name == "lanewise"), None)
                if at is not None:
                    yield without_redirections(words[at + 1 :])
                words = []


def without_redirections(words: list[str]) -> list[str]:
    kept = iter(words)
    result = []
    for word in kept:
        if set(word) <= set("<>") and word:
            next(kept, None)
        else:
            result.append(word)
    return result


def parse(arguments: list[str]) -> None:
    """Read a command line as the program does, and run nothing; raises ``click.UsageError``."""
    with suppress(Exit):  # --help and --version end the parsing
        whole = cli.make_context("lanewise", list(arguments))
        if arguments and not arguments[0].startswith("-"):
            name, command, rest = cli.resolve_command(whole, list(arguments))
            assert command is not None
            command.make_context(name, rest, parent=whole)


@pytest.mark.filterwarnings("ignore:.*LeafSpec:FutureWarning")  # Lightning asks torch in the old way
@pytest.mark.filterwarnings("ignore:.*does not have many workers")
@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "python")], ids=name_of)
def test_python_blocks_run(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from lanewise.optim.registry import RULES

    for package in NEEDS.get(name_of(page), ()):
        pytest.importorskip(package, reason=f"{name_of(page)} needs the interop packages")
    checkout = tmp_path / "checkout"
    checkout.mkdir()
    monkeypatch.chdir(checkout)
    if (ROOT / ".." / "shared").is_dir():  # a page may read the public data beside a checkout
        (tmp_path / "shared").symlink_to((ROOT / ".." / "shared").resolve())
    monkeypatch.setenv("LANEWISE_HOME", str(tmp_path / "runs"))
    for name in RULES:  # a page may register a rule, and what it registers must not outlive the test
        monkeypatch.setitem(RULES, name, RULES[name])
    before = set(RULES)
    namespace: dict[str, Any] = {"__name__": "docs"}
    try:
        for line, block in blocks(page, "python"):
            exec(compile("\n" * (line - 1) + block, str(page), "exec"), namespace)
    finally:
        for name in set(RULES) - before:
            del RULES[name]


@pytest.mark.parametrize("page", [page for page in PAGES if blocks(page, "console")], ids=name_of)
def test_commands_parse(page: Path) -> None:
    for arguments in commands(page):
        try:
            parse(arguments)
        except click.UsageError as error:
            pytest.fail(f"{name_of(page)}: lanewise {shlex.join(arguments)}: {error.format_message()}")


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_somewhere(page: Path) -> None:
    text = FENCE.sub("", page.read_text(encoding="utf-8"))
    for link in LINK.finditer(text):
        target, _, anchor = link["target"].partition("#")
        if TO_THE_WEB.match(target):
            continue
        file = (page.parent / target).resolve() if target else page
        assert file.exists(), f"{name_of(page)} links to {target}, which is not there"
        if anchor:
            assert anchor in anchors(file), f"{name_of(page)} links to #{anchor}, no heading of {name_of(file)}"


def test_every_page_is_listed() -> None:
    """A page of ``docs`` is linked from the index there, or from that of its folder."""
    indexes = [page for page in PAGES if page.name == "index.md"]
    listed = {
        (page.parent / link["target"].partition("#")[0]).resolve()
        for page in indexes
        for link in LINK.finditer(page.read_text(encoding="utf-8"))
    }
    own = {page for page in PAGES if page.is_relative_to(ROOT / "docs")} - {ROOT / "docs" / "index.md"}
    assert not (missing := sorted(name_of(page) for page in own - listed)), f"no index has {missing}"


def test_every_option_is_documented() -> None:
    text = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    for name, command in cli.commands.items():
        assert f"lanewise {name}" in text, f"docs/cli.md does not tell of {name}"
        for parameter in command.params:
            for option in parameter.opts if isinstance(parameter, click.Option) else ():
                assert option in text, f"docs/cli.md does not tell of {name} {option}"


def test_every_setting_and_key_is_documented() -> None:
    from lanewise.reporting.document import RunDocument
    from lanewise.settings.fit import FitSettings

    command_line = (ROOT / "docs" / "cli.md").read_text(encoding="utf-8")
    python = (ROOT / "docs" / "python.md").read_text(encoding="utf-8")
    missing = [name for name in FitSettings.model_fields if f"`{name}`" not in python]
    assert not missing, f"docs/python.md does not tell of the settings {missing}"
    missing = [key for key in RunDocument.__annotations__ if f"`{key}`" not in command_line]
    assert not missing, f"docs/cli.md does not tell of the keys {missing}"


def test_every_finding_is_documented() -> None:
    """Codes are found in the source, where each stands as a literal or as a constant that is said to be one."""
    text = (ROOT / "docs" / "data.md").read_text(encoding="utf-8")
    pattern = re.compile(r"""(?:code=|(?:column|cells)_finding\(|return |_warning\(\s*)"([a-z0-9_]+)",""")
    package = ROOT / "src" / "lanewise"
    others = (package / "deploy" / "predictor.py", package / "training" / "room.py")
    sources = [*sorted((package / "data").rglob("*.py")), *others]
    shared = re.compile(r'^[A-Z_]+ = "([a-z0-9_]+)"\n"""Code of the finding', re.MULTILINE)
    source = "\n".join(file.read_text(encoding="utf-8") for file in sources)
    codes = {*pattern.findall(source), *shared.findall(source)} - {"odd"}
    assert len(codes) > 30, "the pattern no longer finds the codes"
    assert {"duplicate_header", "single_quotes", "query_ids", "non_number_cells"} <= codes
    missing = sorted(code for code in codes if f"`{code}`" not in text)
    assert not missing, f"docs/data.md does not tell of {missing}"


@pytest.mark.parametrize("wrong", ["fit x.csv --tarjet y", "fti", "tune x.py:make --workers many", "predict last"])
def test_a_wrong_command_would_be_noticed(wrong: str) -> None:
    with pytest.raises(click.UsageError):
        parse(wrong.split())
