"""A fit that is done: its document, and its model, ready to predict."""

from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from lanewise.deploy.files import read_rows
from lanewise.deploy.onnx_check import ExportCheck
from lanewise.deploy.predictor import Prediction, Predictor
from lanewise.deploy.saving import load_predictor
from lanewise.errors import UnavailableError, UsageError
from lanewise.reporting.report import render
from lanewise.reporting.terminal import summary
from lanewise.runs.remaining import lost_model, reading_model
from lanewise.runs.store import RunStore

FRAME_HEIGHT = 640
"""Pixels of a report within a notebook."""

PRINTED_COLUMNS = 100
"""Width of a fit that is printed."""


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Fit:
    """A finished fit: the run, the document that describes it, and the model.

    ``document`` is what ``lanewise show --json`` prints, ``folder`` holds the files of the run. Printed, it is the
    summary of ``lanewise show``; a notebook shows the report.
    """

    run: str
    folder: Path
    document: Mapping[str, Any]
    predictor: Predictor

    @property
    def report(self) -> Path:
        """The report, one HTML file that needs no network."""
        return self.folder / "report.html"

    @property
    def classes(self) -> tuple[str, ...]:
        """Labels in the order of the columns of :meth:`predict_proba`, of two the positive last; none for numbers."""
        return self.predictor.task.classes

    def predict(self, source: object) -> np.ndarray:
        """Labels, means or counts ``[N]`` for the rows of a table; ``source`` as in :func:`fit`.

        Raises ``DataError`` where a column that the model needs is absent or of another kind.
        """
        return self._prediction(source).values

    def predict_proba(self, source: object) -> np.ndarray:
        """Probabilities ``[N, K]`` of the classes for the rows of a table, in the order of ``classes``.

        Raises ``DataError`` as :meth:`predict`, and ``UsageError`` where the target is a number.
        """
        if not self.predictor.task.is_classification:
            message = f"{self.predictor.task.target!r} is a {self.predictor.task.kind} target; use predict"
            raise UsageError(message)
        probabilities = self._prediction(source).probabilities
        assert probabilities is not None
        return probabilities

    def export(self, path: str | Path, sample: object) -> ExportCheck:
        """Write the model as one ONNX file, preprocessing included, checked on the rows of ``sample`` first.

        ``sample`` is a table as in :func:`fit`. Raises as `lanewise.deploy.onnx_export.export_onnx`.
        """
        from lanewise.deploy.onnx_export import export_onnx

        return export_onnx(self.predictor, Path(path), read_rows(self.predictor.contract, sample))

    def _prediction(self, source: object) -> Prediction:
        return self.predictor.predict(read_rows(self.predictor.contract, source))

    def __repr__(self) -> str:
        return summary(self.document, width=PRINTED_COLUMNS, color=False, report=str(self.report)).rstrip()

    def _repr_html_(self) -> str:
        # The report is a document of its own: in a frame, its styles and names cannot reach those of the notebook.
        return (
            f'<iframe srcdoc="{escape(render(self.document))}" sandbox="allow-scripts" title="Lanewise report" '
            f'style="width: 100%; height: {FRAME_HEIGHT}px; border: 0"></iframe>'
        )


def load(reference: str = "last") -> Fit:
    """A finished run, ready to predict, by its id, the beginning of one, its last four letters, or ``last``.

    Raises ``UsageError`` where no run is meant or it is not done, ``StoreError`` where its files are damaged.
    """
    with RunStore.open(to_read=True) as store:
        run = store.get(reference)
    document = run.document
    if run.status == "done" and run.config.get("kind") == "tune":
        if lost := lost_model(run):
            raise UnavailableError(lost)
        message = (
            f"run {run.id} is a tune: its weights are for your own module, "
            f"load_state_dict(safetensors.torch.load_file({str(run.model / 'model.safetensors')!r}))"
        )
        raise UsageError(message)
    if run.status != "done" or document is None:
        hint = f": {run.error}" if run.error else f"; go on with: lanewise.resume({run.id!r})"
        message = f"run {run.id} is {run.status} and has no model{hint}"
        raise UsageError(message)
    with reading_model(run):
        return Fit(run=run.id, folder=run.folder, document=document, predictor=load_predictor(run.model))
