"""Which builds of PyTorch are told to know no GPU, before PyTorch is loaded."""

from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest

from lanewise.errors import UsageError
from lanewise.training import torch_build
from lanewise.training.torch_build import check_build

BUILDS = {
    "for NVIDIA": "cuda = '12.8'\nhip = None",
    "for AMD": "cuda = None\nhip = '6.4.1'",
    "another layout": "other = None",
    "unreadable": "cuda =",
}


@pytest.fixture
def built(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file in which PyTorch says what it was built for."""
    spec = ModuleSpec("torch", None, origin=str(tmp_path / "__init__.py"))
    monkeypatch.setattr(torch_build, "find_spec", lambda name: spec)
    return tmp_path / "version.py"


@pytest.mark.parametrize("text", BUILDS.values(), ids=BUILDS)
def test_a_build_that_may_know_a_gpu_is_not_refused(built: Path, text: str) -> None:
    built.write_text(text)
    check_build("cuda:1")


def test_a_build_for_the_processor_alone_is_refused_where_a_gpu_is_asked_for(built: Path) -> None:
    built.write_text("__version__ = '2.13.0+cpu'\ncuda = None\nhip = None")
    check_build("cpu")
    with pytest.raises(UsageError, match=r"^device cuda is not there: this PyTorch \(2\.13\.0\+cpu\) is built without"):
        check_build("cuda")
