"""Tables of scores: one for the terminal, one for the disk."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from statistics import fmean

from rich.box import SIMPLE
from rich.table import Table
from rich.text import Text

Row = Mapping[str, str | int | float]
"""At least image, method, metric and score."""


def score_table(rows: Sequence[Row]) -> Table:
    """Lays out scores with a line per image and metric, and a column per method.

    The best score of a line is bold, and with two images or more the last line of each metric is the mean
    over its images, without the scores that are NaN.

    Args:
        rows (Sequence of Row): image, method, metric, score; label and probability are shown if present.

    Returns:
        rich.table.Table: Ready to print.
    """
    methods = list(dict.fromkeys(str(row["method"]) for row in rows))
    table = Table("image", "class", "metric", box=SIMPLE)
    for method in methods:
        table.add_column(Text(method), justify="right")
    for metric in dict.fromkeys(str(row["metric"]) for row in rows):
        chosen = [row for row in rows if row["metric"] == metric]
        lines: dict[str, dict[str, Row]] = {}
        for row in chosen:
            lines.setdefault(str(row["image"]), {})[str(row["method"])] = row
        for image, line in lines.items():
            scores = {method: float(row["score"]) for method, row in line.items()}
            table.add_row(Text(image), _predicted(next(iter(line.values()))), Text(metric), *_cells(methods, scores))
        if len(lines) > 1:
            means = {method: _mean(row["score"] for row in chosen if row["method"] == method) for method in methods}
            table.add_row(Text("mean", "italic"), "", Text(metric), *_cells(methods, means))
    return table


def _predicted(row: Row) -> Text:
    probability = f" {float(row['probability']):.0%}" if "probability" in row else ""
    return Text(f"{row.get('label', '')}{probability}")


def _mean(scores: Iterable[str | int | float]) -> float:
    known = [float(score) for score in scores if not math.isnan(float(score))]
    return fmean(known) if known else math.nan


def _cells(methods: Sequence[str], scores: Mapping[str, float]) -> list[Text]:
    best = max((score for score in scores.values() if not math.isnan(score)), default=math.nan)
    shown = [scores.get(method, math.nan) for method in methods]
    return [Text(f"{score:.4f}", "bold" if score == best else "") for score in shown]


def method_table(rows: Sequence[Mapping[str, str]]) -> Table:
    """Lays out the catalogue of methods, a line each.

    Args:
        rows (Sequence of Mapping): name, summary, parts, source.

    Returns:
        rich.table.Table: Ready to print.
    """
    table = Table("method", "what it is", "parts", "source", box=SIMPLE)
    for row in rows:
        table.add_row(*(Text(row[key]) for key in ("name", "summary", "parts", "source")))
    return table


def write_scores(path: Path, rows: Sequence[Row]) -> None:
    """Writes scores as CSV (UTF-8), with the keys of the first row as columns.

    Args:
        path (Path): The file to write.
        rows (Sequence of Row): At least one, all with the same keys.
    """
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
