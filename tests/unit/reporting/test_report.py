"""The report as a page: what it shows, what it leaves out, what it never lets through."""

import base64
import hashlib
import re
from html import unescape
from html.parser import HTMLParser

import pytest

from lanewise.formatting.metric_labels import metric_label
from lanewise.reporting.document import finite_or_null
from lanewise.reporting.report import SECTIONS, render
from lanewise.reporting.sections.results import _per_class
from lanewise.reporting.terminal import summary

VOID = {"meta", "input", "br", "img", "link", "hr"}
ALLOWED = {
    *("html", "head", "meta", "title", "style", "script", "body", "main", "header", "footer", "nav", "section"),
    *("aside", "details", "summary", "div", "p", "a", "b", "i", "span", "bdi", "small", "h1", "h2", "h3", "ul", "ol"),
    *("li", "dl", "dt", "dd", "pre", "code", "figure", "figcaption", "table", "thead", "tbody", "tr", "th", "td"),
    *("button", "label", "input", "select", "option", "svg", "line", "circle", "text", "rect", "path"),
}
SAMPLES = ("binary", "multiclass", "regression", "minimal", "crowded", "hostile", "odd_scales")


class Page(HTMLParser):
    """Reads a page strictly: every element must be closed where it was opened."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text: dict[str, str] = {}
        self.feed(html)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        names = [name for name, _ in attrs]
        assert len(names) == len(set(names)), f"an attribute twice in <{tag}>"
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open:
            self.text[self.open[-1]] = self.text.get(self.open[-1], "") + data

    def of(self, tag):
        return [attrs for name, attrs in self.elements if name == tag]

    def ids(self):
        return [attrs["id"] for _, attrs in self.elements if "id" in attrs]


@pytest.fixture(scope="module", params=SAMPLES)
def page(request, samples) -> Page:
    """Each sample is rendered and read once; not to be changed."""
    return Page(render(samples.SAMPLES[request.param]()))


def test_every_page_is_well_formed_and_of_known_elements(page):
    assert {tag for tag, _ in page.elements} <= ALLOWED
    assert len(page.ids()) == len(set(page.ids()))
    assert len(page.of("h1")) == 1
    assert page.text["h1"].strip()


def test_every_page_is_complete_in_itself(page):
    for tag, attrs in page.elements:
        assert not {"src", "srcset", "action", "formaction", "poster", "data"} & set(attrs), tag
        assert not [name for name in attrs if name.startswith("on")], tag
        assert (attrs.get("href") or "#").startswith("#"), tag
    for attrs in page.of("a"):
        assert (attrs["href"] or "")[1:] in page.ids()
    assert "url(" not in page.text["style"]
    assert "@import" not in page.text["style"]


def test_the_policy_allows_no_request_and_only_this_script(page):
    policy = next(one["content"] for one in page.of("meta") if one.get("http-equiv") == "Content-Security-Policy")
    digest = base64.b64encode(hashlib.sha256(page.text["script"].encode()).digest()).decode()
    assert "default-src 'none'" in policy
    assert f"script-src 'sha256-{digest}'" in policy
    assert len(page.of("script")) == 1


def test_every_chart_says_what_it_shows(page):
    for attrs in page.of("svg"):
        if attrs.get("role") == "img":
            assert (attrs.get("aria-label") or "").strip()
        else:
            assert attrs.get("viewbox"), "only the stretched layer inside a chart has no words"


def test_no_number_is_nan_and_no_value_python(page):
    for words in (*page.text.values(), *(value for _, attrs in page.elements for value in attrs.values() if value)):
        if words != page.text["script"]:
            assert not re.search(r"(?<![\w])(nan|inf|None|Infinity|NaN)(?![\w])", words), words[:200]


def test_nothing_of_a_hostile_document_is_obeyed(samples):
    html = render(samples.hostile())
    page = Page(html)
    assert "49" not in page.text["h1"]
    assert "onload" not in {name for _, attrs in page.elements for name in attrs}
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]", html)
    assert "<script>fetch" not in html
    html.encode()


@pytest.mark.parametrize("attack", ["<script>", "\"'><em>", "\x1b[31m\u202e", "</title>", "😀" * 400])
def test_the_title_cannot_break_out(samples, attack):
    page = Page(render(samples.minimal(), title=attack))
    assert not page.of("em")
    assert len(page.of("script")) == 1


def test_sections_come_in_the_order_of_reading(samples):
    shown = [one["id"] for one in Page(render(samples.binary())).of("section")]
    assert shown == ["top", *(name for name, _, _ in SECTIONS)]


def test_a_minimal_document_has_no_empty_box(samples):
    page = Page(render(samples.minimal()))
    assert [one["id"] for one in page.of("section")] == ["top", "repeat"]
    assert not page.of("svg")
    assert not page.of("table")
    assert not page.of("figure")


@pytest.mark.parametrize("name", [name for name, _, _ in SECTIONS])
def test_a_section_goes_with_its_data(samples, name):
    needs = {
        "decisions": ("decisions", "effects", "ensemble"),
        "race": ("curves", "phases", "events"),
        "leaderboard": ("leaderboard",),
        "tradeoff": ("tradeoffs",),
        "sensitivity": ("sensitivity",),
        "diagnosis": ("diagnosis", "curves"),
        "results": ("confusion", "per_class", "calibration", "roc", "pr", "residuals"),
        "threshold": ("threshold",),
        "importance": ("importance",),
        "data": ("findings", "columns"),
        "cost": ("hardware",),
        "repeat": ("command", "run", "version", "seed", "created", "source", "target", "rows", "model_sha256"),
    }[name]
    document = samples.binary()
    for holder in (document, document["race"]):
        for key in needs:
            holder.pop(key, None)
    shown = [one["id"] for one in Page(render(document)).of("section")]
    assert shown == ["top", *(other for other, _, _ in SECTIONS if other != name)]


@pytest.mark.parametrize(("kind", "words"), [("fit", "then to the simpler."), ("tune", "then to the cheaper.")])
def test_who_wins_a_tie_is_said_as_it_is_decided(samples, kind, words):
    assert words in render(samples.binary() | {"kind": kind})


@pytest.mark.parametrize("empty", [None, [], {}, ""])
def test_null_and_empty_count_as_absent(samples, empty):
    document = samples.binary()
    document = {key: value if key in samples.header() else empty for key, value in document.items()}
    assert [one["id"] for one in Page(render(document)).of("section")] == ["top", "repeat"]


def test_the_document_read_back_from_json_gives_the_same_page(samples):
    document = finite_or_null(samples.odd_scales())
    assert render(samples.through_json(document)) == render(samples.odd_scales())


def test_the_headline_shows_all_three_scores(samples):
    html = render(samples.binary())
    for words in ("0.287", "0.278 to 0.296", "0.315", "0.551", "Guessing", "lower is better"):
        assert words.lower() in html.lower()


def bold_cells(html: str) -> dict[str, list[str]]:
    """The figures in bold of each row of the tables, by the whole text of the row."""
    rows = {re.sub(r"<[^>]*>", "", row): row for row in re.findall(r"<tr>.*?</tr>", html, re.DOTALL)}
    return {name: re.findall(r'class="strong">([^<]*)<', row) for name, row in rows.items()}


def test_the_best_of_the_other_metrics_is_bold_whoever_has_it(samples):
    document = samples.binary()
    for who, accuracy, auc in (("winner", 0.80, 0.912), ("default", 0.81, 0.912), ("dummy", 0.9, 0.5)):
        scores = document["test"] if who == "winner" else document["baselines"][who]
        scores["accuracy"] = {"value": accuracy, "low": accuracy - 0.01, "high": accuracy + 0.01}
        scores["roc_auc"] = {"value": auc, "low": auc - 0.01, "high": auc + 0.01}
    bold = bold_cells(render(document))
    assert next(cells for name, cells in bold.items() if name.strip().startswith("accuracy")) == ["90.0%"]
    assert next(cells for name, cells in bold.items() if "ROC AUC" in name) == ["0.912", "0.912"]


@pytest.mark.parametrize(("metric", "label", "given"), [("ece", "(ECE)", 8e-18), ("recall", "recall", 1.0)])
def test_a_guess_is_not_best_at_what_it_has_without_knowing_anything(samples, metric, label, given):
    document = samples.binary()
    for scores, value in (
        (document["test"], 0.031),
        (document["baselines"]["default"], 0.032),
        (document["baselines"]["dummy"], given),
    ):
        scores[metric] = {"value": value, "low": value, "high": value}
    html = render(document)
    cells = next(cells for name, cells in bold_cells(html).items() if name.strip().startswith(metric_label(metric)))
    assert cells == ["0.0310" if metric == "ece" else "0.0320"]
    assert "A guess takes no part in" in html
    assert label in html


def test_of_mistakes_that_are_as_frequent_none_is_called_the_most_frequent(samples):
    document = samples.binary()
    document["classes"] = ["a", "b"]
    document["confusion"] = {"classes": ["a", "b"], "matrix": [[90, 3], [3, 20]]}
    html = render(document)
    assert "no mistake is more frequent than all others" in html
    assert "most often" not in html.split('id="results"')[1].split("</h2>")[0]


def test_what_is_of_one_class_names_it(samples):
    document = samples.binary() | {"positive": "<=50K"}
    document["metric"] = {"name": "f1", "direction": "max", "words": ""}
    html = unescape(re.sub("</?bdi>", "", render(document)))
    assert "F1 of '<=50K' on " in html
    assert "Cross-validated F1 of '<=50K'" in html
    for words in ("It is that of", "Both are of", "Precision, recall, F1 and PR AUC are those of"):
        assert f"{words} the class “<=50K”." in html, words
    assert "The class “<=50K” is the positive one." in html


def test_tables_that_count_rows_are_told_from_scores_that_weigh_them(samples):
    weighed = render(samples.binary() | {"weighed_by": "class"})
    assert "count every row once. The scores and the two curves weigh rows by class." in weighed
    assert "count every row once" not in render(samples.binary() | {"weighed_by": None})
    assert "count every row once" not in render(samples.regression() | {"weighed_by": "'w'"})


def test_a_class_of_minus_one_keeps_its_name(samples):
    document = samples.binary()
    document["classes"] = ["1", "-1"]
    document["confusion"] = {"classes": ["1", "-1"], "matrix": [[90, 3], [8, 20]]}
    html = render(document)
    assert "“-1” is taken for “1”" in html
    assert "The answer is “-1” from" in html
    assert "\N{MINUS SIGN}1" not in html.split('id="results"')[1].split("</section>")[0]


def test_a_default_that_won_is_named_once(samples):
    html = render(samples.multiclass())
    assert "the default</span>" in html
    assert ">Default<" not in html.split('id="decisions"')[0]


def test_many_classes_become_a_heat_map_and_few_a_table(samples):
    assert 'class="confusion"' in render(samples.binary())
    crowded = render(samples.crowded())
    assert 'class="confusion"' not in crowded
    assert "Most often confused" in crowded


def test_a_crowded_run_stays_a_small_file(samples):
    assert len(render(samples.crowded()).encode()) < 600_000


def test_long_names_are_cut_and_whole_in_the_title(samples):
    document = samples.binary()
    document["importance"] = [{"column": "c" * 300, "value": 1.0, "low": 0.5, "high": 1.5}]
    page = Page(render(document))
    assert any(attrs.get("title") == "c" * 300 for attrs in page.of("bdi"))
    assert "c" * 100 not in page.text["bdi"]


def test_ties_are_marked(samples):
    document = samples.binary()
    for row in document["race"]["leaderboard"][1:3]:
        row["tie"] = True
    html = render(document)
    assert html.count('<span class="tag">tie</span>') == 2
    assert "2 candidates do as well as the winner" in html


def test_a_tie_is_one_with_the_best_score_whoever_won(samples):
    document = samples.binary()
    assert "A tie is within one standard error of the best score, on the same rows. A bar on the left" in render(
        document
    )
    best, second = sorted(document["race"]["leaderboard"], key=lambda row: row["rank"])[:2]
    best["status"], second["status"], second["difference"], best["tie"] = "confirmed", "winner", 0.0, True
    said = re.sub(r"<[^>]*>", "", render(document))
    assert f"on the same rows; that of {best['label']} is the best, though it is not the winner. A bar" in said


def test_the_ensemble_stands_beside_the_single_choice_that_it_was_compared_with(samples):
    document = samples.binary()
    document["ensemble"] |= {"score": 0.1, "difference": 0.02, "standard_error": 0.01}
    said = re.sub(r"<[^>]*>", "", render(document)).replace("\N{NO-BREAK SPACE}", " ")
    assert "scores 0.100, a single choice 0.120: the ensemble is 0.020 better (standard error 0.010)." in said
    document["metric"] |= {"direction": "max"}
    document["ensemble"]["score"] = 0.14
    assert "scores 0.140, a single choice 0.120: " in re.sub(r"<[^>]*>", "", render(document))


def test_columns_are_counted_without_the_target(samples):
    document = samples.binary()
    roles = ("feature", "feature", "set aside", "target")
    document["columns"] = [{"name": role, "kind": "number", "role": role} for role in roles]
    assert "2 columns to learn from, 1 set aside, 1 warning" in render(document)


def test_no_single_candidate_stands_clear_where_an_ensemble_won(samples):
    document = samples.binary()
    document["winner"] = {
        "id": "ensemble",
        "label": "ensemble of 2 candidates",
        "hyperparameters": {"a": 0.5, "b": 0.5},
    }
    for row in document["race"]["leaderboard"]:
        row["tie"] = False
        row["status"] = "member" if row["rank"] < 3 else row["status"]
    html = render(document)
    assert "stands clear" not in html
    assert "The ensemble won; without it, " in html
    assert html.count('<span class="tag member">in the ensemble</span>') == 2
    assert "Against single choice" in html
    (default,) = (row for row in document["race"]["leaderboard"] if row["id"] == document["default"]["id"])
    tags = html.count(tag := '<span class="tag default">default</span>')
    default["status"] = "member"
    assert render(document).count(tag) == tags > 0
    document["winner"] = samples.binary()["winner"]
    assert "The winner stands clear of" in render(document)


def test_a_leak_stands_before_everything_that_it_makes_untrue(samples):
    document = samples.binary()
    leak = "'duration' alone gives the target away"
    document["findings"] = [{"code": "leaks_target", "severity": "warning", "message": leak}]
    document["warnings"] = ["few rows", leak]
    html = render(document).split("<main", 1)[1]
    assert html.index("gives the target away") < html.index(document["summary"][1][:20]) < html.index("Few rows")
    assert html.count("Mistrust these scores first") == 1


def test_choices_that_one_fold_saw_are_not_said_to_be_decided(samples):
    document = samples.binary()
    seen = {"question": "Which loss?", "chosen": "a", "over": "b", "difference": 0.1, "standard_errors": None}
    document["race"]["decisions"] = [
        {**seen, "standard_errors": 3.0, "verdict": "clear"},
        {**seen, "verdict": "screen only: better on one fold after 33% of the training"},
        {**seen, "difference": None, "verdict": "the other diverged"},
    ]
    html = render(document)
    assert "1 of 3 choices was decided by the evidence" in html
    assert "Of the others 1 was seen on one fold of the screen only" in html
    document["race"]["decisions"].pop()
    assert "The other was seen on one fold of the screen only" in render(document)
    assert '<span class="value">better on one fold</span>' in html
    assert '<span class="value">diverged</span>' in html


def test_choices_between_single_candidates_have_a_heading_of_their_own(samples):
    document = samples.binary()
    for one in document["race"]["decisions"][1:]:
        one["among"] = "single candidates"
    html = render(document)
    assert html.count("Among single candidates") == 1
    assert html.index(document["race"]["decisions"][0]["question"]) < html.index("Among single candidates")


@pytest.mark.parametrize(
    ("lows", "heading"),
    [
        ((-1.0, 0.5, 0.3), "“b” and 1 other surely matter"),
        ((-1.0, 0.5, -0.1), "Only “b” surely matters"),
        ((0.8, 0.5, 0.1), "“a” matters most"),
        ((-1.0, 0.1, 0.1), "No column surely matters on its own"),
        ((-1.0, -1.0, -1.0), "No column surely matters on its own"),
    ],
)
def test_the_importance_is_headed_by_what_its_order_shows(samples, lows, heading):
    document = samples.binary()
    document["importance"] = [
        {"column": name, "value": value, "low": low, "high": 2 * value - low}
        for name, value, low in zip("abc", (3.0, 2.0, 1.0), lows, strict=True)
    ]
    assert heading in render(document)


def test_the_learning_rates_are_headed_by_the_winner_s(samples):
    document = samples.binary()
    assert "adamw won with a learning rate of 0.0032" in render(document)
    document["winner"] |= {"optimizer": "lbfgs", "hyperparameters": {}}
    assert "The winner has no learning rate; these have" in render(document)
    document["winner"]["hyperparameters"] = {"lr": 0.1}
    assert "The winner&#39;s optimizer was tried at one rate only; these at more" in render(document)
    document["winner"]["id"] = "ensemble"
    assert "The learning rates that were tried" in render(document)


def test_scores_of_a_training_that_was_stopped_are_not_those_of_its_end(samples):
    document = samples.binary()
    document["diagnosis"]["stop"] = 0.4
    html = render(document)
    assert "Where it was stopped, at 40% of the full length" in html
    assert "stopped here" in html
    document["diagnosis"]["stop"] = 1.0
    html = render(document)
    assert "At the end:" in html
    assert "stopped here" not in html


def test_the_cost_says_where_the_time_went(samples):
    document = samples.binary()
    assert "Where the time went" not in render({**document, "hardware": {"seconds": 12.0}})
    document["hardware"] = {
        "seconds": 12.0,
        "budget_seconds": 10.0,
        "seconds_by_stage": {"refit": 2.0, "read": 0.5, "screen": 9.5},
    }
    html = render(document).split("Where the time went")[1]
    assert html.index("Reading") < html.index("Screen") < html.index("Training on all rows")
    assert "The budget was 10\xa0s, and was overrun" in html, "a number and its unit stay on one line"


def test_how_the_energy_is_known_is_told(samples):
    document = samples.binary()
    document["hardware"] = {"energy_wh": 0.0831, "energy_words": "measured by the processor's own counters"}
    assert "0.083\xa0Wh, measured by the processor" in render(document)
    document["hardware"] = {"energy_wh": 0.0831}
    assert "0.083\xa0Wh, estimated" in render(document)


def test_the_cost_says_what_gradients_travelled_as(samples):
    document = samples.binary()
    document["hardware"] = {"seconds": 12.0, "payload": "bfloat16", "payload_error": 0.00213}
    assert "bfloat16, error of a gradient 0.21% at first" in render(document)
    said = "Gradients travelled as bfloat16, which changed the first ones by up to 0.21% of their length."
    assert said in " ".join(summary(document, width=100, color=False).split())


def test_the_cost_says_how_ranks_were_arranged_and_why(samples):
    document = samples.binary()
    why = "mesh data=2, as measured: the confirmation has 1 lane; with lane=2 the race is predicted to take 1.96 times"
    document["hardware"] = {"seconds": 12.0, "ranks": 2, "mesh": "data=2", "mesh_why": why}
    document["hardware"]["exchanged_bytes"] = 412_345_678
    found = render(document)
    assert "412\xa0MB given to sums by each rank" in found
    assert re.search(r"<dt>Mesh</dt><dd>[^/]*data=2<", found)
    assert '<p class="note">Mesh data=2, as measured: the confirmation has 1 lane; with lane=2' in found
    assert "<dt>Mesh" not in render(samples.binary())


def test_lanes_of_the_race_are_counted_apart_from_the_last_trainings(samples):
    document = samples.binary()
    raced = len(document["race"]["curves"])
    document["lanes"] = raced + 2
    assert f"{raced} lanes · 2 trainings on all rows" in render(document)
    document["lanes"] = raced
    assert "on all rows" not in render(document).split('class="contents"')[0].split("The winner")[1]


def test_precision_and_recall_are_written_alike_by_class_and_in_all(samples):
    document = samples.binary()
    document["per_class"] = [{"class": "no", "precision": 0.8473, "recall": 0.9994, "f1": 0.9, "support": 10}]
    html = render(document)
    assert '<td class="figure">0.847</td><td class="figure">0.999</td><td class="figure">0.900</td>' in html


def test_the_score_stands_alone_in_large_letters(samples):
    document = samples.binary()
    document["summary"] = ["It won.", "Its score is 5.", "It is so.", "And so."]
    html = render(document)
    assert '<p class="standfirst">Its score is 5.</p>' in html
    assert '<p class="lead">It is so. And so. </p>' in html


def test_the_typical_error_is_said_as_the_table_of_scores_has_it(samples):
    document = samples.regression()
    document["test"]["median_ae"] = samples.estimate(15_443.0, 700.0)
    html = render(document)
    assert "within 15,400 of the truth" in html
    assert ">15,400</span>" in html


def test_a_scatter_of_some_rows_says_of_how_many(samples):
    document = samples.regression()
    document["rows"] = {"train": 8000, "test": 2000}
    assert "Shown are 400 of 2,000 test rows" in render(document)
    document["rows"]["test"] = 400
    assert "Shown are" not in render(document)


@pytest.mark.parametrize(
    ("words", "heading", "rest"),
    [
        ("What it learned holds for new rows. Its RMSE is 46.80 and 1.8 on training rows.", 34, "Its RMSE is 46.80"),
        ("Most of it holds for new rows; 22% of it does not. Its RMSE is 5.", 49, "Its RMSE is 5."),
        ("w", 1, ""),
    ],
)
def test_the_heading_of_a_good_fit_is_what_its_diagnosis_begins_with(samples, words, heading, rest):
    document = samples.binary()
    document["diagnosis"] = {"verdict": "good", "words": words, "train": 1.8, "valid": 46.8, "advice": [], "lost": 0.02}
    html = render(document)
    assert re.search(r'id="diagnosis-heading">([^<]*)<', html)[1] == words[:heading]
    section = html.split('id="diagnosis-heading">')[1].split("</section>")[0]
    assert rest in section
    assert section.count(words[:heading]) == 1 or words == "w"
    assert "times" not in section, "where the error on training rows is next to 0 a ratio says nothing"


def test_the_heading_of_the_learning_rates_says_that_the_winner_s_is_at_an_end(samples):
    document = samples.binary()
    words = "Its learning rate, 0.0032, is the largest of the 6 tried with adamw: a larger one might be better."
    edge = {"setting": "lr", "value": 0.0032, "side": "largest", "tried": 6, "of": "adamw", "words": words}
    document["race"]["edges"] = [edge]
    html = render(document)
    assert "adamw won with a learning rate of 0.0032, the largest of 6 tried" in html
    assert words in html.split('id="sensitivity"')[1]


def test_two_rates_are_no_picture(samples):
    document = samples.binary()
    for one in document["race"]["sensitivity"]:
        one["points"] = one["points"][:2]
    assert 'id="sensitivity"' not in render(document)


def test_the_head_says_what_to_do_next(samples):
    document = samples.binary()
    document["diagnosis"]["advice"] = [
        "Done: dropout 0.2.",
        "To try: more rows.",
        "To check: y.",
        "To try: fewer columns.",
    ]
    head = render(document).split('class="contents"')[0]
    assert "<li>Try more rows.</li><li>Check y.</li></ul>" in head
    assert '<a href="#diagnosis">It knows its training rows too well</a>' in head
    document["diagnosis"]["verdict"] = "good"
    assert "It knows its training rows too well" not in render(document)
    assert f"lanewise predict {document['run']} new.csv" in head
    document |= {"kind": "tune", "diagnosis": None}
    assert "What next" not in render(document)


def test_what_is_the_same_by_definition_is_told_once(samples):
    document = samples.binary()
    document["test"] |= {"recall_macro": samples.estimate(0.7, 0.01)}
    assert "macro recall" in render(document)
    document["test"] |= {"balanced_accuracy": samples.estimate(0.7, 0.01)}
    assert "macro recall" not in render(document)
    document["test"] |= {"balanced_accuracy": samples.estimate(0.8, 0.01)}
    assert "macro recall" in render(document), "a class was predicted of which there is no row"


def test_the_fit_of_a_tune_ends_where_its_curves_do(samples):
    document = samples.binary()
    document["diagnosis"] = None
    section = render(document).split('id="diagnosis"')[1].split("</section>")[0]
    assert "At the end: training 0." in section
    assert "corrected for having picked" not in section


def test_a_score_is_corrected_only_where_one_of_several_was_picked(samples):
    document = samples.binary()
    words = "corrected for having picked the best of many"
    assert words in render(document)
    del document["race"]["leaderboard"][1:]
    assert words not in render(document)


def test_the_rows_of_a_run_add_up(samples):
    document = samples.binary()
    document["rows"] = {"train": 1000, "test": 400, "set_aside": 50}
    assert "rows: 1,000 to train, 400 to test and 50 set aside" in render(document)


def test_the_leaderboard_tells_of_intervals_where_it_has_some(samples):
    document = samples.binary()

    def board():
        return render(document).split('id="leaderboard"')[1].split("</section>")[0]

    assert "Lines are 95% intervals." in board()
    for row in document["race"]["leaderboard"]:
        row["low"] = row["high"] = None
    assert "Lines are 95% intervals." not in board()
    assert "A tie is within one standard error" in board()


def test_candidates_of_one_label_are_told_apart_on_the_pareto_front(samples):
    document = samples.binary()
    first = document["race"]["leaderboard"][0]
    document["race"]["tradeoffs"] = [
        {**first, "id": f"w{width}", "label": "net, adamw", "hyperparameters": {"width": width}}
        | {"weights": 10 * width, "seconds": float(width), "score": 0.5 - 0.01 * width, "status": "confirmed"}
        for width in (1, 2, 4)
    ]
    section = render(document).split('id="tradeoff"')[1].split("</section>")[0]
    assert all(f"net, adamw, width {width}<" in section for width in (1, 2, 4))


def test_the_race_says_where_the_winner_and_the_default_were_judged(samples):
    document = samples.binary()
    curve = {"lane": 0, "model": "mlp", "optimizer": "adamw", "x": [0.1, 0.5, 1.0], "valid": [0.2, 0.3, 0.4]}
    ids = {"winner": document["winner"]["id"], "default": "d"}
    document["race"]["curves"] = [
        {**curve, "status": status, "candidate": id, "fold": fold} for status, id in ids.items() for fold in (0, 1)
    ]
    board = [{"id": ids["winner"], "stop": 0.1, "score": 0.21}, {"id": "d", "stop": 0.5, "score": 0.31}]
    document["race"] |= {"leaderboard": board, "judged": []}
    assert "judged there" not in render(document)  # of lanes alone nobody knows how all together would score
    whole = {"x": [0.1, 0.5, 1.0], "valid": [0.21, 0.31, 0.4]}
    document["race"]["judged"] = [{**whole, "candidate": id} for id in ids.values()]
    html = render(document)
    assert "judged there: winner at 10% and default at 50%" in html
    members = [{**curve, "status": "member"} for curve in document["race"]["curves"]]
    ensemble = render({**document, "race": {**document["race"], "curves": members}})
    assert "judged there: the ensemble&#39;s members at 10% to 50%" in ensemble
    assert re.search(r'class="score winner">0\.21\d*<', html)
    assert "as the leaderboard scores it" in html


def test_one_of_many_columns_that_clears_zero_does_not_surely_matter(samples):
    document = samples.binary()
    document["importance"] = [{"column": "a", "value": 0.035, "low": 0.006, "high": 0.064}]
    section = render(document).split('id="importance"')[1].split("</section>")[0]
    assert "“a” matters most" in section
    assert "Bonferroni" not in section
    noise = [{"column": f"n{place}", "value": 0.0, "low": -0.01, "high": 0.01} for place in range(29)]
    document["importance"] += noise
    section = render(document).split('id="importance"')[1].split("</section>")[0]
    assert "No column surely matters on its own" in section
    assert "Of 30 columns some clear zero by chance" in section
    assert "stand in for each other" in section
    assert "shuffled among test rows" in section


def test_a_default_that_won_is_no_answer_to_better_than_the_default(samples):
    document = samples.binary()
    one = {"question": "Better than the default?", "over": "b", "standard_errors": 2.0, "verdict": "clear"}
    document["race"]["decisions"] = [{**one, "chosen": "the default, a", "difference": 0.1}]
    section = render(document).split('id="decisions"')[1].split("</section>")[0]
    assert "The default or another?" in section
    assert "Better than the default?" not in section
    document["race"]["decisions"][0] |= {"chosen": "a", "over": "the default, b"}
    assert "Better than the default?" in render(document)


def test_every_command_to_go_on_with_has_a_button_that_copies_it(samples):
    html = render(samples.binary())
    head = html.split('class="contents"')[0]
    assert head.count('<button type="button" class="copy" hidden') == head.count("<dd><code>") == 2
    assert html.count('class="copy" hidden') == 3, "and the command that repeats the run"


def test_the_winner_s_rate_is_told_where_another_of_its_panel_was_better(samples):
    document = samples.binary()
    winner = document["winner"]
    winner["hyperparameters"] = {**winner["hyperparameters"], "lr": 0.01}
    of = {"optimizer": winner["optimizer"], "model": winner["model"], "look": ""}
    points = [{"lr": lr, "score": score} for lr, score in ((0.001, 0.3), (0.01, 0.2), (0.1, 0.1))]
    document["race"]["sensitivity"] = [{**of, "points": points}]
    minimise = document["metric"]["direction"] == "min"
    assert "at the winner&#39;s 0.01 (full dot)" in render(document)
    winner["hyperparameters"]["lr"] = 0.1 if minimise else 0.001
    assert "(full dot)" not in render(document)


def test_of_many_classes_the_weakest_come_first_and_those_without_rows_last() -> None:
    scores = [0.9, None, 0.1, *[0.5] * 20]
    found = [{"class": str(place), "precision": 0.5, "recall": f1, "f1": f1} for place, f1 in enumerate(scores)]
    shown = [row["name"] for row in _per_class(found)]
    assert shown[0] == "2"
    assert shown[-2:] == ["0", "1"]
