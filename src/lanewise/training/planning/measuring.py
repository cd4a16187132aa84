"""Measures this machine: what products, threads and formats are worth here. It assumes nothing."""

import os
import platform
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

import torch

from lanewise.training.device import CPU
from lanewise.training.planning.plan import chunk_width
from lanewise.training.workers.cores import cores

CPUINFO = Path("/proc/cpuinfo")

REPEATS = 7
SHAPES = ((64, 128, 64, 64), (16, 256, 128, 128), (8, 256, 256, 256))
"""Lanes, batch, inputs, outputs of the products that are timed: what stacked networks really do."""

WORTH_IT = 1.3
"""How much faster bfloat16 must be before it is chosen; below that, its rounding buys nothing."""

BFLOAT16_FLAGS = frozenset({"avx512_bf16", "amx_bf16", "bf16", "svebf16"})
"""What Linux calls the units for products of bfloat16 on x86 and ARM."""


@dataclass(frozen=True, kw_only=True)
class Product:
    """Speed of one batched product, in GFLOP/s of one thread."""

    lanes: int
    batch: int
    inputs: int
    outputs: int
    float32: float
    bfloat16: float


@dataclass(frozen=True, kw_only=True)
class Gpu:
    """One GPU: products in GFLOP/s, and copies within its memory in GB/s."""

    device: str
    name: str
    memory_bytes: int
    products: tuple[Product, ...]
    copy_bandwidth: float


@dataclass(frozen=True, kw_only=True)
class Machine:
    """What was measured, and what would be chosen."""

    processor: str
    cores: int
    memory_bytes: int
    torch: str
    cuda: bool
    products: tuple[Product, ...]
    copy_bandwidth: float
    workers: int
    precision: str
    gpus: tuple[Gpu, ...] = ()

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    def words(self) -> str:
        """The findings as a page for a terminal."""
        there = ", ".join(gpu.name for gpu in self.gpus) or ("a GPU is there" if self.cuda else "no GPU")
        lines = [
            f"processor   {self.processor}, {self.cores} cores, {self.memory_bytes / 2**30:.0f} GiB of memory",
            f"torch       {self.torch}, {there}",
            f"memory      copies {self.copy_bandwidth:.1f} GB/s with one thread",
            "",
            "batched products, GFLOP/s of one thread     float32  bfloat16",
        ]
        lines += [_line(product) for product in self.products]
        widths = ", ".join(f"{chunk_width(size)} lanes at {size:,} parameters" for size in (1_000, 50_000, 500_000))
        lines += [
            "",
            f"Lanewise would train {self.workers} stacks side by side, a process each,",
            f"networks in {self.precision}, with {widths} in one stack.",
        ]
        for gpu in self.gpus:
            size = f"{gpu.memory_bytes / 2**30:.0f} GiB, copies {gpu.copy_bandwidth:,.0f} GB/s"
            lines += [
                "",
                f"{gpu.device}: {gpu.name}, {size}; GFLOP/s",
                *map(_line, gpu.products),
                f"Networks train there with --device {gpu.device}.",
            ]
        return "\n".join(lines)


def _line(product: Product) -> str:
    shape = f"{product.lanes} lanes x [{product.batch}, {product.inputs}] x [{product.inputs}, {product.outputs}]"
    return f"  {shape:40} {product.float32:8.0f} {product.bfloat16:9.0f}"


def examine() -> Machine:
    """Measure for about a second."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        products = tuple(_product(*shape) for shape in SHAPES)
        block = torch.empty(16 * 2**20)
        other = torch.empty_like(block)
        seconds = fastest(lambda: other.copy_(block))
    finally:
        torch.set_num_threads(threads)
    gain = statistics.median(product.bfloat16 / product.float32 for product in products)
    return Machine(
        processor=_processor(),
        cores=cores(),
        memory_bytes=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") if hasattr(os, "sysconf") else 0,
        torch=torch.__version__,
        cuda=torch.cuda.is_available(),
        products=products,
        copy_bandwidth=2 * block.numel() * block.element_size() / seconds / 1e9,
        workers=cores(),
        precision="bfloat16" if gain >= WORTH_IT and has_bfloat16_units() is not False else "float32",
        gpus=tuple(_gpu(number) for number in range(torch.cuda.device_count() if torch.cuda.is_available() else 0)),
    )


def _gpu(number: int) -> Gpu:
    device = torch.device("cuda", number)
    known = torch.cuda.get_device_properties(device)
    block = torch.empty(64 * 2**20, device=device)
    other = torch.empty_like(block)
    seconds = fastest(lambda: _finished(device, lambda: other.copy_(block)))
    return Gpu(
        device=str(device),
        name=known.name,
        memory_bytes=known.total_memory,
        products=tuple(_product(*shape, device=device) for shape in SHAPES),
        copy_bandwidth=2 * block.numel() * block.element_size() / seconds / 1e9,
    )


def _finished(device: torch.device, work: Callable[[], object]) -> None:
    """Do ``work``, and wait until a GPU has done it too."""
    work()
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def fastest(work: Callable[[], object]) -> float:
    """Seconds of the fastest of a few runs, after one to warm up."""
    return fastest_in_turns([work])[0]


def fastest_in_turns(works: Sequence[Callable[[], object]]) -> list[float]:
    """The same for several works that take turns, so that what else the machine does slows down all of them."""
    times: list[list[float]] = [[] for _ in works]
    for work in works:
        work()
    for _ in range(REPEATS):
        for work, own in zip(works, times, strict=True):
            started = time.perf_counter()
            work()
            own.append(time.perf_counter() - started)
    return list(map(min, times))


def _product(lanes: int, batch: int, inputs: int, outputs: int, *, device: torch.device = CPU) -> Product:
    flops = 2 * lanes * batch * inputs * outputs
    works: list[Callable[[], object]] = []
    for dtype in (torch.float32, torch.bfloat16):
        a = torch.randn(lanes, batch, inputs).to(device, dtype)
        b = torch.randn(lanes, outputs, inputs).to(device, dtype).transpose(1, 2)
        works.append(lambda a=a, b=b: _finished(device, lambda: torch.bmm(a, b)))
    float32, bfloat16 = (flops / seconds / 1e9 for seconds in fastest_in_turns(works))
    return Product(
        lanes=lanes,
        batch=batch,
        inputs=inputs,
        outputs=outputs,
        float32=float32,
        bfloat16=bfloat16,
    )


def _processor() -> str:
    return _told("model name") or platform.processor() or platform.machine()


@cache
def has_bfloat16_units() -> bool | None:
    """Whether the processor multiplies bfloat16 by itself; None where the system does not tell what it can."""
    flags = _told("flags") or _told("Features")
    return None if not flags else not BFLOAT16_FLAGS.isdisjoint(flags.split())


def _told(name: str) -> str:
    """What Linux tells of the first processor under ``name``; nothing elsewhere."""
    try:
        with CPUINFO.open(encoding="utf-8") as file:
            for line in file:
                if line.partition(":")[0].strip() == name:
                    return line.partition(":")[2].strip()
    except OSError:
        pass
    return ""
