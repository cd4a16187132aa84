"""``lanewise.train``: one model, trained by one optimizer, on one device or split over many."""

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from lanewise.distributed.apart import Apart
from lanewise.distributed.joining import joined_for_good, lost_a_rank
from lanewise.distributed.mesh import AUTO, Mesh
from lanewise.distributed.outer import Outer
from lanewise.distributed.place import Place
from lanewise.distributed.ranks import Ranks
from lanewise.distributed.together import Together
from lanewise.errors import Interrupted, TrainingError, UsageError, first_line
from lanewise.models.batch import Tree, mapped
from lanewise.one_model.agreed import name_told, optimizer_told, rows_told
from lanewise.one_model.averaging import averaging_of, exchange_of, told_of
from lanewise.one_model.course import built, check_batch, check_mean, course_of, whole_number
from lanewise.one_model.keeping import Keeping
from lanewise.one_model.measured import Splitting, measured_mesh
from lanewise.one_model.optimizers import Given, check_averaged, optimizer_over, treats_all_alike, works_on_parts
from lanewise.one_model.portions import Read, Wished, groups_of, portion_of
from lanewise.one_model.proposed import Proposed, proposed_mesh
from lanewise.one_model.result import TrainResult
from lanewise.optim.evaluating_drop_in import EvaluatingDropIn
from lanewise.training.device import device_here
from lanewise.training.model_training import Course, ModelTraining
from lanewise.training.objective import floats_as
from lanewise.training.stopping import Stop, stop_on_signals
from lanewise.tuning.inputs.reading import source_of
from lanewise.tuning.inputs.sources import Source, at_home

USUAL_BATCH = 32


def train(
    model: nn.Module | Callable[[], nn.Module],
    data: Any,
    loss: Callable[[Any, Tensor], Tensor],
    *,
    optimizer: Given = "adamw",
    lr: float | None = None,
    schedule: str = "linear",
    warmup: float = 0.0,
    epochs: float | None = None,
    steps: int | None = None,
    batch_size: int | None = None,
    accumulate: int = 1,
    clip_norm: float = 0.0,
    seed: int = 0,
    device: str | torch.device = "auto",
    checkpoint: str | Path | None = None,
    checkpoint_every: int | None = None,
    mesh: str | Mesh | None = None,
    blocks: Sequence[str] | None = None,
    tensor_plan: Mapping[str, str] | None = None,
    split: Sequence[str] | None = None,
    average_every: int | None = None,
    outer: str | Outer | None = None,
) -> TrainResult:
    """Train one model with one optimizer: ``theta <- theta - step(gradient of the mean loss of a batch)``.

    Under torchrun all ranks train one model together, as ``mesh`` says.

    Args:
        model: the module, trained in place, or a function that builds it, called under ``torch.manual_seed(seed)``.
        data: ``(X [N, ...], y [N, ...])``, tensors or arrays; a torch ``Dataset``, a ``DataLoader``, or an iterable of
            batches. Rows are taken from it, in an order of their own: a new permutation each epoch, keyed by ``seed``.
            A batch of X is what the model is called with, by name where X is a dict, by place where it is a tuple.
        loss: ``(outputs, targets)`` to the mean over rows, or to one loss per row ``[B, ...]``.
        optimizer: the name of a rule of :mod:`lanewise.optim`, such as ``"adamw"``; a class, or a function of the
            parameters, of those or of ``torch.optim``; or an optimizer over ``model.parameters()`` that was made.
        lr: the peak rate; None: that of the optimizer.
        schedule: a name of :data:`lanewise.optim.schedules.SCHEDULES`; ``"plateau"`` is not offered.
        warmup: share of the steps in which the rate climbs to its peak.
        epochs: passes over the rows, of which the steps are made: ``ceil(epochs N / batch_size)``.
        steps: how many batches to train, instead of ``epochs``.
        batch_size: rows of a step; None: that of the loader, else 32.
        accumulate: in how many pieces the rows of a step go through the model, their gradients added up; with
            ``pipeline`` these are its microbatches, one for each stage at least.
        clip_norm: limit on the norm of the gradient of all weights; 0: none.
        seed: of the order of rows, of what a step draws (dropout), and of a model that is built.
        device: ``"cpu"``, ``"cuda"``, ``"cuda:1"``; ``"auto"`` is the processor.
        checkpoint: a folder for checkpoints; where it has one, training goes on from the newest, to the same bits, or
            over another mesh, or ``data`` of more than 2, to the same numbers up to rounding. Written when stopped by
            Ctrl-C or SIGTERM too.
        checkpoint_every: steps between checkpoints; None: one at the end, or when stopped.
        mesh: how the ranks share the model, ``"data=2,shard=4"`` or a :class:`~lanewise.distributed.mesh.Mesh`; None:
            each has all of it and reads its part of every batch, or, where it would not fit a rank's memory with its
            gradients and state, a shard. ``"auto"`` measures links and model for some seconds and takes the mesh that
            is predicted to take a step soonest. ``mesh_why`` of the result says why. See ``docs/one-model.md``.
        blocks: with ``shard``, names of the submodules that are gathered one at a time; None: the children of every
            ``ModuleList`` and ``Sequential``.
        tensor_plan: with ``tensor``, how layers are split, by patterns of their names:
            ``{"blocks.*.up": "column", "blocks.*.down": "row"}``; None: found in the structure of the model, see
            :func:`~lanewise.distributed.tensor_plan.plan_of`.
        split: with ``pipeline``, which takes a ``Sequential``, names of the layers that begin a stage, but for the
            first; None: the stages have about the same number of parameters.
        average_every: H: each rank trains by itself on its part of every batch, and every H steps, and after the last,
            all go on from the mean of their weights (local SGD); the optimizer's state stays with each rank. None:
            gradients are summed at every step.
        outer: what is made of the mean: ``"average"``, which is also what None takes, ``"diloco"``, or an
            :class:`~lanewise.distributed.outer.Outer` of other settings.

    Returns:
        the trained model and its losses, see :class:`TrainResult`.

    Raises:
        UsageError: an argument cannot be used; the mesh does not fit the ranks, the model or the batch; ranks differ.
        DataError: the data cannot be used.
        TrainingError: the loss is not finite any more.
        Interrupted: Ctrl-C or SIGTERM, to any rank; with ``checkpoint`` the same call goes on.

    >>> X = torch.randn(64, 3, generator=torch.Generator().manual_seed(0))
    >>> y = X @ torch.tensor([[1.0], [-2.0], [0.5]])
    >>> found = train(lambda: nn.Linear(3, 1), (X, y), nn.MSELoss(), optimizer="sgd", lr=0.2, epochs=20)
    >>> found.steps, found.losses[-1] < 1e-3
    (40, True)

    Loshchilov & Hutter 2019, "Decoupled weight decay regularization", for the default optimizer.
    """
    started = time.monotonic()
    if checkpoint_every is not None:
        whole_number("checkpoint_every", checkpoint_every)
    mean = _mean_of(loss)
    # Where there is no GPU, ranks meet without one, so that one of them says so.
    moved = "cuda" if str(device).startswith("cuda") and torch.cuda.is_available() else "cpu"
    with joined_for_good(device=moved) as ranks:
        where = _own_device(device, ranks.place)
        source = source_of("data", at_home(data, where))
        course = course_of(
            source.rows,
            batch_size or source.batch_size or USUAL_BATCH,
            steps=steps,
            epochs=epochs,
            accumulate=accumulate,
            schedule=schedule,
            warmup=warmup,
            clip_norm=clip_norm,
            seed=seed,
        )
        averaging = averaging_of(average_every, outer)
        module = built(model, seed)
        told = {"rows": source.rows, "batch_size": course.batch_size, "steps": course.steps, "seed": seed}
        told |= {"schedule": schedule, "warmup": warmup, "clip_norm": clip_norm}
        # Before anything is exchanged for a mesh: ranks that were told otherwise would not exchange the same.
        stated = {"mesh": None if mesh is None else str(mesh), "average_every": average_every, "accumulate": accumulate}
        digest = rows_told(source) if ranks.size > 1 else None  # reads up to 64 MB
        ranks.agree({**told, **stated, "loss": name_told(loss), "the data": digest})
        names = {own: name for name, own in module.named_parameters()}
        read = _reader(source, names, where)
        wished = Wished(mesh=mesh, blocks=blocks, tensor_plan=tensor_plan, split=split, averaging=averaging)
        taken = _taken_mesh(wished, module, course, where, ranks, read=read, loss=mean, optimizer=optimizer, lr=lr)
        groups = groups_of(taken.mesh, where)
        copies = groups.mesh.data * groups.mesh.shard
        check_batch(course, copies)
        check_mean(loss, copies * course.accumulate)
        portion = portion_of(module.to(where), groups, course, ranks, read=read, wished=wished)
        made = optimizer_over(portion, optimizer, lr, names)
        if averaging is not None:
            check_averaged(made)
        told |= {"optimizer": type(made).__name__, **told_of(averaging, groups.mesh)}
        # Of the weights of one stage a function may make other groups than of those of the next.
        groups_told = optimizer_told(made) if portion.complete or treats_all_alike(optimizer) else {}
        ranks.agree({**told, **groups_told, "mesh": str(groups.mesh), "torch": torch.__version__})
        training = ModelTraining(portion, made, course, read=read, rows=source.rows, loss=mean)
        keeping = Keeping(training, None if checkpoint is None else Path(checkpoint), checkpoint_every, told, ranks)
        with stop_on_signals() as stop:
            began = _run(training, keeping, stop, ranks)
        return _result(training, keeping, began=began, started=started, mesh=groups.mesh, why=taken.why)


def _taken_mesh(
    wished: Wished,
    module: nn.Module,
    course: Course,
    device: torch.device,
    ranks: Ranks,
    *,
    read: Read,
    loss: Callable[[Any, Any], Tensor],
    optimizer: Given,
    lr: float | None,
) -> Proposed:
    """The mesh that was stated, else the one that is proposed or, with ``"auto"``, measured."""
    mesh, averaged = wished.mesh, wished.averaging is not None
    if mesh is not None and mesh != AUTO:
        return Proposed(mesh=mesh)
    if mesh is None or averaged:  # ranks that are averaged have all of it, and nothing to choose
        return proposed_mesh(module, device, ranks, whole=averaged)
    parts = works_on_parts(optimizer, lr)
    known = Splitting(module=module, course=course, tensor_plan=wished.tensor_plan, split=wished.split, parts=parts)
    return measured_mesh(known, device, ranks, read=read, loss=loss)


def _result(
    training: ModelTraining, keeping: Keeping, *, began: int, started: float, mesh: Mesh, why: str
) -> TrainResult:
    """What was trained, its weights those to be judged by."""
    portion = training.portion
    if isinstance(training.optimizer, EvaluatingDropIn):
        training.optimizer.eval()
    portion.module.eval()
    return TrainResult(
        model=portion.module,
        losses=tuple(training.losses),
        seconds=time.monotonic() - started,
        checkpoint=keeping.last,
        mesh=str(mesh) if mesh.active else "",
        mesh_why=why,
        exchange=exchange_of(portion, began, training.taken),
        gather=portion.gathered,
    )


def _run(training: ModelTraining, keeping: Keeping, stop: Stop, ranks: Ranks) -> int:
    """Train to the end; the step that it began at."""
    keeping.resume()
    began = training.taken
    together = training.portion if isinstance(training.portion, Apart) else Together(ranks)

    def between() -> None:
        ranks.alive()
        keeping.between()

    ranks.busy(at_work=True)
    with stop.polled():
        try:
            training.advance(training.course.steps, stop=lambda: together.any(own=stop()), between=between)
        except Interrupted as error:
            keeping.save()
            message = f"{error}; {keeping.goes_on()}"
            raise Interrupted(message) from error
        except RuntimeError as error:
            ranks.raise_if_halted()
            if ranks.size == 1 or lost_a_rank(error):
                raise
            message = f"a step failed on rank {ranks.rank}: {first_line(error)}; the same call goes on"
            raise TrainingError(message) from error
        finally:
            together.close()
            ranks.busy(at_work=False)
        keeping.save()
    return began


def _own_device(device: str | torch.device, place: Place) -> torch.device:
    """The GPU of this rank among those of its host; NCCL moves nothing between two ranks on the same."""
    where = device_here(device, place)
    if where.type == "cuda" and place.local_size > 1 and str(device) != "cuda":
        message = (
            f"device {where} is one GPU, and the {place.local_size} ranks of this host need one each; write "
            "device='cuda', by which each takes that of its local rank"
        )
        raise UsageError(message)
    return where


def _reader(source: Source, parameters: Mapping[nn.Parameter, str], device: torch.device) -> Read:
    """Batches of row numbers as the model takes them: floats in its dtype, on its device."""
    dtype = next((own.dtype for own in parameters if own.is_floating_point()), torch.float32)
    if source.table is not None and not source.mapped and device.type == "cpu":
        source = Source(name=source.name, rows=source.rows, table=floats_as(dtype, source.table))

    def read(rows: Tensor, key: int) -> Tree:
        batch = floats_as(dtype, source.batch(rows, key))
        return batch if device.type == "cpu" else mapped(lambda leaf: leaf.to(device), batch)

    return read


def _mean_of(loss: Callable[[Any, Any], Tensor]) -> Callable[[Any, Any], Tensor]:
    """The loss as a scalar; raises ``UsageError`` where it is no tensor."""
    if not callable(loss):
        message = f"loss must be a function of outputs and targets, got {type(loss).__name__}"
        raise UsageError(message)

    def mean(outputs: Any, targets: Any) -> Tensor:
        value = loss(outputs, targets)
        if not isinstance(value, Tensor):
            message = f"the loss must return a tensor, a scalar or one loss per row, got {type(value).__name__}"
            raise UsageError(message)
        return value.mean() if value.dim() else value

    return mean
