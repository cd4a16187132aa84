"""The 17 nonlinear regression problems of the NIST StRD: their files read, their models written out."""

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, cos, exp, sin

Model = Callable[[Tensor, Tensor], Tensor]
TURN = 2 * math.pi


def enso(b: Tensor, x: Tensor) -> Tensor:
    year = b[0] + b[1] * cos(TURN * x / 12) + b[2] * sin(TURN * x / 12)
    longer = b[4] * cos(TURN * x / b[3]) + b[5] * sin(TURN * x / b[3])
    return year + longer + b[7] * cos(TURN * x / b[6]) + b[8] * sin(TURN * x / b[6])


def gauss(b: Tensor, x: Tensor) -> Tensor:
    peaks = b[2] * exp(-((x - b[3]) ** 2) / b[4] ** 2) + b[5] * exp(-((x - b[6]) ** 2) / b[7] ** 2)
    return b[0] * exp(-b[1] * x) + peaks


def lanczos(b: Tensor, x: Tensor) -> Tensor:
    return b[0] * exp(-b[1] * x) + b[2] * exp(-b[3] * x) + b[4] * exp(-b[5] * x)


def thurber(b: Tensor, x: Tensor) -> Tensor:
    return (b[0] + b[1] * x + b[2] * x**2 + b[3] * x**3) / (1 + b[4] * x + b[5] * x**2 + b[6] * x**3)


MODELS: dict[str, Model] = {
    "Bennett5": lambda b, x: b[0] * (b[1] + x) ** (-1 / b[2]),
    "Chwirut2": lambda b, x: exp(-b[0] * x) / (b[1] + b[2] * x),
    "DanWood": lambda b, x: b[0] * x ** b[1],
    "ENSO": enso,
    "Gauss1": gauss,
    "Gauss2": gauss,
    "Kirby2": lambda b, x: (b[0] + b[1] * x + b[2] * x**2) / (1 + b[3] * x + b[4] * x**2),
    "Lanczos1": lanczos,
    "Lanczos3": lanczos,
    "MGH09": lambda b, x: b[0] * (x**2 + x * b[1]) / (x**2 + x * b[2] + b[3]),
    "MGH10": lambda b, x: b[0] * exp(b[1] / (x + b[2])),
    "Misra1a": lambda b, x: b[0] * (1 - exp(-b[1] * x)),
    "Misra1b": lambda b, x: b[0] * (1 - (1 + b[1] * x / 2) ** (-2)),
    "Misra1c": lambda b, x: b[0] * (1 - (1 + 2 * b[1] * x) ** (-0.5)),
    "Nelson": lambda b, x: b[0] - b[1] * x[:, 0] * exp(-b[2] * x[:, 1]),
    "Rat42": lambda b, x: b[0] / (1 + exp(b[1] - b[2] * x)),
    "Thurber": thurber,
}


@dataclass(frozen=True, kw_only=True)
class Problem:
    """``starts [2, P]``, certified parameters ``[P]`` and sum of squares, and the residuals."""

    starts: Tensor
    certified: Tensor
    sum_of_squares: float
    residuals: Callable[[Tensor], Tensor]


def read_problem(folder: Path, name: str) -> Problem:
    """One problem of ``folder``: parameters stand in lines ``bK = start1 start2 certified deviation``."""
    lines = (folder / f"{name}.dat").read_text().splitlines()
    pattern = re.compile(r"\s*b\d+ =")
    table = [[float(word) for word in line.split("=")[1].split()] for line in lines[40:60] if pattern.match(line)]
    parameters = torch.tensor(table, dtype=torch.float64)
    squares = next(float(line.split(":")[1]) for line in lines if line.startswith("Residual Sum of Squares"))
    numbers = [[float(word) for word in line.split()] for line in lines[60:] if line.strip()]
    rows = torch.tensor(numbers, dtype=torch.float64)
    response, inputs = rows[:, 0], rows[:, 1] if rows.shape[1] == 2 else rows[:, 1:]
    if name == "Nelson":
        response = response.log()
    model = MODELS[name]
    return Problem(
        starts=parameters[:, :2].T.contiguous(),
        certified=parameters[:, 2],
        sum_of_squares=squares,
        residuals=lambda b: model(b, inputs) - response,
    )
