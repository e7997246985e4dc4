"""The report of a run: energy and latency per layer, totals, provenance; as JSON, CSV, HTML page and figure.

A run counts activity and a report prices it, so the same run can be priced again with other costs.
"""

import csv
import io
import json
import math
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from devices.aliases import FloatArray, IntArray
from devices.errors import ParameterError
from mapping.files.whole_files import write_whole
from mapping.inference.scoring import predictions
from mapping.inference.traces import RunResult
from mapping.report.html_page import page, show_report
from mapping.report.plots import report_figure
from mapping.report.values import COLUMNS, ReportValues

if TYPE_CHECKING:
    from pandas import DataFrame


@dataclass(frozen=True)
class Report(ReportValues):
    """The report of a run or an estimate, with the functions that write it."""

    def to_json(self) -> str:
        """Return the report as JSON text."""
        return json.dumps(_plain(asdict(self)), indent=2, allow_nan=False)

    def to_csv(self) -> str:
        """Return the layers as CSV text, one row each, with columns for each component and each phase."""
        return _csv(COLUMNS, self.rows())

    def to_dataframe(self) -> "DataFrame":
        """Return the layers as a pandas DataFrame with the rows and columns of `to_csv`; the index is the name.

        Raises ParameterError if pandas is not installed.
        """
        try:
            import pandas as pd
        except ImportError:
            raise ParameterError(
                "to_dataframe needs pandas, which is not installed: pip install pandas, or use to_csv"
            ) from None
        return pd.DataFrame(self.rows(), columns=list(COLUMNS)).set_index("name")

    def to_html(self, result: RunResult | None = None) -> str:
        """Return the report as an HTML page that needs no other file.

        result: the run that was priced; with it the page also shows floor plan, worst array and attention.
        """
        return page(self, result)

    def save(
        self,
        folder: str | os.PathLike[str],
        result: RunResult | None = None,
        labels: IntArray | FloatArray | None = None,
    ) -> list[Path]:
        """Write report.json, report.csv, report.html and layers.png to a folder, all of them or none.

        result: as for to_html; with it predictions.csv is written too, with one line for each image.  labels: of these
        images, as for `price`.
        Raises ParameterError if the folder cannot be created or written, or unless there is one label per image.
        """
        writers = self._tables | {
            "report.html": lambda to: to.write_text(self.to_html(result), encoding="utf-8"),
            "layers.png": self._draw,
        }
        if result is not None:
            table = predictions(result, labels)
            writers["predictions.csv"] = lambda to: to.write_text(_csv(*table), encoding="utf-8")
        return write_whole(folder, writers)

    def save_tables(self, folder: str | os.PathLike[str]) -> list[Path]:
        """Write report.json and report.csv only, both or none.

        Raises ParameterError if the folder cannot be created or written.
        """
        return write_whole(folder, self._tables)

    @property
    def _tables(self) -> dict[str, Callable[[Path], object]]:
        return {
            "report.json": lambda to: to.write_text(self.to_json() + "\n", encoding="utf-8"),
            "report.csv": lambda to: to.write_text(self.to_csv(), encoding="utf-8"),
        }

    def _draw(self, path: Path) -> None:
        report_figure(self).savefig(path, dpi=150)

    def _repr_html_(self) -> str:
        """Return totals and layers as HTML, for notebooks."""
        return show_report(self)


def _csv(columns: Sequence[str], rows: Sequence[Mapping[str, object]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _plain(value: object) -> object:
    """Return a value that JSON can hold: arrays become lists, infinities and nan become texts."""
    if isinstance(value, dict):
        return {key: _plain(held) for key, held in value.items()}
    if isinstance(value, (list, tuple, np.ndarray)):
        return [_plain(held) for held in value]
    if isinstance(value, np.generic):
        value = value.item()
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value
