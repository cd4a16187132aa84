"""Process groups along the axes of a mesh, by PyTorch's own ``DeviceMesh``; an axis of degree 1 has none."""

import importlib
from dataclasses import dataclass
from typing import Any, final

from lanewise.distributed.mesh import Mesh, known
from lanewise.errors import UsageError

BACKENDS = {"cpu": "gloo", "cuda": "nccl"}
"""What moves the bytes of each kind of device."""


@final
@dataclass(frozen=True, kw_only=True)
class Groups:
    """The groups that ``rank`` belongs to. ``whole`` spans the axes that split anything; None where none does."""

    mesh: Mesh
    rank: int
    whole: Any

    @property
    def coordinates(self) -> dict[str, int]:
        """Where this rank stands on every axis, those of degree 1 too."""
        return self.mesh.coordinates(self.rank)

    def group(self, axis: str) -> Any:
        """The process group of this rank along ``axis``; None where its degree is 1, for there is nobody to tell."""
        return self.whole.get_group(axis) if self._split(axis) else None

    def over(self, *axes: str) -> Any:
        """The ``DeviceMesh`` over those of ``axes``, in this order, that split anything; None where none does.

        ``over("data", "shard")`` is what ``fully_shard`` takes: replicas along the first, shards along the second.
        """
        split = self._split(*axes)
        return self.whole[split[0] if len(split) == 1 else split] if split else None

    def _split(self, *axes: str) -> tuple[str, ...]:
        return tuple(axis for axis in known(*axes) if axis in self.mesh.active)


def make_groups(mesh: Mesh, *, device: str = "cpu") -> Groups:
    """Process groups of ``mesh`` over the processes that have met; all of them call it, in the same order.

    ``mesh`` is resolved by their number; one process that met nobody counts as a world of one, and nothing is made.

    Raises ``UsageError`` where the mesh does not fit the number of processes, or PyTorch was built without what moves
    the bytes of ``device``.

    >>> make_groups(Mesh(data=-1)).group("data") is None
    True
    """
    dist: Any = importlib.import_module("torch.distributed")
    met = dist.is_available() and dist.is_initialized()
    rank, size = (dist.get_rank(), dist.get_world_size()) if met else (0, 1)
    resolved = mesh.resolve(size)
    if not resolved.active:
        return Groups(mesh=resolved, rank=rank, whole=None)
    if dist.get_backend() != "fake":
        check_backend(device)
    shape = tuple(resolved.degrees[axis] for axis in resolved.active)
    device_mesh: Any = importlib.import_module("torch.distributed.device_mesh")
    whole = device_mesh.init_device_mesh(device, shape, mesh_dim_names=resolved.active)
    return Groups(mesh=resolved, rank=rank, whole=whole)


def check_backend(device: str) -> str:
    """The backend that moves the bytes of ``device``; raises ``UsageError`` where PyTorch was built without it."""
    dist: Any = importlib.import_module("torch.distributed")
    kind = device.partition(":")[0]
    if kind not in BACKENDS:
        message = f"ranks exchange bytes of {' or '.join(BACKENDS)}, got device {device!r}; train on one of them"
        raise UsageError(message)
    backend = BACKENDS[kind]
    if not dist.is_available() or not getattr(dist, f"is_{backend}_available")():
        message = (
            f"this PyTorch was built without {backend}, by which ranks exchange bytes of {kind}; install a build that "
            "has it, or run in one process"
        )
        raise UsageError(message)
    return backend
