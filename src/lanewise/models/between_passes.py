"""What a module takes from one pass to the next outside its buffers, and what it draws where no key reaches."""

import copy
import hashlib
import random
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from types import BuiltinFunctionType, CellType, FunctionType, MethodType, ModuleType
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parameter import Parameter
from torch.utils._pytree import tree_leaves, tree_map

from lanewise.errors import UsageError
from lanewise.models.keyed_draws import own_generator
from lanewise.models.same_operations import altered

Pass = Callable[[nn.Module], object]
"""Calls a module on the first batch."""

KEYS: Final = (11, 12)
AHEAD: Final = (2, 10, 1_000, 100_000)
"""After so many passes a count is tried once more that the first two were not seen to depend on."""

MOVED: Final = 1.25
"""What weights are multiplied by for the first pass."""

ROUNDINGS: Final = 16
"""By how many roundings of the largest number two passes may differ that do the same."""

DEEPEST: Final = 5
"""Levels of lists and objects in an attribute that are looked into."""

MODEL, OBJECTIVE, ROWS = "model.", "objective.", "objective._rows."
"""Where a whole pass has the user's module, what the user's loss or step is in, and what Lanewise itself keeps."""

_GENERATORS: Final = (torch.Generator, np.random.Generator, np.random.RandomState, random.Random)
LARGE: Final = 2**22
"""Numbers of a tensor from which on it is not read but asked how often it was changed."""

MANY: Final = 1_000
"""Entries of a list from which on they are not looked at."""

_OPAQUE: Final = (ModuleType, type, Parameter)
_DEFAULTS: Final = (
    torch.default_generator,
    getattr(np.random.rand, "__self__", None),
    getattr(random.random, "__self__", None),
)
"""The generators that are keyed."""

_OF_EVERY_MODULE: Final = frozenset(vars(nn.Module()))

Pictures = Mapping[str, tuple[str, Any]]
"""What an attribute is, ``number``, ``draws`` or ``other``, and something that is equal as long as it is the same."""


@dataclass(frozen=True, kw_only=True)
class Between:
    """What was found; sentences for the user.

    ``unkeyed`` say what is drawn where no key reaches, ``counted`` what is counted and no pass was seen to read.
    ``evaluates`` says whether draws of torch's generator were seen in evaluation.
    """

    unkeyed: tuple[str, ...] = ()
    counted: tuple[str, ...] = ()
    evaluates: bool = False


def structure(module: nn.Module) -> tuple[Any, ...]:
    """The classes of all parts of a module, with their switches: alike where modules differ in numbers only."""
    return tuple(
        (type(part), *((name, own) for name, own in sorted(vars(part).items()) if isinstance(own, str | bool)))
        for part in module.modules()
    )


def of_torch(module: nn.Module) -> bool:
    """Whether a module is made of nothing but torch's own layers, without hooks."""
    return all(map(_known, module.modules()))


def between_passes(fresh: Callable[[], nn.Module], run: Pass) -> Between:
    """What passes of a module have to do with each other, found by a few of them.

    ``fresh`` gives a copy of the module that was never called. A pass with the same tensors, rows and draws must do
    the same whatever passes there were before: lanes are copied, set back and gone on with from their tensors alone.
    Of torch's own layers that is known.

    Raises ``UsageError`` where it does not, with the attribute that is in the way.
    """
    module = fresh()
    if of_torch(module):
        return Between()
    before, values = _pictures(module), {name: own.detach().clone() for name, own in _tensors(module).items()}
    with torch.no_grad():  # as training does: else an average of weights would be those weights
        for own in module.parameters():
            if own.requires_grad:
                own.mul_(MOVED)
    _passed(module, run, KEYS[0])
    evaluates = _draws_in_evaluation(module, run)
    with torch.no_grad():
        for name, tensor in _tensors(module).items():
            if name in values and tensor.shape == values[name].shape:
                tensor.copy_(values[name])
    after = _pictures(module)
    changed = {name: own for name, own in after.items() if own != before.get(name) and not name.startswith(ROWS)}
    generators = [name for name, (kind, _) in changed.items() if kind == "draws"]
    kept = [name for name in changed if name not in generators]
    second, alone = _passed(module, run, KEYS[1]), _passed(fresh(), run, KEYS[1])
    if generators:
        return Between(unkeyed=tuple(map(_unkeyed, generators)), evaluates=evaluates)
    if _same(alone, second):
        later = _pictures(module)
        # Not one that only the first pass has set: as the length of a table it would be wrong for any other.
        counts = {
            name: (before[name][1], after[name][1])
            for name in kept
            if before.get(name, ("", 0))[0] == after[name][0] == "number" and later.get(name) != after[name]
        }
        return Between(counted=_counted(fresh, run, counts, alone), evaluates=evaluates)
    if _same(alone, _passed(fresh(), run, KEYS[1])):
        raise UsageError(_refusal(_culprits(fresh, run, module, kept, alone) or kept))
    shared = [name for name in kept if name.startswith(OBJECTIVE)]  # copies of the module have the same loss
    if shared:
        raise UsageError(_refusal(shared))
    return Between(unkeyed=(_unkeyed(""),), evaluates=evaluates)


def _known(part: nn.Module) -> bool:
    return type(part).__module__.startswith("torch.nn.") and not altered(part)


def _tensors(module: nn.Module) -> dict[str, Tensor]:
    return {**dict(module.named_parameters()), **dict(module.named_buffers())}


def _passed(module: nn.Module, run: Pass, key: int) -> list[Tensor]:
    """What a training pass gives and leaves in the buffers."""
    with own_generator(key, others=True):  # with gradients: a forward may ask for some, as those of energies do
        outputs = run(module.train())
    given = [own.detach().clone() for own in tree_leaves(outputs) if isinstance(own, Tensor)]
    return given + [own.detach().clone() for own in module.buffers()]


def _draws_in_evaluation(module: nn.Module, run: Pass) -> bool:
    # What is wrong there is told by others.
    with own_generator(KEYS[0], others=True) as generator, torch.no_grad(), suppress(Exception):
        state = generator.get_state()
        run(module.eval())
        return not torch.equal(state, generator.get_state())
    return False


def _same(one: Sequence[Tensor], other: Sequence[Tensor]) -> bool:
    return len(one) == len(other) and all(map(_near, one, other))


def _near(one: Tensor, other: Tensor) -> bool:
    if one.shape != other.shape or one.dtype != other.dtype:
        return False
    if not (one.is_floating_point() or one.is_complex()) or not one.numel():
        return torch.equal(one, other)
    allowed = ROUNDINGS * torch.finfo(one.dtype).eps * float(other.abs().nan_to_num(0.0, 0.0, 0.0).max())
    return torch.allclose(one, other, rtol=0.0, atol=allowed, equal_nan=True)


def _pictures(module: nn.Module) -> Pictures:
    """All that the parts of a module hold beside parameters, buffers and hooks, by dotted name."""
    found: dict[str, tuple[str, Any]] = {}
    for path, part in module.named_modules():
        for name, value in vars(part).items():
            if name not in _OF_EVERY_MODULE:
                found |= dict(_pictured(f"{path}.{name}" if path else name, value, DEEPEST))
    return found


def _pictured(name: str, value: object, deepest: int) -> Iterator[tuple[str, tuple[str, Any]]]:
    if any(value is default for default in _DEFAULTS):
        return
    if isinstance(value, _GENERATORS):
        yield name, ("draws", _state_of(value))
    elif isinstance(value, Tensor) and not isinstance(value, Parameter):
        yield name, ("other", _digest(value))
    elif isinstance(value, np.ndarray):
        numbers = hashlib.sha256(value.tobytes()).digest() if value.size < LARGE else id(value)
        yield name, ("other", (value.shape, str(value.dtype), numbers))
    elif isinstance(value, bool | str | bytes | None):
        yield name, ("other", value)
    elif isinstance(value, int | float):
        yield name, ("number", value)
    elif isinstance(value, _OPAQUE) or not deepest:
        yield name, ("other", id(value))
    else:
        count = len(value) if isinstance(value, list | tuple | dict | set | deque) else 0
        yield name, ("other", (type(value), count))
        for key, own in _within(value) if count < MANY else ():
            yield from _pictured(f"{name}{key}", own, deepest - 1)


def _within(value: object) -> list[tuple[str, object]]:
    if isinstance(value, Mapping):
        return [(f"[{key!r}]", own) for key, own in value.items()]
    if isinstance(value, list | tuple | deque):
        return [(f"[{place}]", own) for place, own in enumerate(value)]
    if isinstance(value, set | frozenset):
        return [(f"[{place}]", own) for place, own in enumerate(sorted(map(repr, value)))]
    return _bound_to(value) if callable(value) and not isinstance(value, nn.Module) else _attributes(value)


def _bound_to(value: Any) -> list[tuple[str, object]]:
    """What a function takes along with it."""
    if isinstance(value, FunctionType):
        names, cells = value.__code__.co_freevars, value.__closure__ or ()
        return [(f".{own}", _content(cell)) for own, cell in zip(names, cells, strict=True)]
    if isinstance(value, MethodType | BuiltinFunctionType):
        return [("", value.__self__)]
    if isinstance(value, partial):
        return [("", (value.func, value.args, value.keywords))]
    return _attributes(value)


def _attributes(value: object) -> list[tuple[str, object]]:
    own = dict(getattr(value, "__dict__", {}))
    if isinstance(value, nn.Module):
        own = {name: held for name, held in own.items() if name not in _OF_EVERY_MODULE} | dict(value.named_buffers())
        own |= dict(value.named_children()) | {
            name: held.detach() for name, held in value.named_parameters(recurse=False)
        }
    return [(f".{name}", held) for name, held in own.items()]


def _content(cell: CellType) -> object:
    try:
        return cell.cell_contents
    except ValueError:  # nothing was put into it yet
        return None


def _state_of(generator: Any) -> str:
    if isinstance(generator, torch.Generator):
        return _digest(generator.get_state())
    if isinstance(generator, np.random.Generator):
        return repr(generator.bit_generator.state)
    return repr(generator.getstate() if isinstance(generator, random.Random) else generator.get_state())


def _digest(tensor: Tensor) -> str:
    if tensor.numel() >= LARGE:
        return f"{tensor.dtype} {tuple(tensor.shape)} {id(tensor)} {tensor._version}"
    try:
        flat = tensor.detach().cpu().contiguous().flatten()
        numbers = flat.view(torch.uint8).numpy().tobytes() if flat.numel() else b""
    except (RuntimeError, TypeError):  # of a form that has no plain numbers, as sparse ones
        return f"{tensor.dtype} {tuple(tensor.shape)}"
    return f"{tensor.dtype} {tuple(tensor.shape)} {hashlib.sha256(numbers).hexdigest()}"


def _culprits(
    fresh: Callable[[], nn.Module], run: Pass, used: nn.Module, kept: Sequence[str], alone: Sequence[Tensor]
) -> list[str]:
    """Which of the attributes ``kept``, as ``used`` has them, change what a pass gives."""
    found = []
    for name in kept:
        module, (path, _, own) = fresh(), name.rpartition(".")
        with suppress(Exception):  # it is not named then
            setattr(module.get_submodule(path), own, _without_graph(vars(used.get_submodule(path))[own]))
            if not _same(_passed(module, run, KEYS[1]), alone):
                found.append(name)
    return found


def _without_graph(value: Any) -> Any:
    """A copy, which tensors that were computed with gradients do not have as they are."""
    return copy.deepcopy(tree_map(lambda leaf: leaf.detach() if isinstance(leaf, Tensor) else leaf, value))


def _counted(
    fresh: Callable[[], nn.Module], run: Pass, counts: Mapping[str, tuple[Any, Any]], alone: Sequence[Tensor]
) -> tuple[str, ...]:
    """What is worth saying of numbers by name, as they were before a pass and after it.

    Raises ``UsageError`` where those that come much later matter.
    """
    for ahead in AHEAD if counts else ():
        module, moved = fresh(), list[str]()
        for name, (before, after) in counts.items():
            path, _, own = name.rpartition(".")
            with suppress(AttributeError):  # it is in a list, or in an object of another kind
                part = module.get_submodule(path)
                if own in vars(part):
                    setattr(part, own, before + (after - before) * ahead)
                    moved.append(name)
        try:
            same = not moved or _same(_passed(module, run, KEYS[1]), alone)
        except Exception:  # whatever comes of a number that large, which may never be: a place in a ring begins anew
            break
        if not same:
            raise UsageError(_refusal(moved))
    if not counts:
        return ()
    verb = "is" if len(counts) == 1 else "are"
    return (
        f"{_listed(list(counts))} {verb} changed by every pass, and kept by no lane: no pass was seen to depend on it",
    )


def _refusal(names: Sequence[str]) -> str:
    if not names:
        return (
            "a training pass depends on the one before by something outside the module, such as a global: keep it in "
            "buffers of the module (register_buffer), and change them where they lie"
        )
    own = names[0].rpartition(".")[2].partition("[")[0]
    what = "is" if len(names) == 1 else "are"
    return (
        f"{_listed(names)} {what} left by one training pass for the next outside the buffers, so lanes would share it "
        f"and no checkpoint has it; make it a buffer, self.register_buffer({own!r}, a tensor), and change that where "
        f"it lies: self.{own}.copy_(...)"
    )


def _unkeyed(name: str) -> str:
    if not name:
        return (
            "two passes from the same weights, rows and torch seed differ: something is drawn from another generator "
            "than torch's, NumPy's or Python's default one, or kept outside the module; the race cannot be repeated "
            "exactly"
        )
    return (
        f"{_listed([name])} is a generator of its own, whose draws no seed or checkpoint knows: the race cannot be "
        "repeated exactly; draw from torch's default generator, as torch.randn without generator= does"
    )


def _listed(names: Sequence[str]) -> str:
    """The attributes as the user knows them.

    >>> _listed(["model.ema", "objective._loss.seen"])
    'self.ema and seen of the loss'
    """
    return " and ".join(
        f"{name.rpartition('.')[2]} of the {'loss' if '._loss' in name else 'step'}"
        if name.startswith(OBJECTIVE)
        else f"self.{name.removeprefix(MODEL)}"
        for name in names
    )
