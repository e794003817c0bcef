"""Tables of scores and of methods: for the terminal, as Markdown, LaTeX and CSV, with what differs significantly."""

from __future__ import annotations

import csv
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import pandas as pd
from rich.box import SIMPLE
from rich.console import Group
from rich.table import Table
from rich.text import Text

from captum_gag.files import without_directories
from captum_gag.reliability.bootstrap import N_BOOTSTRAP, mean_intervals
from captum_gag.reliability.directions import higher_is_better, known_bounds
from captum_gag.reliability.scores import by_metric, checked, collapsed
from captum_gag.report.notes import DAGGER, headings, marked, marked_name, notes
from captum_gag.report.paired_tests import (
    CONFIDENCE,
    SIGNIFICANT,
    holm,
    rank_biserial,
    roles_of,
    unbeaten_baselines,
    wilcoxon,
)
from captum_gag.report.writing import latex_text, markdown_table, markdown_text, save_csv, save_parquet, save_text

Row = Mapping[str, Any]
"""At least image, method, metric and score."""


def comparison(
    scores: pd.DataFrame, published: Mapping[str, Any] | None = None, n_bootstrap: int = N_BOOTSTRAP, seed: int = 0
) -> pd.DataFrame:
    """Compare the methods of each metric with its best explanation.

    Controls (the column control) and manipulated maps (the column transform) are no explanations: they have their
    means, but they are never best, and are left out of the tests. Whether an explanation beats random orderings and
    edges is asked as ``reliability.against_baselines`` asks it, with the same answer.

    Args:
        scores: A score table; see ``reliability.read_scores``.
        published: Per metric, published means by method.
        n_bootstrap: Resamples of the images, for the intervals.
        seed: Of the resamples.

    Returns:
        A row per metric and method: role ("" of an explanation, else random, edges, constant, truth or manipulated),
        higher_is_better (None where it is not known; then no method is best), mean, low and high (95 % bootstrap
        interval), images, published, best, p (Wilcoxon signed-rank test of the best against it over the images that
        both have a score for, Holm-corrected over the explanations of the metric; NaN for the best, for what is no
        explanation, and where there is nothing to test), effect (of the best against it, see ``rank_biserial``),
        testable (whether any scores of so many images and explanations could give a p below 0.05), unbeaten (of random
        orderings and edges: whether no explanation beats them; of what else is no explanation: whether its mean is
        better than those of all explanations; None where that cannot be told).

    Raises:
        InputError: The scores are not a score table.
    """
    scores = collapsed(checked(scores))
    tables, roles = by_metric(scores), roles_of(scores)
    intervals = mean_intervals(tables, n_bootstrap, CONFIDENCE, seed, known_bounds(scores))
    directions = higher_is_better(scores)
    beaten = unbeaten_baselines(scores, directions, n_bootstrap, seed)
    rows = []
    for metric, higher in directions.items():
        table = tables[metric]
        table = table[[name for name in scores["method"].unique() if name in table]]
        oriented = -table if higher is False else table
        means = oriented.mean()
        explained = means[[name for name in table if not roles[name]]].dropna()
        best = explained.idxmax() if len(explained) and higher is not None else None
        gains = oriented.rsub(oriented[best], axis=0) if best is not None else oriented * np.nan
        rivals = [name for name in explained.index if best not in (None, name)]
        p_values = holm({name: wilcoxon(gains[name]) for name in rivals})
        # All differences of one sign have the least p that there is.
        least = holm({name: 2.0 ** (1 - gains[name].notna().sum()) for name in rivals})
        for method in table:
            low, high = intervals[metric, method]
            role, ahead = roles[method], None
            if role and best is not None and not np.isnan(means[method]):
                # Means that differ by rounding alone are equal.
                ahead = means[method] - means[best] > 1e-12 * abs(means[best])
                ahead = beaten.get((metric, method), bool(ahead))
            rows.append(
                {
                    "metric": metric,
                    "method": method,
                    "role": role,
                    "higher_is_better": higher,
                    "mean": table[method].mean(),
                    "low": low,
                    "high": high,
                    "images": int(table[method].notna().sum()),
                    "published": (published or {}).get(metric, {}).get(method, np.nan),
                    "best": method == best,
                    "p": p_values.get(method, np.nan),
                    "effect": np.nan if method == best else rank_biserial(gains[method]),
                    "testable": bool(least.get(method, np.nan) < SIGNIFICANT),
                    "unbeaten": ahead,
                }
            )
    return pd.DataFrame(rows).astype({"higher_is_better": object, "unbeaten": object})


def printed_cells(rows: pd.DataFrame, embolden: Callable[[str], str] = str) -> pd.DataFrame:
    """Lay the comparison out as text: a row per method, a column per metric; the best of each metric emboldened."""
    texts = [_text(row, embolden) for row in rows.to_dict("records")]
    methods, metrics = list(rows["method"].unique()), list(rows["metric"].unique())
    cells = rows.assign(text=texts).pivot(index="method", columns="metric", values="text")
    return cells.reindex(index=methods, columns=metrics).fillna("").rename_axis(columns=None)


def printable(rows: pd.DataFrame, columns: int = 3) -> Group:
    """Lay the comparison out for the terminal: a line per method, a column per metric, so many columns at a time."""
    cells, heads, names = printed_cells(rows), headings(rows), marked(rows)
    bold = set(rows.loc[rows["best"], ["method", "metric"]].itertuples(index=False, name=None))
    tables = []
    for first in range(0, cells.shape[1], columns):
        table = Table("method", box=SIMPLE)
        part = cells.iloc[:, first : first + columns]
        for metric in part:
            table.add_column(Text("\n".join([str(metric), *heads[metric]])), justify="right")
        for method, line in part.iterrows():
            shown = [Text(text, "bold" if (method, metric) in bold else "") for metric, text in line.items()]
            table.add_row(Text(names[method]), *shown)
        tables.append(table)
    return Group(*tables, *(Text(f"{note}\n") for note in notes(rows)))


def save_tables(rows: pd.DataFrame, scores: pd.DataFrame, directory: Path) -> list[Path]:
    """Write table.md, table.tex, table.csv and scores.parquet."""
    directory.mkdir(parents=True, exist_ok=True)
    written = [directory / name for name in ("table.md", "table.tex", "table.csv", "scores.parquet")]
    cells = _headed(rows, printed_cells(rows, "**{}**".format))
    said = "\n\n".join(markdown_text(note).replace("*", r"\*") for note in notes(rows))
    save_text(f"{markdown_table(cells)}\n\n{said}\n", written[0])
    save_text(_latex(rows), written[1])
    save_csv(rows, written[2])
    save_parquet(scores, written[3])
    return written


def _headed(rows: pd.DataFrame, cells: pd.DataFrame) -> pd.DataFrame:
    """Return printed cells with direction and number of images beside each metric, and marked methods."""
    heads = {metric: f"{metric} ({', '.join(said)})" for metric, said in headings(rows).items()}
    return cells.rename(index=marked(rows), columns=heads)


def _latex(rows: pd.DataFrame) -> str:
    cells = _headed(rows, printed_cells(rows, r"\textbf{{{}}}".format))
    escaped = cells.rename(index=latex_text, columns=latex_text)
    first, *others = notes(rows)
    layout = "l" + "r" * len(cells.columns)
    table = escaped.to_latex(index_names=False, column_format=layout, caption=latex_text(first), position="htbp")
    said = "".join(f"\\par\\footnotesize {latex_text(note)}\n" for note in others)
    return str(table).replace("\\end{table}", f"{said}\\end{{table}}")


def _text(row: Mapping[Any, Any], embolden: Callable[[str], str]) -> str:
    if np.isnan(row["mean"]):
        return "-"
    mean = f"{row['mean']:.3f}"
    star = "*" if row["p"] < SIGNIFICANT else ""
    beside = "" if np.isnan(row["published"]) else f" (published {row['published']:.3f})"
    # One image has no interval.
    between = "" if np.isnan(row["low"]) else f" [{row['low']:.3f}, {row['high']:.3f}]"
    return f"{embolden(mean) if row['best'] else mean}{star}{between}{beside}"


def failures(scores: pd.DataFrame) -> pd.DataFrame:
    """List what failed in a run.

    Args:
        scores: The records of a run.

    Returns:
        A row per method and error, with the number of cells and the first image; all methods of an image that could
        not be read are one row.
    """
    failed = scores[scores["error"] != ""]
    # Runs of earlier versions kept where files lay.
    failed = failed.assign(error=failed["error"].map(without_directories))
    if not len(failed):
        return pd.DataFrame(columns=["method", "error", "cells", "image"])
    everything = failed.groupby(["image", "error"])["method"].transform("nunique") == scores["method"].nunique()
    named = failed.assign(method=failed["method"].mask(everything, "all methods"))
    grouped = named.groupby(["method", "error"], sort=False)
    return grouped.agg(cells=("image", "size"), image=("image", "first")).reset_index()


def score_table(rows: Sequence[Row]) -> Table:
    """Lay out scores with a line per image and metric, and a column per method.

    The best score of an explanation in a line is bold, and with two images or more the last line of each metric is the
    mean over its images, without the scores that are NaN.

    Args:
        rows: image, method, metric, score; label and probability are shown, and controls are marked, if present.

    Returns:
        Ready to print.
    """
    methods = {str(row["method"]): str(row.get("control", "")) for row in rows}
    metrics = list(dict.fromkeys(str(row["metric"]) for row in rows))
    several = len(metrics) > 1
    # As narrow as it may be: seven methods fit into a line of 80 characters.
    title = None if several else metrics[0]
    table = Table("image", *["metric"] * several, title=title, box=SIMPLE, padding=(0, 1, 0, 0))
    for method, control in methods.items():
        table.add_column(Text(marked_name(method, control)), justify="right", no_wrap=True)
    if any(methods.values()):
        table.caption = f"{DAGGER} control: shown for reference, never the best"
    for metric in metrics:
        chosen = [row for row in rows if row["metric"] == metric]
        lines: dict[str, dict[str, Row]] = {}
        for row in chosen:
            lines.setdefault(str(row["image"]), {})[str(row["method"])] = row
        for image, line in lines.items():
            scores = {method: float(row["score"]) for method, row in line.items()}
            described = f"{image} {_predicted(next(iter(line.values())))}".rstrip()
            about = [Text(described, overflow="fold"), *[Text(metric)] * several]
            table.add_row(*about, *_cells(methods, scores))
        if len(lines) > 1:
            means = {method: _mean(row["score"] for row in chosen if row["method"] == method) for method in methods}
            table.add_row(Text("mean", "italic"), *[Text(metric)] * several, *_cells(methods, means))
    return table


def _predicted(row: Row) -> str:
    probability = f" {float(row['probability']):.0%}" if "probability" in row else ""
    return f"{row.get('label', '')}{probability}"


def _mean(scores: Iterable[Any]) -> float:
    known = [float(score) for score in scores if not math.isnan(float(score))]
    return fmean(known) if known else math.nan


def _cells(methods: Mapping[str, str], scores: Mapping[str, float]) -> list[Text]:
    explained = [score for method, score in scores.items() if not methods[method] and not math.isnan(score)]
    best = max(explained, default=math.nan)
    shown = [scores.get(method, math.nan) for method in methods]
    return [
        Text(f"{score:.4f}", "bold" if score == best and not control else "")
        for score, control in zip(shown, methods.values(), strict=True)
    ]


def write_scores(path: Path, rows: Sequence[Row]) -> None:
    """Write scores as CSV (UTF-8), with the keys of the first row as columns.

    Args:
        path: The file to write.
        rows: At least one, all with the same keys.
    """
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
