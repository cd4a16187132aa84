"""The page of ``lanewise compare`` in a real browser: silent, without requests, moving only where that is welcome."""

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from lanewise.reporting.comparison import page
from lanewise.solvers.comparing import compare

METHODS = ("gd", "bfgs", "genetic")
STILL = {"reduced_motion": "reduce"}


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> dict[str, Path]:
    """A page with a map, and one without."""
    folder = tmp_path_factory.mktemp("compared")
    written = {
        "map": compare("himmelblau", methods=METHODS, max_evaluations=200),
        "bare": compare("rosenbrock", [0.0, 0.0, 0.0], methods=METHODS, max_evaluations=100),
    }
    for name, found in written.items():
        (folder / f"{name}.html").write_text(page(found), encoding="utf-8")
    return {name: folder / f"{name}.html" for name in written}


@pytest.fixture
def visit(browser, files) -> Iterator[Any]:
    """Open a page; at the end it has said nothing and asked for nothing but itself."""
    visits = []
    with ExitStack() as stack:

        def opened(name: str = "map", **settings: Any) -> Any:
            visits.append((name, stack.enter_context(browser.visit(files[name], **settings))))
            return visits[-1][1].page

        yield opened
    for name, one in visits:
        assert (one.said, one.asked) == ([], [files[name].as_uri()])


@pytest.mark.parametrize(("width", "scheme"), [(360, "light"), (1280, "dark")])
@pytest.mark.parametrize("name", ["map", "bare"])
def test_silent_offline_and_within_the_screen(visit, name, width, scheme):
    """In every pair of width and scheme: as it is opened, and as it is changed to afterwards."""
    tab = visit(name, width=width, height=800, color_scheme=scheme, **STILL)
    for wide in (width, 1640 - width):
        tab.set_viewport_size({"width": wide, "height": 800})
        for look in ("light", "dark"):
            tab.emulate_media(color_scheme=look)
            assert tab.evaluate("document.documentElement.scrollWidth") <= wide
            table = tab.locator("#results .scroll")  # nothing of it is cut off, to be scrolled to
            assert table.evaluate("one => one.scrollWidth") <= table.evaluate("one => one.clientWidth")
    assert tab.locator(".map").count() == (name == "map")
    assert tab.locator("#results tbody tr").count() == len(METHODS)


def test_the_paths_move_and_stop(visit):
    tab = visit(height=900)
    assert tab.text_content("#play") == "Pause"
    now = "[Number(document.getElementById('scrub').value), document.querySelector('.way').getAttribute('d')]"
    early, _ = tab.evaluate(now)
    for _ in range(100):  # not wait_for_function: the page forbids eval
        tab.wait_for_timeout(50)
        if tab.evaluate(now)[0] > early + 20:
            break
    tab.click("#play")
    assert tab.text_content("#play") == "Play"
    stopped = tab.evaluate(now)
    assert early + 20 < stopped[0] < 1000
    tab.wait_for_timeout(150)
    assert tab.evaluate(now) == stopped


def test_who_wants_no_motion_sees_the_whole_paths(visit):
    tab = visit(**STILL)
    assert tab.text_content("#play") == "Replay"
    whole = tab.evaluate("document.querySelector('.way').getAttribute('d').split('L').length")
    assert whole == tab.evaluate("document.querySelector('.way').dataset.at.split(' ').length") > 5
    tab.click("#play")
    assert tab.text_content("#play") == "Pause"


def test_the_slider_shows_where_each_method_stood(visit):
    tab = visit(**STILL)
    scrub = tab.locator("#scrub")
    scrub.fill("0")
    assert tab.text_content("#clock") == "1 evaluation"
    assert tab.evaluate("document.querySelector('.way').getAttribute('d')").count("L") == 0
    assert (
        tab.text_content("[data-live='1']") == tab.evaluate("document.querySelector('.way').dataset.values").split()[0]
    )
    genetic = tab.locator(".head[data-method='3']")
    assert not genetic.is_visible()  # it begins with a whole population
    assert tab.text_content("[data-live='3']") == "\N{EN DASH}"
    scrub.fill("1000")
    assert genetic.is_visible()
    last = tab.locator("#results tbody tr").nth(2).locator("td.value").text_content()
    assert tab.text_content("[data-live='3']") == last


def test_methods_can_be_hidden(visit):
    tab = visit(**STILL)
    drawn = tab.locator(".way[data-method='2'], .track[data-method='2'], .head[data-method='2']")
    assert drawn.count() == 4
    assert all(one.is_visible() for one in drawn.all())
    tab.uncheck("input[data-method='2']")
    assert not any(one.is_visible() for one in drawn.all())
    assert tab.locator(".way[data-method='1']").is_visible()


def test_without_scripts_everything_is_there(visit):
    tab = visit(scripts=False)
    assert tab.locator(".way").count() == len(METHODS)
    assert not tab.locator("#player").is_visible()
    assert not tab.locator("input[data-method='1']").is_visible()


CONTRAST = """() => {
  const light = (rgb) => rgb.match(/[\\d.]+/g).slice(0, 3).map((part) => part / 255)
    .map((part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4))
    .reduce((sum, part, place) => sum + part * [0.2126, 0.7152, 0.0722][place], 0);
  const ground = light(getComputedStyle(document.body).backgroundColor);
  const seen = {};
  const bare = document.querySelector(".methods li");
  for (let own = 1; own <= 8; own += 1) {
    const copy = bare.cloneNode(true);
    copy.className = `m${own}`;
    bare.parentNode.append(copy);
  }
  for (const one of document.querySelectorAll("h1, h2, p, th, td, b, small, text, span, button")) {
    if (!one.textContent.trim()) continue;
    const style = getComputedStyle(one);
    const ink = light(one.tagName === "text" ? style.fill : style.color);
    const ratio = (Math.max(ink, ground) + 0.05) / (Math.min(ink, ground) + 0.05);
    if (ratio < 4.5) seen[one.tagName + " " + one.textContent.slice(0, 20)] = ratio;
  }
  return seen;
}"""


def test_every_text_stands_out_from_the_page(visit):
    tab = visit(color_scheme="light", **STILL)
    assert tab.evaluate(CONTRAST) == {}
    tab.emulate_media(color_scheme="dark")
    assert tab.evaluate(CONTRAST) == {}
