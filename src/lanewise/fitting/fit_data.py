"""The table that a fit is given: where it comes from, what it is known by, the question that is asked of it."""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from lanewise.data.dataset import Dataset
from lanewise.data.examples import PREFIX
from lanewise.data.read_options import ReadOptions, read_options
from lanewise.data.reading import read
from lanewise.data.streaming import is_too_large, read_streamed, size_words
from lanewise.data.table_files import MOST_PACKED, TableFiles, table_files
from lanewise.distributed.ranks import Lone, Ranks
from lanewise.errors import DataError, UsageError
from lanewise.fitting.agreement import check_agreement, check_streamed, target_mistakes
from lanewise.fitting.planned import prepared_cells
from lanewise.settings.fit import FitSettings, Stream
from lanewise.training.planning.memory import one_worker_bytes
from lanewise.training.posing import Request, pose
from lanewise.training.problem import Problem


def lasting(source: object) -> str | None:
    """The name of a source that is good in any working directory; None for a table in memory."""
    if not isinstance(source, str):
        return None
    return source if source == "-" or source.startswith(PREFIX) else str(Path(source).absolute())


def dataset_of(
    source: object,
    options: ReadOptions | None = None,
    *,
    stream: Stream = "never",
    tell: Callable[[str], object] = str,
    ranks: Ranks | None = None,
) -> Dataset:
    """The table of a source, read as ``options`` say.

    ``stream`` says whether a table of Parquet or Arrow files is streamed from disk: ``auto`` where the memory asks
    for it, which ``tell`` hears of before it is read. All ``ranks`` call this alike: where one has too little memory
    for a table of its own beside the others of its host, all of them stream.

    Raises ``UsageError`` where another source is to be streamed always, ``DataError`` where a table that need not be
    streamed is packed as only those are that are made to exhaust a machine.
    """
    options, ranks = options or ReadOptions(), ranks or Lone()
    path = source if isinstance(source, (str, Path)) and str(source) != "-" else None
    files = table_files(path) if stream != "never" and path is not None else None
    # A limit that was stated is kept; the usual one is there to protect the memory, which streaming does as well.
    stated = files is not None and options.max_bytes is not None and files.cell_bytes > options.max_bytes
    processes = ranks.place.local_size
    held: Any = {
        "processes": processes,
        "beside": one_worker_bytes(),
    }  # one worker at the least; more where there is room
    large = files is not None and not stated and is_too_large(files, most_bytes=options.byte_limit, **held)
    large = any(ranks.gather(b"large" if large else b""))
    if files is not None and (stream == "always" or large):
        if stream != "always":
            _refuse_bomb(files)
        return read_streamed(files, missing=options.missing, asked=stream == "always", tell=tell, **held)
    if stream == "always":
        given = path if path is not None else "what was given"
        message = f"only Parquet and Arrow files can be streamed from disk, which {given} is not; leave stream out"
        raise UsageError(message)
    # Many files were looked into already; a single one has limits of its own.
    return read(source if files is None or Path(str(path)).is_file() else files, options=options)


def _refuse_bomb(files: TableFiles) -> None:
    packed = sum(path.stat().st_size for path in files.paths)
    if files.cell_bytes <= MOST_PACKED * packed:
        return
    message = (
        f"{files.name} unpacks to {size_words(files.cell_bytes)}, {files.cell_bytes // packed:,} times its size of "
        f"{size_words(packed)}: check that it is what it should be; --stream always reads it all the same"
    )
    raise DataError(message)


def fingerprint(dataset: Dataset) -> str:
    """SHA-256 of the rows as read, to tell whether a run is resumed on the table that it began with."""
    if dataset.rest is not None:
        return dataset.rest.fingerprint
    return hashlib.sha256(dataset.frame.hash_rows().to_numpy().tobytes()).hexdigest()


def problem_of(dataset: Dataset, settings: FitSettings) -> Problem:
    """The question that the settings ask of the table; raises ``UserError`` where they do not fit it."""
    check_streamed(dataset, settings)
    test = None
    if settings.test:
        options = replace(read_options(settings), beside=tuple(dataset.kinds), conventions=dataset.conventions)
        test = read(settings.test, options=options)
    problem = pose(dataset, _request(settings), test=test, more=lambda task: target_mistakes(task, settings))
    check_agreement(problem, settings)
    return problem


def _request(settings: FitSettings) -> Request:
    return Request(
        target=settings.target,
        kind=settings.task,
        metric=settings.metric,
        drop=settings.drop,
        missing=settings.missing,
        delimiter=settings.delimiter,
        encoding=settings.encoding,
        weight=settings.weight,
        class_weights=settings.class_weights,
        positive=settings.positive,
        group=settings.group,
        time=settings.time,
        folds=settings.folds,
        test_fraction=settings.test_fraction,
        scaling=settings.scaling,
        seed=settings.seed,
        cells=prepared_cells(settings),
    )


def agreed_on(config: Mapping[str, Any]) -> dict[str, Any]:
    """What ranks must agree on: the settings one by one, the rows, the versions of what computes."""
    import polars
    import torch

    from lanewise._version import __version__

    versions = {"lanewise": __version__, "torch": torch.__version__, "polars": polars.__version__}
    own = {name: value for name, value in config.items() if name != "settings"}
    return {**own, **config["settings"], **{f"the version of {name}": version for name, version in versions.items()}}
