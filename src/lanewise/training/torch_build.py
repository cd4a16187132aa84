"""What the installed PyTorch was built for, told without loading it, which takes seconds."""

import runpy
from importlib.util import find_spec
from pathlib import Path

from lanewise.errors import UsageError


def no_cuda(version: str) -> str:
    """That this version of PyTorch is built without CUDA, and what to do."""
    return f"this PyTorch ({version}) is built without CUDA; use cpu, or install a build for your GPU"


def check_build(device: str) -> None:
    """``UsageError`` where a device is a GPU that the installed PyTorch cannot use, whatever the machine has.

    >>> check_build("cpu")
    """
    spec = find_spec("torch") if device.startswith("cuda") else None
    if spec is None or spec.origin is None:
        return
    try:
        built = runpy.run_path(str(Path(spec.origin).with_name("version.py")))
    except (OSError, ImportError, SyntaxError):  # whoever loads it will see
        return
    if built.get("cuda", "") is None and built.get("hip") is None:  # for AMD's GPUs, which are "cuda" too, it says hip
        message = f"device {device} is not there: {no_cuda(str(built.get('__version__')))}"
        raise UsageError(message)
