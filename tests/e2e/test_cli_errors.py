"""Whatever is given, the answer is one line on stderr and the right exit code, never a traceback."""

import os
import random
import shutil
import unicodedata
from collections.abc import Callable

import pytest


def rows(text: str, count: int) -> str:
    return "".join(text.splitlines(keepends=True)[: count + 1])


def ragged() -> str:
    drawn = random.Random(1)
    return "a,b,w,y\n" + "".join(",".join("x" * drawn.randint(1, 9)) + "\n" for _ in range(50))


TABLES: dict[str, Callable[[str], str | bytes]] = {
    "one_class.csv": lambda good: good.replace(",yes", ",no"),
    "no_target.csv": lambda good: good.replace(",yes", ",").replace(",no", ","),
    "only_target.csv": lambda good: "".join(line.split(",")[-1] for line in good.splitlines(keepends=True)),
    "constant.csv": lambda good: "k,y\n" + "".join(f"1,{line.split(',')[-1]}\n" for line in good.splitlines()[1:]),
    "no_rows.csv": lambda good: rows(good, 0),
    "three_rows.csv": lambda good: rows(good, 3),
    "empty.csv": lambda _: "",
    "ragged.csv": lambda _: ragged(),
    "binary.csv": lambda _: bytes(range(256)) * 20,
    "negative.csv": lambda good: good.replace(",1,", ",-1,", 1),
    "foreign.csv": lambda _: "p,q\n1,2\n3,4\n",
    "short_test.csv": lambda _: "a,y\n1,yes\n0,no\n",
    "twins.csv": lambda good: "".join(f"{line},{line.split(',')[-1]}\n" for line in good.splitlines()),
}

FITS: dict[str, tuple[list[str], str]] = {
    "missing file": (["nowhere.csv", "--target", "y"], "no file nowhere.csv"),
    "folder": ([".", "--target", "y"], "is a folder"),
    "unknown column": (["good.csv", "--target", "yy"], "did you mean 'y'?"),
    "one class": (["one_class.csv", "--target", "y"], "at least two different values"),
    "target all missing": (["no_target.csv", "--target", "y"], "has no value"),
    "no column": (["only_target.csv", "--target", "y"], "no column left"),
    "no usable column": (["constant.csv", "--target", "y"], "no column left"),
    "no rows": (["no_rows.csv", "--target", "y"], "no rows"),
    "three rows": (["three_rows.csv", "--target", "y"], "two different values"),
    "empty file": (["empty.csv", "--target", "y"], "empty"),
    "ragged": (["ragged.csv", "--target", "y"], "without the expected"),
    "binary file": (["binary.csv", "--target", "y"], "not a table"),
    "empty stdin": (["-", "--target", "y"], "standard input is empty"),
    "unknown example": (["example:nope"], "breast-cancer"),
    "no target": (["good.csv"], "--target is missing: name the column to predict; the columns are 'a', 'b', 'w', 'y'"),
    "no target and more": (
        ["good.csv", "--folds", "1", "--group", "q"],
        "--target is missing: name the column to predict --folds must be at least 2, got 1 --group names 'q' the "
        "columns are 'a', 'b', 'w', 'y'",
    ),
    "target twice": (["good.csv", "--target", "y", "--target", "a"], "'--target': was given 2 times: 'y' and 'a'"),
    "target dropped": (["good.csv", "--target", "y", "--drop", "y"], "--drop names 'y', which target names too"),
    "unknown model": (["good.csv", "--target", "y", "--models", "ligtgbm"], "did you mean lightgbm?"),
    "unknown optimizer": (["good.csv", "--target", "y", "--optimizers", "adan"], "'adan'; did you mean adam, "),
    "no family for it": (["good.csv", "--target", "y", "--models", "mlp", "--optimizers", "lbfgs"], "for the model"),
    "trees take none": (["good.csv", "--target", "y", "--models", "tree", "--optimizers", "sgd"], "only tree take"),
    "unknown metric": (["good.csv", "--target", "y", "--metric", "acuracy"], "'acuracy'; did you mean accuracy"),
    "other metric": (["good.csv", "--target", "y", "--metric", "rmse"], "--metric may be accuracy, "),
    "unknown task": (["good.csv", "--target", "y", "--task", "nope"], "--task must be regression, count, "),
    "several": (
        ["good.csv", "--target", "y", "--models", "foo", "--optimizers", "adamx,sgd", "--metric", "acuracy",
         "--search", "luck", "--workers", "x"],
        "5 settings are off: --models must be lightgbm, mlp, linear, forest or tree, got 'foo' --search must be "
        "halving, grid or random, got 'luck' --workers must be a whole number, got 'x' --optimizers may not be "
        "'adamx'; did you mean adamax, ",
    ),
    "other task": (["good.csv", "--target", "y", "--task", "regression"], "say --task multiclass or binary"),
    "budget": (["good.csv", "--target", "y", "--budget", "10bananas"], "--budget must be a time such as 30s, 10min"),
    "no budget": (["good.csv", "--target", "y", "--budget", "0s"], "--budget must be above zero, got '0s'"),
    "half steps": (["good.csv", "--target", "y", "--budget", "1.5steps"], "must be whole"),
    "device": (
        ["good.csv", "--target", "y", "--device", "tpu", "--folds", "1"],
        "--folds must be at least 2, got 1 --device must be auto, cpu, cuda or cuda:N, got 'tpu'",
    ),
    "search": (
        ["good.csv", "--target", "y", "--search", "luck"],
        "--search must be halving, grid or random, got 'luck'",
    ),
    "one fold": (["good.csv", "--target", "y", "--folds", "1"], "--folds must be at least 2, got 1"),
    "more folds than rows": (["good.csv", "--target", "y", "--folds", "90"], "folds must be at most 45"),
    "no number": (["good.csv", "--target", "y", "--folds", "many"], "--folds must be a whole number, got 'many'"),
    "test fraction": (["good.csv", "--target", "y", "--test-fraction", "1.5"], "--test-fraction must be below 1"),
    "percent": (["good.csv", "--target", "y", "--test-fraction", "20"], "must be below 1, got 20; 20% are 0.2"),
    "a GPU": (["good.csv", "--target", "y", "--device", "gpu"], "cuda or cuda:N, got 'gpu'; a GPU is named cuda"),
    "no option": (["good.csv", "y"], "argument (y): a column to predict is named --target y"),
    "blanks in a list": (
        ["good.csv", "--target", "y", "--models", "linear", "mlp"],
        "argument (mlp): the values of --models are separated by commas alone, as in --models ONE,TWO; see",
    ),
    "nearly a file": (["god.csv", "--target", "y"], "no file god.csv: check the path; did you mean good.csv?"),
    "nearly an example": (["iris"], "no file iris: check the path; did you mean example:iris?"),
    "seed": (["good.csv", "--target", "y", "--seed", "-1"], "seed must be at least 0"),
    "negative weight": (
        ["negative.csv", "--target", "y", "--weight", "w"],
        "--weight must name a column of numbers from zero up, and 'w' has 1 other value",
    ),
    "unknown weight": (["good.csv", "--target", "y", "--weight", "q"], "weight names 'q'"),
    "unknown group": (["good.csv", "--target", "y", "--group", "q"], "group names 'q'"),
    "unknown time": (["good.csv", "--target", "y", "--time", "q"], "time names 'q'"),
    "unknown drop": (["good.csv", "--target", "y", "--drop", "q"], "drop names 'q'"),
    "several names": (
        ["good.csv", "--target", "yy", "--weight", "q", "--drop", "a,r", "--group", "B"],
        "good.csv has no such columns: --target names 'yy'; did you mean 'y'? --drop names 'r' --weight names 'q' "
        "--group names 'B'; did you mean 'b'? the columns are 'a', 'b', 'w', 'y'",
    ),
    "several of the table": (
        ["good.csv", "--target", "y", "--losses", "huber", "--folds", "90"],
        "2 settings do not fit the table: --losses may be logistic, hinge or squared_hinge for 'y', a binary target, "
        "got huber --folds must be at most 45",
    ),
    "nothing named": (["good.csv", "--target", "y", "--depths", ""], "--depths must name one at least, got ''"),
    "binary of numbers": (
        ["numbers.csv", "--target", "price", "--task", "binary"],
        "; say --task regression, for it holds numbers with fractions",
    ),
    "foreign test": (
        ["good.csv", "--target", "y", "--test", "foreign.csv"],
        "the test set foreign.csv has none of the columns that training reads ('y', 'a', 'b'",
    ),
    "no schedule": (
        ["good.csv", "--target", "y", "--optimizers", "dog", "--schedules", "cosine", "--widths", "8"],
        "--schedules are for optimizers that follow one, such as adamw: the rate of dog is constant",
    ),
    "roles and classes": (
        ["good.csv", "--target", "a", "--weight", "y", "--class-weights", "balanced", "--threshold", "f1",
         "--metric", "acc"],
        "4 settings do not fit the table: --weight must name a column of numbers, and 'y' is category --class-weights "
        "are for classes, and 'a' is a regression target --metric may be rmse, mae, median_ae, r2, mape for a "
        "regression target, got acc --threshold is for two classes, and 'a' is a regression target",
    ),
    "weights of no class": (
        ["numbers.csv", "--target", "price", "--class-weights", "balanced"],
        "--class-weights are for classes, and 'price' is a regression target",
    ),
    "unknown class": (
        ["good.csv", "--target", "y", "--class-weights", "maybe=2"],
        "--class-weights names 'maybe', no class of 'y': the classes are 'no', 'yes'",
    ),
    "positive": (
        ["good.csv", "--target", "y", "--positive", "maybe"],
        "--positive names 'maybe', no class of 'y': the classes are 'no', 'yes'",
    ),
    "positive of numbers": (
        ["numbers.csv", "--target", "price", "--positive", "yes"],
        "--positive is for two classes, got 'yes', and 'price' is a regression target; leave it out",
    ),
    "class weights": (["good.csv", "--target", "y", "--class-weights", "heavy"], "'balanced' or a weight"),
    "test lacks": (
        ["good.csv", "--target", "y", "--test", "short_test.csv"],
        "lacks the column 'b'; add it, or leave it out of both (--drop b)",
    ),
    "no test": (["good.csv", "--target", "y", "--test", "nowhere.csv"], "no file nowhere.csv"),
    "threshold": (["good.csv", "--target", "y", "--threshold", "1.5"], "between 0 and 1, got 1.5"),
    "threshold metric": (
        ["good.csv", "--target", "y", "--threshold", "f3"],
        "--threshold may not be 'f3'; all 20: lanewise fit --help",
    ),
    "threshold of ranks": (["good.csv", "--target", "y", "--threshold", "roc_auc"], "that a threshold alters"),
    "threshold of numbers": (["numbers.csv", "--target", "price", "--threshold", "0.3"], "is for two classes"),
    "no folder": (["good.csv", "--target", "y", "--report", "nowhere/r.html"], "no folder nowhere; create it"),
    "kernel folder": (["good.csv", "--target", "y", "--report", "/proc/r.html"], "cannot write /proc/r.html: "),
    "long name": (["good.csv", "--target", "y", "--report", "r" * 300], "too long; name another place"),
    "report a folder": (["good.csv", "--target", "y", "--report", "."], "it is a folder"),
    "no config": (["good.csv", "--target", "y", "--config", "nowhere.toml"], "no configuration file nowhere.toml"),
    "option": (["good.csv", "--bugdet", "3s"], "there is no option --bugdet; did you mean --budget? See: "),
    "scaling of trees": (
        ["good.csv", "--target", "y", "--models", "tree", "--scaling", "robust", "--group", "a", "--time", "b",
         "--folds", "1", "--weight", "y", "--threshold", "f3"],
        "all 20: lanewise fit --help --scaling is for the models mlp and linear, and only tree take part --weight "
        "names 'y', which target names too; a column can be one of the two --group and --time exclude each other: rows "
        "are split by groups or by time; leave one out",
    ),
    "settings and columns": (
        ["good.csv", "--target", "nope", "--metric", "foo", "--folds", "1", "--group", "aa", "--time", "b"],
        "several things are off: --folds must be at least 2, got 1 --metric may not be 'foo'; all 20: "
        "lanewise fit --help --group and --time exclude each "
        "other: rows are split by groups or by time; leave one out --target names 'nope' --group names 'aa'; did you "
        "mean 'a'? the columns are 'a', 'b', 'w', 'y'",
    ),
    "settings and target": (
        ["good.csv", "--target", "nope", "--folds", "1"],
        "got 1 --target names 'nope', no column of good.csv: the columns are 'a', 'b', 'w', 'y'",
    ),
    "settings and table": (
        ["nowhere.csv", "--target", "y", "--folds", "1", "--delimiter", "ab"],
        "got 'ab' --folds must be at least 2, got 1 no file nowhere.csv: check the path",
    ),
    "target twice in the header": (
        ["twins.csv", "--target", "y"],
        "2 columns of twins.csv are called 'y', read as 'y', 'y_2', and one may give the other away: leave out what is "
        "not the target with --drop y_2, or name them apart in the file",
    ),
    "names with commas": (
        ["good.csv", "--target", "y", "--drop", 'q,"a, b"', "--drop", "b,r"],
        "--drop names 'q' --drop names 'a, b' --drop names 'r' the columns are 'a', 'b', 'w', 'y'",
    ),
    "report on the table": (
        ["good.csv", "--target", "y", "--report", "./good.csv"],
        "cannot write good.csv: it is the table that is read; name another file",
    ),
    "second table": (["good.csv", "more.csv", "--target", "y"], "unexpected extra argument"),
}  # fmt: skip


def one_line(err: str) -> str:
    """The one line of an error, safe for any terminal."""
    assert err.endswith("\n")
    assert err.startswith("lanewise: ")
    assert err.count("\n") == 1
    assert not {sign for sign in err[:-1] if unicodedata.category(sign) in ("Cc", "Cs")}
    return err


def told(err: str) -> str:
    """The words of an error: one line, or one for each of several mistakes beneath a heading."""
    heading, *lines = err.splitlines()
    assert bool(lines) == heading.endswith(":")
    assert all(one_line(f"lanewise: {line}\n") and line.startswith("  ") for line in lines)
    return " ".join(one_line(heading + "\n").split() + " ".join(lines).split())


@pytest.mark.parametrize("case", FITS)
def test_a_fit_that_cannot_be_ends_in_one_line(cli, folder, quick, case):
    arguments, words = FITS[case]
    good = (folder / "good.csv").read_text()
    for name, make in TABLES.items():
        content = make(good)
        (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    ended = cli("fit", *quick, *arguments, folder=folder)
    assert ended.code == 2, ended.err
    assert ended.out == ""
    assert words in told(ended.err)


def test_all_mistakes_of_a_file_are_reported_at_once(cli, folder):
    (folder / "off.toml").write_text("budget = 60\nfold = 3\nfolds = 1\nmodels = ['linear', 'nope']\nseed = true\n")
    ended = cli("fit", "good.csv", "--target", "y", "--config", "off.toml", folder=folder)
    assert ended.code == 2
    assert ended.err.count("\n") == 6, "a heading, and a line each"
    line = told(ended.err)
    for words in ("5 settings are off", "budget must be", "fold is no setting (from off.toml); did you mean folds?",
                  "folds must be at least 2, got 1 (from off.toml)", "got 'nope'", "seed must be",
                  ": lanewise fit --help"):  # fmt: skip
        assert words in line


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("broken.toml", "budget =\n", "not readable as TOML"),
        ("latin.toml", b"target = '\xff'\n", "not readable as TOML"),
        ("pyproject.toml", "tool = 3\n", "target is missing"),
        ("pyproject.toml", "[tool]\nlanewise = 3\n", "must be a table of settings"),
        ("lanewise.toml", "source = 3\ntarget = 'y'\n", "source must be text, got 3"),
    ],
)
def test_a_file_that_is_no_configuration_is_refused(cli, folder, name, content, words):
    (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    ended = cli("fit", "good.csv", "--config", name, folder=folder)
    assert ended.code == 2
    assert words in one_line(ended.err)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["bogus"], "there is no command 'bogus'; there are fit, "),
        (["fti"], "did you mean fit?"),
        (["fit"], "name a table to learn from"),
        (["show", "zzzz"], "no run 'zzzz'"),
        (["predict", "zzzz", "good.csv"], "no run 'zzzz'"),
        (["report", "zzzz"], "no run 'zzzz'"),
        (["resume", "zzzz"], "no run 'zzzz'"),
        (["export", "zzzz", "m.onnx"], "no run 'zzzz'"),
        (["predict", "RUN"], "missing argument 'SOURCE'"),
        (["predict", "RUN", "nowhere.csv"], "no file nowhere.csv"),
        (["predict", "RUN", "short.csv"], "short.csv lacks 'b'"),
        (["predict", "RUN", "good.csv", "-o", "nowhere/p.csv"], "no folder nowhere"),
        (["predict", "RUN", "good.csv", "-o", "."], "it is a folder"),
        (["predict", "RUN", "good.csv", "-o", "good.csv"], "cannot write good.csv: it is the table that is read"),
        (["export", "RUN", "good.csv", "--sample", "good.csv"], "cannot write good.csv: it is the table that is read"),
        (["predict", "RUN", "good.csv", "-o", "/dev/null"], "a device or a pipe"),
        (["predict", "RUN", "good.csv", "-o", "/proc/p.csv"], "cannot write /proc/p.csv: "),
        (["export", "RUN", "/proc/m.onnx"], "cannot write /proc/m.onnx: "),
        (["export", "RUN", "m.txt"], "OUTPUT must end in .onnx, the format that is written, got m.txt; name m.onnx"),
        (["report", "RUN", "-o", "/proc/r.html"], "cannot write /proc/r.html: "),
        (["compare", "booth", "-o", "/proc/c.html"], "cannot write /proc/c.html: "),
        (["report", "RUN", "-o", "nowhere/r.html"], "no folder nowhere"),
        (["runs", "--limit", "0"], "'--limit'"),
        (["example", "nope"], "there are breast-cancer"),
        (["completion", "tcsh"], "'bash', 'zsh', 'fish'"),
    ],
)
def test_other_commands_refuse_in_one_line(cli, folder, finished, arguments, words):
    (folder / "short.csv").write_text("a,y\n1,yes\n")
    given = [finished["run"] if part == "RUN" else part for part in arguments]
    ended = cli(*given, folder=folder, home=finished["home"])
    assert ended.code == 2, ended.err
    assert ended.out == ""
    assert words in one_line(ended.err)


def test_without_a_store_the_error_says_how_to_begin(cli, folder):
    ended = cli("show", folder=folder, home=folder / "none")
    assert ended.code == 2
    assert "start one with `lanewise fit`" in one_line(ended.err)
    assert not (folder / "none").exists()


@pytest.mark.parametrize("place", ["home", "home/below", "x" * 300])
def test_a_folder_for_runs_that_cannot_be_used_is_a_mistake(cli, folder, quick, place):
    (folder / "home").write_text("a file")
    for arguments in (["fit", "good.csv", "--target", "y", *quick], ["runs"]):
        ended = cli(*arguments, folder=folder, home=folder / place)
        assert ended.code == 2
        assert "Errno" not in one_line(ended.err)


def test_a_damaged_model_is_refused_and_a_missing_one_too(cli, folder, finished):
    home = folder / "home"
    shutil.copytree(finished["home"], home)
    model = home / "runs" / finished["run"] / "model"
    for file in sorted(model.iterdir()):
        sound = file.read_bytes()
        damaged = bytearray(sound)
        damaged[len(sound) // 2] ^= 0x41
        file.write_bytes(damaged)
        ended = cli("predict", "last", "good.csv", folder=folder, home=home)
        assert (ended.code, ended.out) == (3, ""), file.name
        one_line(ended.err)
        file.write_bytes(sound)
    shutil.rmtree(model)
    ended = cli("predict", "last", "good.csv", folder=folder, home=home)
    assert ended.code == 2  # nothing failed: somebody removed it, and what to do is said
    assert "has no model any more" in one_line(ended.err)


def test_a_mistake_leaves_no_run_that_would_be_the_last_one(cli, folder, quick):
    home = folder / "home"
    assert cli("fit", "good.csv", "--target", "yy", *quick, folder=folder, home=home).code == 2
    for arguments in (["predict", "last", "good.csv"], ["show"], ["report"], ["export", "last", "m.onnx"]):
        ended = cli(*arguments, folder=folder, home=home)
        assert ended.code == 2
        assert "no run" in one_line(ended.err)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may write anywhere")
def test_a_place_without_permission_is_refused_before_the_race(cli, folder, quick):
    locked = folder / "locked"
    locked.mkdir(mode=0o500)
    ended = cli("fit", "good.csv", "--target", "y", *quick, "--report", str(locked / "r.html"), folder=folder)
    assert ended.code == 2
    assert "permission denied" in one_line(ended.err)


@pytest.mark.parametrize("name", ["a\x1b[31mred", "b\x1b]0;title\x07", "c\rd", "e\u202etxt", "f\x9b2J"])
def test_no_name_can_steer_the_terminal(cli, folder, name):
    for arguments in (["good.csv", "--target", name], [f"{name}.csv", "--target", "y"], ["good.csv", name],
                      ["good.csv", "--config", name],
                      ["good.csv", "--target", "y", "--report", f"{name}/r"]):  # fmt: skip
        ended = cli("fit", *arguments, folder=folder)
        assert ended.code == 2
        assert "\u202e" not in one_line(ended.err)


def test_an_internal_error_is_one_line_too_and_can_be_looked_into(cli, folder):
    (folder / "torch.py").write_text("1 / 0\n")  # imported in place of the real one
    ended = cli.cold("doctor", folder=folder, PYTHONPATH=str(folder))
    assert ended.code == 3
    assert "internal error, ZeroDivisionError" in one_line(ended.err)
    debug = cli.cold("doctor", folder=folder, PYTHONPATH=str(folder), LANEWISE_DEBUG="1")
    assert "Traceback" in debug.err
