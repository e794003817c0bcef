"""The tables of a run: means with intervals beside the published values, and which differences are significant."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import scipy.stats
from rich.box import SIMPLE
from rich.console import Group
from rich.table import Table
from rich.text import Text

from captum_gag.reliability.bootstrap import mean_interval
from captum_gag.reliability.scores import sign

SIGNIFICANT = 0.05


def comparison(scores: pd.DataFrame, published: Mapping[str, Any] | None = None) -> pd.DataFrame:
    """Compares the methods of each metric with its best one.

    Args:
        scores (DataFrame): image, method, metric, score; perhaps higher_is_better.
        published (Mapping, optional): Per metric, published means by method.

    Returns:
        DataFrame: A row per metric and method: mean, low and high (95 % bootstrap interval), images, published, best,
        p (Wilcoxon signed-rank test against the best over the images that both have a score for, Holm-corrected over
        the methods of the metric; NaN for the best, and where there is nothing to test).
    """
    rows = []
    for metric, of_metric in scores.groupby("metric", sort=False):
        table = of_metric.pivot(index="image", columns="method", values="score")[list(of_metric["method"].unique())]
        means = table.mean() * sign(scores, str(metric))
        best = means.idxmax() if means.notna().any() else None
        p_values = holm(
            {name: _wilcoxon(table[name], table[best]) for name in table if best is not None and name != best}
        )
        for method in table:
            values = table[method].dropna().to_numpy()
            low, high = mean_interval(values, 10_000, 0.95, 0)
            rows.append(
                {
                    "metric": metric,
                    "method": method,
                    "mean": values.mean() if len(values) else np.nan,
                    "low": low,
                    "high": high,
                    "images": len(values),
                    "published": (published or {}).get(str(metric), {}).get(method, np.nan),
                    "best": method == best,
                    "p": p_values.get(method, np.nan),
                }
            )
    return pd.DataFrame(rows)


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """Corrects p values for being several (Holm, 1979); NaN stays and does not count."""
    known = sorted((p, name) for name, p in p_values.items() if not np.isnan(p))
    corrected = dict.fromkeys(p_values, np.nan)
    highest = 0.0
    for place, (p, name) in enumerate(known):
        highest = max(highest, min(1.0, (len(known) - place) * p))
        corrected[name] = highest
    return corrected


def _wilcoxon(values: pd.Series, best: pd.Series) -> float:
    differences = (values - best).dropna()
    if not (differences != 0).any():
        return float("nan")
    return float(scipy.stats.wilcoxon(differences).pvalue)


def printed_cells(rows: pd.DataFrame, embolden: Callable[[str], str] = str) -> pd.DataFrame:
    """Lays the comparison out as text: a row per method, a column per metric; the best of each metric emboldened."""
    texts = [_text(row, embolden) for row in rows.to_dict("records")]
    methods, metrics = list(rows["method"].unique()), list(rows["metric"].unique())
    cells = rows.assign(text=texts).pivot(index="method", columns="metric", values="text")
    return cells.reindex(index=methods, columns=metrics).fillna("").rename_axis(columns=None)


def printable(rows: pd.DataFrame, columns: int = 3) -> Group:
    """Lays the comparison out for the terminal: a line per method, a column per metric, so many columns at a time."""
    cells = printed_cells(rows)
    bold = set(rows.loc[rows["best"], ["method", "metric"]].itertuples(index=False, name=None))
    tables = []
    for first in range(0, cells.shape[1], columns):
        table = Table("method", box=SIMPLE)
        part = cells.iloc[:, first : first + columns]
        for metric in part:
            table.add_column(Text(str(metric)), justify="right")
        for method, line in part.iterrows():
            shown = [Text(text, "bold" if (method, metric) in bold else "") for metric, text in line.items()]
            table.add_row(Text(str(method)), *shown)
        tables.append(table)
    return Group(*tables)


def save_tables(rows: pd.DataFrame, scores: pd.DataFrame, directory: Path) -> list[Path]:
    """Writes table.md, table.tex, table.csv and scores.parquet."""
    directory.mkdir(parents=True, exist_ok=True)
    written = [directory / name for name in ("table.md", "table.tex", "table.csv", "scores.parquet")]
    written[0].write_text(printed_cells(rows, "**{}**".format).to_markdown() + "\n", encoding="utf-8")
    written[1].write_text(_latex(rows), encoding="utf-8")
    rows.to_csv(written[2], index=False)
    scores.to_parquet(written[3], index=False)
    return written


def _latex(rows: pd.DataFrame) -> str:
    cells = printed_cells(rows, r"\textbf{{{}}}".format)
    escaped = cells.rename(index=_escape, columns=_escape)
    return str(escaped.to_latex(column_format="l" + "r" * len(cells.columns)))


def _escape(text: str) -> str:
    special = {"^": r"\textasciicircum{}", "_": r"\_", "%": r"\%", "&": r"\&", "#": r"\#", "$": r"\$"}
    return "".join(special.get(letter, letter) for letter in text)


def _text(row: Mapping[Any, Any], embolden: Callable[[str], str]) -> str:
    if np.isnan(row["mean"]):
        return "-"
    mean = f"{row['mean']:.3f}"
    star = "*" if row["p"] < SIGNIFICANT else ""
    beside = "" if np.isnan(row["published"]) else f" (published {row['published']:.3f})"
    return f"{embolden(mean) if row['best'] else mean}{star} [{row['low']:.3f}, {row['high']:.3f}]{beside}"
