"""How long a step takes on a mesh and how much memory a rank needs, reckoned before anything starts.

The assumptions, and how far they hold, are in ``docs/scaling.md``.
"""

from dataclasses import dataclass
from typing import final

from lanewise.distributed.link import Link
from lanewise.distributed.mesh import AXES, Mesh
from lanewise.errors import UsageError

BACKWARD = 2 / 3
"""The part of the arithmetic beside which gradients can travel."""


@final
@dataclass(frozen=True, kw_only=True)
class Workload:
    """``lanes`` models alike, each of so many ``parameters``, that take steps of ``batch`` rows.

    A row is what a model sees as one thing: a row of a table, or a token of a text. ``flops_per_parameter`` is the
    arithmetic of forward and backward for one row: 6 where every weight is used once. ``layers`` and ``width`` are
    those of one model, for what crosses between ranks: activations ``[batch, width]``, which the ranks of the tensor
    axis add up ``layer_sums`` times a layer: 4 in a transformer, 2 for each pair of matrices. ``activation_bytes`` is
    what one row leaves behind in one layer until the backward. A parameter is kept in ``weight_bytes``, its gradient
    in ``gradient_bytes``, and what the optimizer knows of it in ``state_bytes``. ``row_bytes`` are read for each row.
    So many rows as ``unit`` stay together, such as the tokens of a text.
    """

    parameters: int
    batch: int
    lanes: int = 1
    layers: int = 1
    width: int = 1
    heads: int = 0
    layer_sums: int = 4
    flops_per_parameter: float = 6.0
    weight_bytes: float = 4.0
    gradient_bytes: float = 4.0
    state_bytes: float = 8.0
    activation_bytes: float = 8.0
    row_bytes: float = 0.0
    unit: int = 1

    @property
    def flops(self) -> float:
        """Of a step of all lanes."""
        return self.flops_per_parameter * self.parameters * self.batch * self.lanes

    @property
    def lane_bytes(self) -> float:
        """Of weights, gradients and optimizer state of one lane."""
        return self.parameters * (self.weight_bytes + self.gradient_bytes + self.state_bytes)


@final
@dataclass(frozen=True, kw_only=True)
class Hardware:
    """What one rank has: ``flops`` a second that training reaches, bytes of ``memory``, and its links.

    ``near`` joins ranks of one host, of which there are ``per_host``; ``far`` joins hosts, as seen by one rank.
    ``memory_speed`` is in bytes a second, ``start`` the seconds of a step that pass whatever its size, and ``read`` the
    bytes a second that a rank reads of its data. ``overlap`` says whether gradients and gathered parameters travel
    beside arithmetic, and ``scatter`` how many times the bytes of a ring the backend moves to sum and scatter.
    """

    flops: float
    memory: float
    memory_speed: float
    near: Link
    far: Link
    per_host: int = 1
    start: float = 0.0
    read: float = float("inf")
    overlap: bool = False
    scatter: float = 1.0


@final
@dataclass(frozen=True, kw_only=True)
class Cost:
    """Seconds of a step of all lanes by what they are spent on, and bytes of memory of a rank.

    ``lanes_at_once`` of a rank's lanes fit its memory together; the others follow after them, in turns. It is 0 where
    not even one fits.
    """

    compute: float
    start: float
    tensor: float
    shard: float
    pipeline: float
    data: float
    read: float
    memory: float
    lanes_at_once: int

    @property
    def seconds(self) -> float:
        """Reading goes beside everything else; the rest is one after another."""
        return max(self.compute + self.start + self.tensor + self.shard + self.pipeline + self.data, self.read)


@dataclass(frozen=True, kw_only=True)
class _Part:
    """What one rank holds and does of a step, for the lanes that it trains at once."""

    lanes: int
    rows: float
    parameters: float
    layers: float


def predict(work: Workload, mesh: Mesh, hardware: Hardware, *, microbatches: int = 1, every: int = 1) -> Cost:
    """The cost of a step of ``work`` on ``mesh``, whose rows a rank takes in ``microbatches``.

    A pipeline needs them to fill its stages; without one they save memory, as accumulated gradients do.

    Parameters that are averaged ``every`` so many steps (local SGD) share one exchange between them.

    - compute: the larger of arithmetic and of moving weights, gradients, optimizer state and activations
    - tensor: ``layer_sums`` all-reduces of activations in each layer and microbatch
    - shard: parameters gathered twice, gradients summed and scattered once, for each microbatch unless there are stages
    - pipeline: idle ``(p-1)/m`` of the work of a stage, a bubble of ``(p-1)/(m+p-1)``, and activations sent on
    - data: one all-reduce of the gradients of all lanes at once, or of their parameters every so many steps

    Raises ``UsageError`` where the mesh cannot split the work.

    >>> link = Link(alpha=1e-5, beta=1e9)
    >>> machine = Hardware(flops=1e12, memory=8e9, memory_speed=1e11, near=link, far=link)
    >>> cost = predict(Workload(parameters=1_000_000, batch=1_000), Mesh(data=4), machine)
    >>> f"{1e3 * cost.compute:.2f} ms of arithmetic, {1e3 * cost.data:.2f} ms of exchange"
    '1.50 ms of arithmetic, 6.06 ms of exchange'
    """
    mesh.check(heads=work.heads, hidden=work.width, layers=work.layers, microbatches=microbatches, lanes=work.lanes)
    if every < 1:
        message = f"steps between two averages must be at least 1, got {every}"
        raise UsageError(message)
    own = -(-work.lanes // mesh.lane)
    fixed, of_a_lane = _memory(work, mesh, microbatches)
    fit = min(own, int((hardware.memory - fixed) // of_a_lane))
    waves = -(-own // max(fit, 1))
    part = _Part(
        lanes=max(fit, 1) if waves > 1 else own,
        rows=work.batch / (mesh.data * mesh.shard),
        parameters=work.parameters / (mesh.tensor * mesh.pipeline),
        layers=max(1.0, work.layers / mesh.pipeline),
    )
    compute = _compute(work, mesh, hardware, part, microbatches)
    tensor = _tensor(work, mesh, hardware, part, microbatches)
    idle = (mesh.pipeline - 1) / microbatches
    hidden = BACKWARD * compute if hardware.overlap else 0.0
    shard = _exposed(_shard(work, mesh, hardware, part, microbatches), hidden)
    data = _exposed(_data(work, mesh, hardware, part) / every, max(0.0, hidden - shard))
    return Cost(
        compute=waves * compute,
        start=waves * hardware.start * microbatches,
        tensor=waves * tensor,
        shard=waves * shard,
        pipeline=waves * (idle * (compute + tensor) + _sends(work, mesh, hardware, part, microbatches)),
        data=waves * data,
        read=part.rows * work.row_bytes / hardware.read,
        memory=fixed + part.lanes * of_a_lane,
        lanes_at_once=max(fit, 0),
    )


def link_along(mesh: Mesh, axis: str, hardware: Hardware) -> Link:
    """The link that a ring along ``axis`` goes over: within a host where all ranks of a group have room on one."""
    inner = AXES[AXES.index(axis) :]
    span = 1
    for name in inner:
        span *= mesh.degrees[name]
    return hardware.near if span <= hardware.per_host else hardware.far


def _memory(work: Workload, mesh: Mesh, microbatches: int) -> tuple[float, float]:
    """Bytes that a rank needs whatever its lanes, and for each lane that it trains at once."""
    own = work.parameters / (mesh.tensor * mesh.pipeline)
    kept = own / mesh.shard * (work.weight_bytes + work.gradient_bytes + work.state_bytes)
    whole = own if mesh.pipeline > 1 else 2 * own / work.layers  # a stage keeps what it has gathered; else two layers
    gathered = whole * work.weight_bytes if mesh.shard > 1 else 0.0
    rows = work.batch / (mesh.data * mesh.shard) / microbatches * min(microbatches, mesh.pipeline)
    activations = rows * work.activation_bytes * max(1.0, work.layers / mesh.pipeline) / mesh.tensor
    return gathered, kept + activations


def _compute(work: Workload, mesh: Mesh, hardware: Hardware, part: _Part, microbatches: int) -> float:
    arithmetic = part.lanes * part.rows * part.parameters * work.flops_per_parameter / hardware.flops
    passes = microbatches * 3 * work.weight_bytes  # weights are read forward and twice backward
    update = 2 * (work.weight_bytes + work.state_bytes) + 2 * work.gradient_bytes
    left_behind = 2 * part.rows * part.layers * work.activation_bytes / mesh.tensor
    moved = part.lanes * (part.parameters * (passes + update / mesh.shard) + left_behind)
    return max(arithmetic, moved / hardware.memory_speed)


def _tensor(work: Workload, mesh: Mesh, hardware: Hardware, part: _Part, microbatches: int) -> float:
    if mesh.tensor == 1:
        return 0.0
    size = part.lanes * part.rows / microbatches * work.width * work.weight_bytes
    link = link_along(mesh, "tensor", hardware)
    return work.layer_sums * part.layers * microbatches * link.all_reduce(size, mesh.tensor)


def _shard(work: Workload, mesh: Mesh, hardware: Hardware, part: _Part, microbatches: int) -> float:
    if mesh.shard == 1:
        return 0.0
    link = link_along(mesh, "shard", hardware)
    of_a_layer = part.lanes * part.parameters / part.layers
    gathers, times = (1, 1) if mesh.pipeline > 1 else (2, microbatches)  # a stage keeps what it has gathered
    gather = link.all_gather(of_a_layer * work.weight_bytes, mesh.shard)
    scatter = link.all_gather(of_a_layer * work.gradient_bytes * hardware.scatter, mesh.shard)
    return times * part.layers * (gathers * gather + scatter)


def _data(work: Workload, mesh: Mesh, hardware: Hardware, part: _Part) -> float:
    if mesh.data == 1:
        return 0.0
    size = part.lanes * part.parameters / mesh.shard * work.gradient_bytes
    return link_along(mesh, "data", hardware).all_reduce(size, mesh.data)


def _sends(work: Workload, mesh: Mesh, hardware: Hardware, part: _Part, microbatches: int) -> float:
    """Activations forward and gradients backward, each microbatch and those that fill and drain the pipeline."""
    if mesh.pipeline == 1:
        return 0.0
    size = part.lanes * part.rows / microbatches * work.width * work.weight_bytes
    link = link_along(mesh, "pipeline", hardware)
    return 2 * (microbatches + mesh.pipeline - 2) * link.send(size)


def _exposed(seconds: float, hidden: float) -> float:
    return max(0.0, seconds - hidden)
