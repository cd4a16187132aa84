"""What can be told of a table by its beginning: mistakes are told at once, not after seconds of loading libraries."""

import os
from collections.abc import Mapping

import polars as pl

from lanewise.data.cells.typed_columns import is_unusable, unusable_column
from lanewise.data.columnar_files import is_columnar
from lanewise.data.dataset import Dataset
from lanewise.data.read_options import ReadOptions
from lanewise.data.reading import read
from lanewise.data.roles import check_names
from lanewise.data.sources import Payload, beginning, refuse_device
from lanewise.data.table_files import is_pattern, paths_of, table_files
from lanewise.data.target import resolve_task
from lanewise.data.text.delimited import parse
from lanewise.data.text.encodings import decode
from lanewise.data.text.json_lines import JSON_SUFFIXES, is_json_lines
from lanewise.data.text.svmlight import is_svmlight
from lanewise.errors import DataError
from lanewise.metrics import resolve_metric
from lanewise.task import TaskKind

HEAD_BYTES = 2**18
"""So much of a file is looked at; a smaller one is read whole."""


def first_look(
    source: str,
    *,
    options: ReadOptions,
    target: str | None = None,
    drop: tuple[str, ...] = (),
    roles: Mapping[str, str | None] | None = None,
    kind: TaskKind | None = None,
    metric: str | None = None,
) -> None:
    """Raise what a fit would raise of the file ``source`` by its beginning, and of the columns that are named.

    Of a small text the target is held against the ``kind`` of task too, and the ``metric`` against what is found.

    A folder must hold files, a pattern match some. What is packed, no file, or in doubt is left to the reading proper;
    so are columns that are not found in the beginning of a text until all of it was read. Without a ``target`` the
    content is left alone: a model, or a table beside, says how it is read.

    Raises ``DataError``, and ``UsageError`` for columns of roles that are not there, and for a metric of other targets.
    """
    # os.path, which says no where a name is too long or a folder is closed: the reading words that.
    if os.path.isdir(source) or (is_pattern(source) and not os.path.exists(source)):
        paths_of(source)
        return
    if os.path.exists(source) and not os.path.isfile(source):  # a pipe can be read once
        refuse_device(source)
        return
    payload, whole = beginning(source, most=HEAD_BYTES)
    if payload is None or is_columnar(payload) or target is None:
        if payload is not None and target is not None and (files := table_files(source)) is not None:
            bare = {name: dtype for name, dtype in files.schema.items() if not is_unusable(dtype)}
            aside = [unusable_column(name, dtype) for name, dtype in files.schema.items() if name not in bare]
            header = Dataset(frame=pl.DataFrame(schema=bare), kinds={}, source=files.name, findings=tuple(aside))
            check_names(header, target=target, drop=drop, keep=(), roles=roles or {})
        return
    if not whole and names_known(payload, options, {target, *drop, *(roles or {}).values()} - {None}):
        return
    table = read(source, options=options)
    check_names(table, target=target, drop=drop, keep=(), roles=roles or {})
    if whole:
        task, _ = resolve_task(table, target, kind=kind)
        if metric is not None:
            resolve_metric(metric, task.kind)


def names_known(payload: Payload, options: ReadOptions, names: set[str | None]) -> bool:
    """Whether the beginning of a text has all the columns, or is of a kind that tells them otherwise.

    Raises ``DataError`` where it is no text.
    """
    end = payload.content.rfind(b"\n") + 1
    end += payload.content[end : end + 1] == b"\0"  # the other half of a line end of UTF-16
    head = payload.content[:end] or payload.content
    text, _ = decode(head, name=payload.name, encoding=options.encoding)
    if options.delimiter is None and is_svmlight(text, payload.suffix):
        return True
    if (options.delimiter is None or payload.suffix in JSON_SUFFIXES) and is_json_lines(text, payload.suffix):
        return True
    try:
        return names <= set(parse(text, name=payload.name, options=options).frame.columns)
    except DataError:  # said of a part of the text
        return True
