"""Files that a command reads or writes: refused before any work is done; written whole or not at all."""

import os
from pathlib import Path

from lanewise.errors import UsageError


def check_output(path: Path) -> None:
    """``UsageError`` where a file cannot be written to ``path``: better now than after an hour of training."""
    folder = path.parent
    if path.is_dir():
        message = f"cannot write {path}: it is a folder; name a file"
    elif not folder.is_dir():
        message = f"cannot write {path}: there is no folder {folder}; create it"
    elif not os.access(folder, os.W_OK) or (path.exists() and not os.access(path, os.W_OK)):
        message = f"cannot write {path}: permission denied; name another place"
    else:
        return
    raise UsageError(message)


def check_source(source: str | None) -> None:
    """``DataError`` where a table is not there: said at once, not after seconds of loading torch."""
    if source is None or source == "-" or source.startswith("example:") or os.path.lexists(source):
        return
    from lanewise.data.sources import missing_file

    raise missing_file(source)


def copy_report(report: Path, output: Path) -> Path:
    """Copy a run's report durably; returns where it now is."""
    from lanewise.storage.durable import write_atomically

    check_output(output)
    write_atomically(output, report.read_bytes())
    return output
