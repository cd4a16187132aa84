"""The report in a real browser: silent, without requests, and never wider than the screen."""

import importlib.util
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from lanewise.reporting.report import render

SAMPLES = ("binary", "multiclass", "regression", "minimal", "crowded", "hostile", "odd_scales")


@pytest.fixture(scope="module")
def documents() -> dict[str, Any]:
    """The sample documents of the unit tests."""
    path = Path(__file__).resolve().parents[1] / "unit" / "reporting" / "sample_documents.py"
    spec = importlib.util.spec_from_file_location("sample_documents", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.SAMPLES


def background(visit: Any) -> str:
    return visit.page.evaluate("getComputedStyle(document.body).backgroundColor")


def look(visit: Any, width: int, height: int, **media: str) -> None:
    visit.page.set_viewport_size({"width": width, "height": height})
    visit.page.emulate_media(**{"media": "screen", "color_scheme": "light", **media})


def unfold(visit: Any, *, wanted: bool) -> None:
    each = "document.querySelectorAll('details').forEach((one) => { one.open = wanted; })"
    visit.page.evaluate(f"(wanted) => {each}", wanted)


@pytest.fixture(scope="module")
def written(documents, tmp_path_factory):
    folder = tmp_path_factory.mktemp("reports")

    def write(name: str) -> Path:
        file = folder / f"{name}.html"
        if not file.exists():
            file.write_text(render(documents[name]()), encoding="utf-8")
        return file

    return write


OPENED = {name: ((360, "light"), (1280, "dark"))[place % 2] for place, name in enumerate(SAMPLES)}
"""Half of the pages are opened narrow and light, half wide and dark."""


@pytest.fixture(scope="module")
def shown(browser, written) -> Iterator[Callable[[str], Any]]:
    """Pages that are opened once for all tests of how they look, each of which says how it looks at them."""
    visits: dict[str, Any] = {}
    with ExitStack() as stack:

        def show(name: str) -> Any:
            if name not in visits:
                width, scheme = OPENED[name]
                visit = browser.visit(written(name), width=width, height=800, color_scheme=scheme)
                visits[name] = stack.enter_context(visit)
            unfold(visits[name], wanted=False)
            return visits[name]

        yield show


@pytest.mark.parametrize("name", SAMPLES)
def test_silent_offline_and_within_the_screen(shown, written, name):
    """As they were opened, and changed to every other pair of width and scheme."""
    visit = shown(name)
    unfold(visit, wanted=True)
    width, _ = OPENED[name]
    for wide in (width, 1640 - width):
        for scheme in ("light", "dark"):
            look(visit, wide, 800, color_scheme=scheme)
            assert visit.page.evaluate("document.documentElement.scrollWidth") <= wide
            assert visit.page.evaluate("[...document.querySelectorAll('svg')].every((one) => one.clientHeight >= 0)")
    assert visit.said == []
    assert visit.asked == [written(name).as_uri()]


def test_on_a_phone_a_choice_has_the_whole_width(browser, documents, tmp_path):
    document = documents["binary"]()
    for one in document["race"]["decisions"]:
        one |= {"standard_errors": None, "verdict": "screen only: worse on one fold after 11% of the training"}
    file = tmp_path / "report.html"
    file.write_text(render(document), encoding="utf-8")
    with browser.visit(file, width=360, height=800) as visit:
        widths = "(name) => [...document.querySelectorAll(name)].map((one) => one.getBoundingClientRect().width)"
        rows, choices = (visit.page.evaluate(widths, f".decisions tbody tr:not(.axis){own}") for own in ("", " th"))
        assert len(choices) == len(document["race"]["decisions"])
        assert all(choice >= 0.95 * row for choice, row in zip(choices, rows, strict=True))


def test_the_theme_follows_the_system_until_it_is_chosen(browser, written):
    with browser.visit(written("binary")) as visit:
        day = background(visit)
        visit.page.emulate_media(color_scheme="dark")
        night = background(visit)
        assert night != day
        visit.page.click("#theme")
        assert background(visit) == day
        visit.page.click("#theme")
        assert background(visit) == night


def test_lanes_can_be_hidden_and_are_named_under_the_pointer(browser, written):
    with browser.visit(written("binary"), height=800) as visit:
        page = visit.page
        pruned = page.locator("path.lane.pruned").first
        assert pruned.is_visible()
        page.uncheck("input[data-status=pruned]")
        assert not pruned.is_visible()
        page.check("input[data-status=pruned]")
        page.select_option("#optimizer", "adamw")
        lanes = "[...document.querySelectorAll('.lane:not(.off)[data-optimizer]')]"
        shown = page.evaluate(f"{lanes}.map((one) => one.dataset.optimizer)")
        assert set(shown) == {"adamw"}
        page.locator("svg.race").scroll_into_view_if_needed()
        box = page.locator("svg.race").bounding_box()
        page.mouse.move(box["x"] + box["width"] * 0.999, box["y"] + box["height"] * 0.93)
        assert "adamw" in page.text_content("#race-words")
        assert page.locator(".lane.lit").count() == 1
        assert visit.said == []


def test_lanes_are_named_by_the_arrow_keys(browser, written):
    with browser.visit(written("binary"), height=800) as visit:
        page = visit.page
        resting = page.text_content("#race-words")
        page.locator("svg.race").focus()
        page.keyboard.press("ArrowRight")
        assert "lit" in page.locator("#race-figure path.lane.winner").last.get_attribute("class")
        assert "mlp 256, adamw" in page.text_content("#race-words")
        page.keyboard.press("ArrowRight")
        assert page.locator(".lane.lit").count() == 1
        page.keyboard.press("Escape")
        assert page.text_content("#race-words") == resting
        assert visit.said == []


def test_without_scripts_everything_is_there(browser, written):
    with browser.visit(written("binary"), scripts=False) as visit:
        assert visit.page.locator("section").count() == 13
        assert not visit.page.locator("#theme").is_visible()
        assert not visit.page.locator("input[data-status=pruned]").is_visible()


def test_paper_shows_what_waits_behind_clicks(browser, written):
    with browser.visit(written("binary")) as visit:
        assert visit.page.pdf(format="A4").startswith(b"%PDF")
        visit.page.evaluate("dispatchEvent(new Event('beforeprint'))")
        assert visit.page.locator("details:not([open])").count() == 0


CONTRAST = """() => {
  const light = (rgb) => rgb.match(/[\\d.]+/g).slice(0, 3).map((part) => part / 255)
    .map((part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4))
    .reduce((sum, part, place) => sum + part * [0.2126, 0.7152, 0.0722][place], 0);
  const ground = light(getComputedStyle(document.body).backgroundColor);
  const seen = {};
  for (const one of document.querySelectorAll("h1, h2, p, th, td, dt, dd, small, text, a, .tag, .value, summary")) {
    if (one.closest(".confusion") || !one.textContent.trim()) continue;
    const style = getComputedStyle(one);
    const ink = light(one.tagName === "text" ? style.fill : style.color);
    const ratio = (Math.max(ink, ground) + 0.05) / (Math.min(ink, ground) + 0.05);
    if (ratio < 4.5) seen[one.tagName + "." + (one.className.baseVal ?? one.className)] = ratio;
  }
  return seen;
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_every_text_stands_out_from_the_page(shown, scheme):
    visit = shown("binary")
    look(visit, 1280, 720, color_scheme=scheme)
    assert visit.page.evaluate(CONTRAST) == {}


@pytest.mark.parametrize("name", ["binary", "multiclass", "regression"])
def test_no_cell_of_the_leaderboard_runs_over_on_paper(shown, name):
    """A4 with the usual margins is 718 px wide."""
    visit = shown(name)
    look(visit, 718, 1000, media="print")
    assert visit.page.evaluate("document.documentElement.scrollWidth") <= 718
    cells = "[...document.querySelectorAll('.board td.figure')]"
    assert visit.page.evaluate(f"{cells}.filter((one) => one.scrollWidth > one.clientWidth).length") == 0


PLACES = """() => [...document.querySelectorAll("main > section:not(.head)")].map(section => {
  const opening = section.querySelector(".opening");
  const shown = [...section.children].find(one => !one.matches(".opening, .lead") && one.getClientRects().length);
  const [left, right] = [opening, shown].map(one => one.getBoundingClientRect());
  return [right.left - left.right, right.top - left.top];
})"""


@pytest.mark.parametrize("name", ["binary", "crowded", "hostile"])
def test_on_a_wide_screen_words_stand_beside_what_is_shown(shown, name):
    visit = shown(name)
    look(visit, 1920, 1080)
    assert all(0 < apart < 100 and abs(below) < 80 for apart, below in visit.page.evaluate(PLACES))
    assert visit.page.evaluate("document.documentElement.scrollWidth") == 1920
    look(visit, 1280, 800)
    assert all(below > 0 for _, below in visit.page.evaluate(PLACES))
    assert visit.said == []
