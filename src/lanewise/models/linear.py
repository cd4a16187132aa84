"""Linear and generalized linear models, and the linear support vector machine: one layer, many losses."""

from collections.abc import Mapping
from typing import ClassVar, final

import torch
from torch import Tensor, nn

from lanewise.lanes.buffer import BufferLayout, Parameter
from lanewise.lanes.hyper import Hyper
from lanewise.models.base import Inputs, Noise, StackedModel, Weights, Width
from lanewise.models.layers import solo_linear, stacked_embedding, stacked_linear


@final
class StackedLinear(StackedModel):
    """``f(x) = W x + b``, plus one weight per level of each embedded category.

    What it is depends on the loss: least squares, Huber, logistic, softmax or Poisson regression,
    or a support vector machine.
    """

    name: ClassVar[str] = "linear"
    hypers: ClassVar[tuple[Hyper, ...]] = (
        Hyper(name="l1", default=0.0, low=1e-5, high=1e-1, scale="log", words="L1 penalty"),
        Hyper(name="l2", default=0.0, low=1e-7, high=1e-1, scale="log", words="L2 penalty"),
    )
    structure: ClassVar[tuple[str, ...]] = ("loss",)

    def __init__(self, width: Width) -> None:
        self.width = width
        tables = [
            Parameter(name=f"levels{k}", shape=(count, width.outputs), fan_in=count)
            for k, count in enumerate(width.levels)
        ]
        self.layout = BufferLayout.of(
            [
                Parameter(name="weight", shape=(width.outputs, width.dense), fan_in=width.dense),
                *tables,
                Parameter(name="bias", shape=(width.outputs,), fan_in=width.dense, penalised=False),
            ]
        )

    def initial(self, parameter: Parameter, seed: int) -> Tensor:
        """Zeros: the objective is convex, so the start only costs steps, and zero is the middle."""
        return torch.zeros(parameter.shape, dtype=torch.float64)

    def forward(self, weights: Weights, inputs: Inputs, *, noise: Noise | None = None) -> Tensor:
        outputs = stacked_linear(inputs.per_lane(inputs.dense), weights["weight"], weights["bias"])
        for k in range(len(self.width.levels)):
            outputs = outputs + stacked_embedding(inputs.codes[..., k], weights[f"levels{k}"], inputs.sizes)
        return outputs

    def solo(self, row: Mapping[str, Tensor]) -> nn.Module:
        return SoloLinear(row)


class SoloLinear(nn.Module):
    """The same model with one set of weights, as plain torch modules."""

    def __init__(self, row: Mapping[str, Tensor]) -> None:
        super().__init__()
        self.linear = solo_linear(row["weight"], row["bias"])
        tables = [row[f"levels{k}"] for k in range(sum(name.startswith("levels") for name in row))]
        self.tables = nn.ModuleList(nn.Embedding.from_pretrained(table.clone(), freeze=False) for table in tables)

    def forward(self, dense: Tensor, codes: Tensor) -> Tensor:
        outputs = self.linear(dense)
        for k, table in enumerate(self.tables):
            outputs = outputs + table(codes[:, k])
        return outputs
