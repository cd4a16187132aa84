"""One rank of NCCL: what `lanewise.train` wraps a model in (DDP, FSDP2, DTensor) against the same training without.

At degree 1 `lanewise.train` leaves the wrappers out, so they are made here: a mesh that claims degree 2 over a group of
one rank. Run by torchrun with one process; prints a JSON object of the largest gaps of weights and losses. Where there
is no GPU it does the same over gloo.
"""

import json
from types import SimpleNamespace

import torch
import torch.distributed as dist  # noqa: TID251  # the group of one that the wrappers are made over
from torch import nn
from torch.distributed.device_mesh import init_device_mesh  # noqa: TID251  # the same

import lanewise
from lanewise.distributed.mesh import Mesh
from lanewise.distributed.spread import Spread
from lanewise.distributed.tensor_plan import plan_of
from lanewise.distributed.tensor_split import split_tensors
from lanewise.one_model.course import built, course_of
from lanewise.one_model.optimizers import optimizer_over
from lanewise.training.model_training import ModelTraining

X = torch.randn(256, 16, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
Y = X[:, :1].tanh()
DEVICE = torch.device("cuda", 0) if torch.cuda.is_available() else torch.device("cpu")
SEED, STEPS, RATE, CLIP = 3, 30, 0.01, 0.05


def model() -> nn.Module:
    layers = nn.Linear(16, 32), nn.Tanh(), nn.Linear(32, 32), nn.Tanh(), nn.Linear(32, 1)
    return nn.Sequential(*layers).double()


class One:
    """Groups of one rank along an axis."""

    def __init__(self, axis: str) -> None:
        self.mesh, self.rank, self.axis = Mesh.parse(f"{axis}=2").resolve(2), 0, axis
        self.whole = init_device_mesh(DEVICE.type, (1,), mesh_dim_names=(axis,))
        self.coordinates = self.mesh.coordinates(0)

    def group(self, axis: str):
        return self.whole.get_group(axis) if axis == self.axis else None

    def over(self, *axes: str):
        return self.whole if self.axis in axes else None


def wrapped(axis: str, optimizer: str) -> SimpleNamespace:
    """Losses and weights of a training with the wrapper of ``axis``."""
    course = course_of(
        256, 16, steps=STEPS, epochs=None, accumulate=2, schedule="linear", warmup=0.0, clip_norm=CLIP, seed=SEED
    )
    module = built(model, SEED).to(DEVICE)
    names = {own: name for name, own in module.named_parameters()}
    groups = One(axis)
    if axis == "tensor":
        split_tensors(module, groups, plan_of(module, groups.mesh, None))
    portion = Spread(module, groups)
    portion.share = (0, 1)
    made = optimizer_over(portion, optimizer, RATE, names)
    data = X.to(DEVICE), Y.to(DEVICE)
    training = ModelTraining(
        portion,
        made,
        course,
        read=lambda rows, key: tuple(own[rows.to(DEVICE)] for own in data),
        rows=256,
        loss=nn.MSELoss(),
    )
    training.advance(STEPS)
    return SimpleNamespace(losses=training.losses, state_dict=portion.gathered)


def apart(one, other) -> float:
    flat = [torch.cat([own.double().cpu().flatten() for own in each.state_dict().values()]) for each in (one, other)]
    losses = max(abs(a - b) for a, b in zip(one.losses, other.losses, strict=True))
    return max(float((flat[0] - flat[1]).abs().max()), losses)


def main() -> None:
    dist.init_process_group("cpu:gloo,cuda:nccl" if DEVICE.type == "cuda" else "gloo")
    gaps = {}
    for optimizer in ("sgd", "adam", "muon"):
        plain = lanewise.train(
            model,
            (X, Y),
            nn.MSELoss(),
            optimizer=optimizer,
            lr=RATE,
            steps=STEPS,
            batch_size=16,
            seed=SEED,
            accumulate=2,
            clip_norm=CLIP,
        )
        gaps |= {f"{axis} {optimizer}": apart(plain, wrapped(axis, optimizer)) for axis in ("data", "shard", "tensor")}
    print(json.dumps({"backend": dist.get_backend_config(), "gaps": gaps}), flush=True)
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
