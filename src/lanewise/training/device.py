"""Where stacks train: the processor, or one GPU; what there is, and what a name means."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache

import torch

from lanewise.distributed.place import Place
from lanewise.errors import UsageError
from lanewise.settings.fit import DEVICE
from lanewise.training.torch_build import no_cuda

CPU = torch.device("cpu")


def device_of(name: "str | torch.device | None") -> torch.device:
    """The device that ``auto``, ``cpu``, ``cuda`` or ``cuda:N`` names.

    Raises ``UsageError`` where there is no such device, with what there is.

    >>> device_of("auto")
    device(type='cpu')
    """
    text = "auto" if name is None else str(name)
    if not DEVICE.fullmatch(text):
        message = f"device must be auto, cpu, cuda or cuda:N, got {text!r}"
        raise UsageError(message)
    if not text.startswith("cuda"):
        return CPU
    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    number = int(text.partition(":")[2] or 0)
    if number < count:
        return torch.device("cuda", number)
    message = f"device {text} is not there: {_there(count)}"
    raise UsageError(message)


def device_here(name: "str | torch.device | None", place: Place) -> torch.device:
    """The device of a rank: of several ranks, ``cuda`` gives each the GPU of its own number on its host.

    Raises as :func:`device_of`.

    >>> device_here("auto", Place(rank=1, size=2, local_rank=1, local_size=2))
    device(type='cpu')
    """
    return device_of(f"cuda:{place.local_rank}" if place.size > 1 and str(name) == "cuda" else name)


def _there(count: int) -> str:
    if count:
        names = [torch.cuda.get_device_name(number) for number in range(count)]
        return "there is " + ", ".join(f"cuda:{number} ({name})" for number, name in enumerate(names))
    if torch.version.cuda is None and torch.version.hip is None:
        return no_cuda(torch.__version__)
    return "PyTorch sees no GPU (check nvidia-smi and CUDA_VISIBLE_DEVICES); use cpu"


def device_name(device: torch.device) -> str:
    """What a report calls it: ``cpu``, or the name of the GPU.

    >>> device_name(torch.device("cpu"))
    'cpu'
    """
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


@lru_cache(maxsize=16)
def _of_gpu(device: torch.device) -> tuple[threading.RLock, torch.cuda.Stream]:
    return threading.RLock(), torch.cuda.Stream(device)


@contextmanager
def _whole_float32() -> Iterator[None]:
    """Convolutions in float32 as it is, as products are: torch rounds their operands to 10 bits unless told."""
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32 = before


@contextmanager
def turn(device: torch.device) -> Iterator[None]:
    """The block has the GPU for itself among the threads of this process, on a stream that a step can be recorded on.

    Stacks side by side would only wait for each other in Python. On the processor this does nothing.
    """
    if device.type != "cuda":
        yield
        return
    lock, stream = _of_gpu(device)
    with lock, torch.cuda.device(device), _whole_float32():
        before = torch.cuda.current_stream(device)
        stream.wait_stream(before)
        try:
            with torch.cuda.stream(stream):
                yield
        finally:
            before.wait_stream(stream)


def gpu_width(parameters: int) -> int:
    """Lanes in one stack on a GPU where that is not measured: as many as its memory takes with ease.

    A GPU is filled by many lanes, not by what fits a cache; 2**28 entries with their state are some 10 GB.

    >>> gpu_width(62), gpu_width(94_000), gpu_width(500_000_000)
    (512, 512, 1)
    """
    return max(1, min(512, 2**28 // max(parameters, 1)))
