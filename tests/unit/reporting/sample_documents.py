"""Run documents as a run would write them: realistic, minimal, crowded, hostile and oddly scaled."""

import json
import random
import string
from collections.abc import Callable
from math import exp, log10
from pathlib import Path
from typing import Any

Document = dict[str, Any]

HOSTILE = (
    '<script>fetch("https://evil.example/x")</script>',
    '"><img src=x onerror=alert(1)>',
    "</title><svg onload=alert(1)>",
    "{{ 7 * 7 }}{% raw %}",
    "\x1b[31mred\x1b]0;owned\x07\x1b[0m bell\x07",
    "user\u202egnp.exe\u2066 isolate",
    "مرحبا بالعالم",
    "😀👨‍👩‍👧 column",
    "a'b\"c`d&amp;e",
    "line\nbreak\ttab\x00nul\u2028sep",
    "lone \ud800 surrogate",
    "</style></svg>]]><!--",
    "javascript:alert(1)",
    "w" * 3000,
)


def parts(name: str) -> Any:
    """What does not depend on the kind of task, and is too long to read here."""
    return json.loads(Path(__file__).with_name("sample_parts.json").read_text(encoding="utf-8"))[name]


def header(**changes: Any) -> Document:
    """What every run document has."""
    return {
        "schema_version": 1,
        "run": "20261121-140309-7f3a",
        "created": "2026-11-21T14:03:09Z",
        "version": "0.1.0",
        "command": "lanewise fit adult_train.csv.gz --target income --budget 10m --seed 0",
        "source": "adult_train.csv.gz",
        "target": "income",
        "task": "binary",
        "metric": {
            "name": "log_loss",
            "direction": "min",
            "words": "How surprised the model is by the truth: a sure and wrong answer costs most",
        },
        **changes,
    }


def estimate(value: float, half: float) -> dict[str, float]:
    return {"value": value, "low": value - half, "high": value + half}


def card(number: int, model: str, optimizer: str | None, **hyper: Any) -> Document:
    name = f"{model}, {optimizer}" if optimizer else model
    return {
        "id": f"c{number:03d}",
        "label": name,
        "model": model,
        "optimizer": optimizer,
        "hyperparameters": hyper,
    }


def _curve(draw: random.Random, lane: int, one: Document, *, end: float, status: str, minimise: bool) -> Document:
    length = {"pruned": draw.choice((0.125, 0.25, 0.5)), "diverged": draw.choice((0.1, 0.3))}.get(status, 1.0)
    steps = max(3, round(60 * length))
    x = [length * (step + 1) / steps for step in range(steps)]
    start = 0.9 if minimise else end - 0.6
    speed = 4 + 3 * (int(one["id"][1:]) % 5) + draw.uniform(0, 0.5)
    valid = [end + (start - end) * exp(-speed * at) + draw.gauss(0, 0.003) for at in x]
    if status == "diverged":
        valid = [value + (1 if minimise else -1) * 40 * at**2 for value, at in zip(valid, x, strict=True)]
        valid[-1] = float("nan")
    sign = 1 if minimise else -1
    train = [value - sign * 0.05 * at for value, at in zip(valid, x, strict=True)]
    return {
        "lane": lane,
        "candidate": one["id"],
        "label": one["label"],
        "model": one["model"],
        "optimizer": one["optimizer"],
        "fold": lane % 5,
        "seed": 0,
        "status": status,
        "x": x,
        "valid": valid,
        "train": train,
    }


def _candidates(draw: random.Random, count: int) -> list[Document]:
    optimizers = ("adamw", "sgd_nesterov", "rmsprop", "lion", "adam")
    models = ("mlp", "linear", "fm")
    return [
        card(
            number,
            draw.choice(models),
            draw.choice(optimizers),
            learning_rate=10 ** draw.uniform(-4.5, -0.5),
            batch_size=draw.choice((64, 256, 1024)),
            weight_decay=draw.choice((0.0, 1e-4, 1e-2)),
            hidden=draw.choice(((64, 64), (256,))),
        )
        for number in range(count)
    ]


def _race(draw: random.Random, *, lanes: int, best: float, minimise: bool) -> Document:
    sign = 1 if minimise else -1
    candidates = _candidates(draw, max(3, lanes // 4))
    candidates[0] |= {"label": "mlp 256, adamw", "model": "mlp", "optimizer": "adamw"}
    candidates[1] |= {"label": "gradient-boosted trees", "model": "trees", "optimizer": None}
    ends = [best, best + sign * 0.028] + [best + sign * (0.01 + abs(draw.gauss(0, 0.07))) for _ in candidates[2:]]
    order = sorted(range(len(candidates)), key=lambda place: sign * ends[place])
    status = {place: "pruned" for place in order}
    status |= {place: "confirmed" for place in order[: max(4, len(order) // 8)]}
    status |= {place: "diverged" for place in order[-2:]} | {1: "default", 0: "winner"}
    curves = [
        _curve(draw, lane, candidates[place], end=ends[place], status=status[place], minimise=minimise)
        for lane, place in enumerate(place % len(candidates) for place in range(lanes))
    ]
    board = []
    for rank, place in enumerate(order, 1):
        gap = ends[place] - best
        board.append(
            {
                **{key: candidates[place][key] for key in ("id", "label", "model", "optimizer", "hyperparameters")},
                "rank": rank,
                "score": ends[place] if status[place] != "diverged" else None,
                "low": ends[place] - 0.009,
                "high": ends[place] + 0.009,
                "difference": gap,
                "standard_error": 0.012,
                "tie": abs(gap) < 0.012,
                "status": status[place],
                "seconds": draw.uniform(0.4, 20),
            }
        )
    return {
        "phases": [
            {"name": "screen", "lanes": lanes, "candidates": len(candidates), "seconds": 31.0},
            {"name": "confirm", "lanes": 45, "candidates": 9, "seconds": 58.2},
            {"name": "refit", "lanes": 1, "candidates": 1, "seconds": 6.1},
        ],
        "curves": curves,
        "sensitivity": _sensitivity(best, minimise=minimise),
        "leaderboard": board,
        "tradeoffs": [{**row, "weights": 90_000 // row["rank"]} for row in board],
        "decisions": parts("decisions"),
    }


def _sensitivity(best: float, *, minimise: bool) -> list[Document]:
    sign = 1 if minimise else -1
    series = []
    for optimizer, centre, width in (
        ("adamw", -2.5, 1.4),
        ("sgd_nesterov", -1.2, 0.8),
        ("rmsprop", -3.1, 1.0),
        ("lion", -3.6, 0.7),
    ):
        points = []
        for step in range(10):
            rate = 10 ** (-5 + step * 0.5)
            score = best + sign * 0.04 * ((log10(rate) - centre) / width) ** 2
            lost = log10(rate) > centre + 2 * width
            points.append(
                {
                    "lr": rate,
                    "score": None if lost else score,
                    "low": None if lost else score - 0.012,
                    "high": None if lost else score + 0.012,
                }
            )
        series.append({"optimizer": optimizer, "model": "mlp", "points": points})
    return series


def _common(best: float, *, minimise: bool, lanes: int, seed: int = 0) -> Document:
    draw = random.Random(seed)
    sign = 1 if minimise else -1
    return {
        "candidates": max(3, lanes // 4),
        "lanes": lanes,
        "winner": card(0, "mlp", "adamw", learning_rate=0.00316, batch_size=256, weight_decay=0.01, hidden=(256, 256))
        | {"label": "mlp 256, adamw"},
        "default": card(1, "trees", None, rounds=300, learning_rate=0.1) | {"label": "gradient-boosted trees"},
        "race": _race(draw, lanes=lanes, best=best, minimise=minimise),
        "effects": [
            _effect("learning_rate", (1e-4, 1e-3, 1e-2, 1e-1), (0.03, 0.002, 0.01, 0.09), best, sign),
            _effect("batch_size", (64, 256, 1024), (0.004, 0.003, 0.008), best, sign),
            _effect("weight_decay", (0.0, 1e-4, 1e-2), (0.012, 0.011, 0.005), best, sign),
        ],
        "ensemble": {
            "members": parts("ensemble"),
            "score": best + sign * 0.001,
            "difference": -0.001,
            "standard_error": 0.002,
            "taken": False,
        },
        "diagnosis": {
            "verdict": "overfit",
            "words": "Training improves after validation has settled: the model has begun to learn single rows.",
            "train": best - sign * 0.05,
            "valid": best,
            "advice": ["Raise the weight decay to 0.03.", "Collect more rows: the learning curve has not flattened."],
        },
        **parts("common"),
    }


def _effect(name: str, values: tuple[float, ...], losses: tuple[float, ...], best: float, sign: int) -> Document:
    return {
        "hyperparameter": name,
        "values": [
            {
                "value": value,
                "score": best + sign * loss,
                "low": best + sign * loss - 0.01,
                "high": best + sign * loss + 0.01,
            }
            for value, loss in zip(values, losses, strict=True)
        ],
        "gain": max(losses) - min(losses),
    }


def binary(lanes: int = 64) -> Document:
    """A classification in two classes, with everything that a run can tell."""
    steps = [step / 50 for step in range(51)]
    return header(
        cross_validation={"log_loss": estimate(0.284, 0.009)},
        threshold={
            "value": 0.37,
            "metric": "f1",
            "words": "Chosen on out-of-fold predictions, so that F1 is highest; at 0.5 it would be 0.694.",
            "curve": [{"threshold": at, "value": 0.74 - 1.6 * (at - 0.37) ** 2} for at in steps],
        },
        **parts("binary"),
        calibration=[
            {"predicted": 0.05 + step / 10, "observed": min(1.0, 0.03 + step / 9.4), "count": 2400 // (step + 1)}
            for step in range(10)
        ],
        roc=[{"x": at, "y": at**0.18} for at in steps],
        pr=[{"x": at, "y": 1 - 0.72 * at**4} for at in steps],
        **_common(0.284, minimise=True, lanes=lanes),
    )


def multiclass(classes: int = 26, lanes: int = 40) -> Document:
    """A classification in many classes: letters, or numbered classes beyond 26."""
    draw = random.Random(3)
    names = (
        list(string.ascii_uppercase)
        if classes == 26
        else [f"intent_{number:02d}_transfer" for number in range(classes)]
    )
    matrix = [[0] * classes for _ in names]
    for place in range(classes):
        matrix[place][place] = draw.randint(120, 170)
        for _ in range(draw.randint(0, 5)):
            other = draw.randrange(classes)
            if other != place:
                matrix[place][other] += draw.randint(1, 9)
    per_class = [
        {
            "class": name,
            "precision": draw.uniform(0.85, 1),
            "recall": draw.uniform(0.85, 1),
            "f1": draw.uniform(0.85, 1),
            "support": sum(matrix[place]),
        }
        for place, name in enumerate(names)
    ]
    common = _common(0.958, minimise=False, lanes=lanes)
    common["default"] = common["winner"]
    return header(
        target="letter",
        source="letter_recognition.csv",
        task="multiclass",
        metric={"name": "accuracy", "direction": "max", "words": "The share of rows that are right"},
        classes=names,
        summary=[
            "The default wins: nothing that was tried beats gradient-boosted trees by more than a standard error."
        ],
        test={"accuracy": estimate(0.9682, 0.0055), "log_loss": estimate(0.113, 0.014)},
        baselines={"default": {"accuracy": estimate(0.9561, 0.006)}, "dummy": {"accuracy": estimate(0.0402, 0.005)}},
        confusion={"classes": names, "matrix": matrix},
        per_class=per_class,
        **common,
    )


def regression() -> Document:
    """A regression by R2, which is negative for a bad model, with residuals."""
    draw = random.Random(5)
    actual = [draw.lognormvariate(12, 0.5) for _ in range(400)]
    predicted = [value * draw.gauss(1, 0.15) for value in actual]
    return header(
        target="median_house_value",
        source="california_housing.csv.gz",
        task="regression",
        metric={"name": "r2", "direction": "max", "words": "The share of the spread of the target that is explained"},
        summary=["A boosted ensemble explains 83% of the spread of house prices.", "A linear model explains 61%."],
        test={"r2": estimate(0.831, 0.012), "rmse": estimate(47213.4, 1312.0), "mae": estimate(31120.9, 702.0)},
        baselines={"default": {"r2": estimate(0.812, 0.013)}, "dummy": {"r2": estimate(-0.0004, 0.0006)}},
        residuals={"actual": actual, "predicted": predicted},
        **_common(0.83, minimise=False, lanes=24),
    )


def minimal() -> Document:
    """Nothing but the header."""
    return header()


def crowded() -> Document:
    """As many lanes, columns and classes as a large run has."""
    document = multiclass(classes=77, lanes=320)
    names = [f"sensor_{number:03d}_reading_mean" for number in range(200)]
    facts = {"kind": "number", "role": "input", "reason": None}
    document["columns"] = [{"name": name, "missing": number, **facts} for number, name in enumerate(names)]
    document["importance"] = [
        {"column": name, **estimate(0.2 / (number + 1), 0.05 / (number + 1))} for number, name in enumerate(names)
    ]
    return document


def hostile() -> Document:
    """Every text of a full document replaced by something that tries to break out, or to look like something else."""
    draw = random.Random(1)
    keep = {"task", "direction", "status", "severity"}

    def poison(value: Any, key: str = "") -> Any:
        if isinstance(value, str):
            return value if key in keep else draw.choice(HOSTILE)
        if isinstance(value, dict):
            keys = (draw.choice(HOSTILE) if key == "hyperparameters" else name for name in value)
            return {name: poison(item, str(old)) for (old, item), name in zip(value.items(), keys, strict=True)}
        if isinstance(value, list):
            return [poison(item, key) for item in value]
        return value

    document = poison(binary())
    document["test"] |= {HOSTILE[0]: estimate(0.5, 0.1)}
    document["metric"]["name"] = "log_loss"
    return document


def odd_scales() -> Document:
    """Scores that are all equal, huge, tiny, missing, NaN or infinite; a single lane; empty lists."""
    document = regression()
    equal = {"value": 0.5, "low": 0.5, "high": 0.5}
    document["test"] = {"r2": equal}
    document["baselines"] = {"default": {"r2": equal}, "dummy": {"r2": {"value": None, "low": None, "high": None}}}
    race = document["race"]
    race["curves"] = [
        {**race["curves"][0], "x": [1.0], "valid": [-3.2], "train": [None]},
        {**race["curves"][1], "x": [0.5, 1.0], "valid": [float("nan"), float("inf")], "train": [None, None]},
        {**race["curves"][2], "x": [], "valid": [], "train": [], "status": "pruned"},
    ]
    race["sensitivity"] = [
        {"optimizer": "sgd", "model": "linear", "points": [{"lr": 0.1, "score": -2.0, "low": None, "high": None}]},
        {"optimizer": "adam", "model": "linear", "points": [{"lr": 0.0, "score": 1e300, "low": None, "high": None}]},
    ]
    race["leaderboard"] = [{**race["leaderboard"][0], "score": None, "low": None, "high": None, "difference": None}]
    document["importance"] = [{"column": "x", "value": 0.0, "low": 0.0, "high": 0.0}]
    document["effects"] = [
        {
            "hyperparameter": "lr",
            "values": [{"value": one, "score": 1e300, "low": -1e308, "high": 1e308} for one in "ab"],
            "gain": None,
        }
    ]
    document["residuals"] = {"actual": [1.0, 1.0, None], "predicted": [1.0, 1.0, float("nan")]}
    document["hardware"] = {"seconds": 0.0, "race_cpu_seconds": 0.0, "one_at_a_time_seconds": 0.0}
    document["ensemble"] = None
    return document


SAMPLES: dict[str, Callable[[], Document]] = {
    "binary": binary,
    "multiclass": multiclass,
    "regression": regression,
    "minimal": minimal,
    "crowded": crowded,
    "hostile": hostile,
    "odd_scales": odd_scales,
}


def through_json(document: Document) -> Document:
    """The document as another program reads it."""
    return json.loads(json.dumps(document))
