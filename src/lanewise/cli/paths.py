"""Files that a command reads or writes: refused before any work is done; written whole or not at all."""

import os
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lanewise.errors import UsageError

if TYPE_CHECKING:
    from lanewise.data.read_options import ReadOptions


def check_output(path: Path, *, reads: str | None = None) -> None:
    """``UsageError`` where a file cannot be written to ``path``: better now than after an hour of training.

    Nor may it be the table that the command ``reads``, which would be lost.

    A permission does not tell: folders of the kernel, full disks and disks mounted read-only refuse files all the
    same. So one byte is written beside ``path``, where the file itself will be prepared, and removed again.
    """
    why = _obstacle(path) or _is_read(path, reads) or _refusal(path)
    if why:
        message = f"cannot write {path}: {why}"
        raise UsageError(message)


def _obstacle(path: Path) -> str:
    """What stands in the way of a file at ``path``, and what to do about it; empty where nothing does."""
    folder = path.parent
    try:
        if path.is_dir():
            return "it is a folder; name a file"
        if not folder.is_dir():
            inside = "" if folder.exists() else f"there is no folder {folder}; create it"
            return inside or f"{folder} is a file, not a folder; name another place"
        return _occupant(path)
    except OSError as error:  # the name is too long, say
        return f"{_reason(error)}; name another place"


def _occupant(path: Path) -> str:
    """What is at ``path`` already and may not be replaced by a file; empty where that is nothing."""
    if path.is_symlink():  # such as /dev/stdout
        return "it is a symbolic link, which would be replaced; name the file that it leads to"
    if path.exists() and not path.is_file():
        return "it is a device or a pipe; name a file"
    if path.exists() and not os.access(path, os.W_OK):
        return "permission denied; name another place"
    return ""


def _is_read(path: Path, source: str | None) -> str:
    """That ``path`` is the table at hand, by whatever name; empty where it is not."""
    if source and path.exists() and os.path.exists(source) and os.path.samefile(path, source):
        return "it is the table that is read; name another file"
    return ""


def _refusal(path: Path) -> str:
    """Why the folder of ``path`` takes no new file, and what to do about it; empty where it does."""
    probe = path.with_name(f".{path.name[:40]}.{os.urandom(4).hex()}.part")
    try:
        handle = os.open(probe, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileNotFoundError:  # what Linux says of /proc
        return f"{path.parent} takes no files; name another place"
    except OSError as error:
        return f"{_reason(error)}; name another place"
    try:
        os.write(handle, b"\n")
    except OSError as error:
        return f"{_reason(error)}; name another place"
    finally:
        os.close(handle)
        with suppress(OSError):
            probe.unlink()
    return ""


def _reason(error: OSError) -> str:
    return (error.strerror or str(error)).lower()


def check_source(source: str | None, options: "ReadOptions", **columns: Any) -> None:
    """What :func:`lanewise.data.first_look.first_look` says of a table: at once, not after seconds of loading torch."""
    if source is None or source == "-":
        return
    if source.startswith("example:"):
        from lanewise.data.examples import known_example

        known_example(source)
        return
    from lanewise.data.first_look import first_look

    first_look(source, options=options, **columns)


def copy_report(report: Path, output: Path) -> Path:
    """Copy a run's report durably; returns where it now is."""
    from lanewise.storage.durable import write_atomically

    check_output(output)
    write_atomically(output, report.read_bytes(), private=False)
    return output
