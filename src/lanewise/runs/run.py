"""One recorded run, and what it may tell about itself."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Self, final

from lanewise.storage.lock import FileLock
from lanewise.storage.strict_json import parse_json

RunStatus = Literal["running", "done", "failed", "interrupted"]


@final
@dataclass(frozen=True, kw_only=True)
class Run:
    """A run as the store knew it when it was asked.

    ``created`` is UTC in ISO 8601, for people: order is by ``sequence``. ``seconds`` counts the time at work
    over all resumes, without what went by in a process that was killed. A run that was killed before it could say so is
    ``interrupted``.
    """

    sequence: int
    id: str
    created: str
    status: RunStatus
    command: str
    error: str | None
    seconds: float | None
    folder: Path
    config_text: str = field(repr=False)
    document_text: str | None = field(repr=False)

    @classmethod
    def from_row(cls, row: Sequence[Any], *, folder: Path) -> Self:
        """Read a row ``sequence, id, created, status, command, config, document, error, seconds``."""
        sequence, name, created, status, command, config, document, error, seconds = row
        # A living owner holds the lock. No lock file: the run was created and not acquired yet.
        if status == "running" and FileLock.held(folder / "lock") is False:
            status = "interrupted"
        return cls(
            sequence=sequence,
            id=name,
            created=created,
            status=status,
            command=command,
            error=error,
            seconds=seconds,
            folder=folder,
            config_text=config,
            document_text=document,
        )

    @cached_property
    def config(self) -> Mapping[str, Any]:
        """The settings that the run was started with."""
        return parse_json(self.config_text.encode(), source=f"the configuration of run {self.id}")

    @property
    def kind(self) -> str:
        """What made it: ``fit`` or ``tune``."""
        return str(self.config.get("kind", "fit"))

    @property
    def data(self) -> str | None:
        """The name of the table, or of what gave a tune its data; None for what was in memory.

        A file is called by its last part, standard input ``-``.
        """
        source = self.config.get("settings", {}).get("data") if self.kind == "tune" else self.config.get("source")
        if not source:
            return None
        return str(source) if str(source).startswith("example:") else Path(source).name

    @property
    def target(self) -> str | None:
        """What is learned: the column of a fit, the name of the function that builds the module of a tune."""
        settings = self.config.get("settings", {})
        model = settings.get("model")
        return str(model).rpartition(":")[2] if model else settings.get("target")

    @property
    def document(self) -> Mapping[str, Any] | None:
        """What describes the result, if there is one yet."""
        if self.document_text is None:
            return None
        return parse_json(self.document_text.encode(), source=f"the document of run {self.id}")

    @property
    def model(self) -> Path:
        return self.folder / "model"

    @property
    def checkpoints(self) -> Path:
        return self.folder / "checkpoints"

    @property
    def report(self) -> Path:
        return self.folder / "report.html"

    @property
    def plan(self) -> Path:
        return self.folder / "plan.json"

    def acquire(self) -> FileLock:
        """Become the one process that works on this run, until the lock is released or the process ends.

        Raises:
            UnavailableError: another process works on it; names its process id and host.

        Example: ``with run.acquire(): train()``.
        """
        return FileLock.acquire(self.folder / "lock", what=f"run {self.id}")


@final
@dataclass(frozen=True, kw_only=True)
class Event:
    """One thing that happened in a run: its number from 1, its kind, and its payload."""

    sequence: int
    kind: str
    text: str = field(repr=False)

    @property
    def payload(self) -> Mapping[str, Any]:
        return parse_json(self.text.encode(), source=f"event {self.sequence}")
