"""What is imported of a package, and what it is for whoever imports it later."""

import importlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from lanewise.models.loaded_alone import load_alone


@pytest.fixture
def packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """``around`` has a package ``heavy`` of a part; ``sparing`` needs the part, ``greedy`` what the package says."""
    heavy = tmp_path / "around" / "heavy"
    heavy.mkdir(parents=True)
    (tmp_path / "around" / "__init__.py").write_text("")
    (heavy / "__init__.py").write_text("said = 'much'")
    (heavy / "part.py").write_text("word = 'little'")
    (tmp_path / "sparing.py").write_text(
        "import around.heavy\nfrom around import heavy\nfrom around.heavy.part import word"
    )
    (tmp_path / "greedy.py").write_text("from around.heavy import said\nfrom around.heavy.part import word")
    (tmp_path / "broken.py").write_text("import around.heavy, there_is_no_such_module")
    monkeypatch.syspath_prepend(str(tmp_path))
    importlib.invalidate_caches()
    yield
    for name in [name for name in sys.modules if name.partition(".")[0] in ("around", "sparing", "greedy", "broken")]:
        del sys.modules[name]


@pytest.mark.usefixtures("packages")
def test_of_a_package_that_stays_bare_only_the_part_is_loaded_until_somebody_asks_for_more() -> None:
    load_alone("sparing", (), bare=("around.heavy",))
    assert sys.modules["sparing"].word == "little"
    assert "around.heavy" not in sys.modules
    assert sys.modules["sparing"].heavy.said == "much"  # what has taken it before finds it whole
    assert importlib.import_module("around.heavy").said == "much"
    assert importlib.import_module("around.heavy.part") is sys.modules["around.heavy.part"]


@pytest.mark.usefixtures("packages")
def test_a_package_is_run_where_its_parts_do_not_suffice() -> None:
    load_alone("greedy", (), bare=("around.heavy",))
    assert (sys.modules["greedy"].said, sys.modules["greedy"].word) == ("much", "little")
    assert sys.modules["around.heavy"].said == "much"


@pytest.mark.usefixtures("packages")
def test_a_package_that_is_loaded_already_is_left_as_it_is() -> None:
    whole = importlib.import_module("around.heavy")
    load_alone("greedy", (), bare=("around.heavy",))
    assert sys.modules["around.heavy"] is whole


@pytest.mark.usefixtures("packages")
@pytest.mark.parametrize("bare", [("around.heavy",), ("around.lacking",), ("nowhere.at.all",), ()])
def test_what_cannot_be_imported_says_so_and_leaves_nothing_behind(bare: tuple[str, ...]) -> None:
    with pytest.raises(ModuleNotFoundError, match="there_is_no_such_module"):
        load_alone("broken", ("around.nothing",), bare=bare)
    assert not {"broken", "around.lacking", "around.nothing", "nowhere.at.all"} & set(sys.modules)


def test_trees_load_neither_torch_nor_what_they_do_not_read_and_what_the_first_loads_all_find() -> None:
    script = """
import sys
from lanewise.models.loaded_alone import OFFERED, PARTLY_USED, load_lightgbm, load_trees

load_lightgbm()
light = [name for name in ("sklearn",) if name in sys.modules]
load_trees()
unread = (*OFFERED, *PARTLY_USED, "torch", "polars", "rich", "scipy.optimize", "sklearn.metrics")
print(light + [name for name in unread if name in sys.modules], end=" ")
loaded = set(sys.modules)
from sklearn.tree import DecisionTreeClassifier

print(DecisionTreeClassifier().fit([[0.0], [1.0], [2.0]], [0, 1, 1]).predict([[0.2]]), set(sys.modules) - loaded)
"""
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[] [0] set()"
