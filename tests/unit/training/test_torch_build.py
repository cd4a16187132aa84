"""What the installed PyTorch was built for, told without loading it."""

from contextlib import nullcontext
from importlib.machinery import ModuleSpec
from pathlib import Path

import pytest

from lanewise.errors import UsageError
from lanewise.training import torch_build


@pytest.mark.parametrize(
    ("version", "refused"),
    [
        ("__version__ = '2.9+cpu'\ncuda = None\nhip = None", True),
        ("__version__ = '2.9+cpu'\ncuda = None", True),
        ("__version__ = '2.9'\ncuda = '13.0'\nhip = None", False),
        ("__version__ = '2.9+rocm'\ncuda = None\nhip = '6.4'", False),
        ("__version__ = '2.9'", False),
        ("from nowhere import cuda", False),
    ],
)
def test_only_a_build_for_no_gpu_at_all_is_refused(
    version: str, *, refused: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "version.py").write_text(version)
    spec = ModuleSpec("torch", None, origin=str(tmp_path / "__init__.py"))
    monkeypatch.setattr(torch_build, "find_spec", lambda name: spec)
    words = r"^device cuda:1 is not there: this PyTorch \(2.9\+cpu\) is built without CUDA; use cpu"
    with pytest.raises(UsageError, match=words) if refused else nullcontext():
        torch_build.check_build("cuda:1")
    torch_build.check_build("cpu")
