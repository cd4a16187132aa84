"""Nonlinear regressions with certified answers (NIST StRD): six digits of every parameter, from both starts."""

from pathlib import Path

import pytest
from nist_models import MODELS, read_problem

import lanewise

DIGITS = 1e-6


@pytest.fixture(scope="module")
def folder(shared_data: Path) -> Path:
    found = shared_data / "nist_strd"
    if not found.is_dir():
        pytest.skip("the NIST StRD files (../shared/data/nist_strd) are not beside this checkout")
    return found


@pytest.mark.parametrize("start", [0, 1], ids=["first start", "second start"])
@pytest.mark.parametrize("name", sorted(MODELS))
def test_certified_parameters(folder: Path, name: str, start: int) -> None:
    problem = read_problem(folder, name)
    found = lanewise.minimize(problem.residuals, problem.starts[start], residuals=True)
    assert found.method == "levenberg-marquardt"
    assert found.success, found
    worst = ((found.x - problem.certified) / problem.certified).abs().max()
    assert worst < DIGITS, f"{name}: {found.x.tolist()} against {problem.certified.tolist()}"
    # Of a sum of squares at the level of rounding (Lanczos1) no digit is certain.
    assert found.value == pytest.approx(problem.sum_of_squares, rel=1e-6, abs=1e-20)
