"""The images that a run explains worst: lowest scores, with class and probability."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

import pandas as pd
from rich.console import Group
from rich.table import Table

from captum_gag.errors import InputError
from captum_gag.options import unknown
from captum_gag.reliability.scores import LABEL, checked
from captum_gag.report.captions import of_metrics, terminal_table
from captum_gag.report.table_files import save_csv
from captum_gag.report.tables import comparison

Ranked: TypeAlias = dict[tuple[str, str], pd.DataFrame]
"""Image and score, the worst first, by metric and the explanation with its best mean."""


def worst(scores: pd.DataFrame, methods: Sequence[str] = (), metrics: Sequence[str] = (), n: int = 10) -> pd.DataFrame:
    """Return the images with the worst scores, the worst first.

    Args:
        scores: The records of a run.
        methods: Whose scores; none takes the explanation with the best mean of each metric.
        metrics: By which, as tables label them; none takes all whose direction is known.
        n: Images of each.

    Returns:
        A row per metric, method and image: metric, method, higher_is_better, image, target, class ("" if unknown),
        probability, score.

    Raises:
        InputError: There is no such method or metric, or its direction is unknown.
    """
    scores = checked(scores)
    rows = comparison(scores)
    for kind, names in (("method", methods), ("metric", metrics)):
        for name in names:
            if name not in set(rows[kind]):
                raise unknown(kind, name, list(rows[kind].unique()))
    rows = rows[rows["metric"].isin(metrics)] if metrics else rows[rows["higher_is_better"].notna()]
    undirected = list(rows.loc[rows["higher_is_better"].isna(), "metric"].unique())
    if undirected or rows.empty:
        metric_names = ", ".join(undirected or scores[LABEL].unique())
        raise InputError(f"it is not known whether higher is better by {metric_names}; expected another --metric")
    rows = rows[rows["method"].isin(methods)] if methods else rows[rows["best"]]
    columns = ["metric", "method", "higher_is_better", "image", "target", "class", "probability", "score"]
    scores = scores.assign(**{"class": scores["label"].astype(object).fillna("") if "label" in scores else ""})
    parts = [
        _lowest(scores, row).head(n).assign(metric=row["metric"], higher_is_better=row["higher_is_better"])
        for row in rows.to_dict("records")
    ]
    return pd.concat(parts, ignore_index=True)[columns] if parts else pd.DataFrame(columns=columns)


def ranked(scores: pd.DataFrame, rows: pd.DataFrame) -> Ranked:
    """Rank the images by the scores of each metric's best mean, the worst first, by metric and explanation.

    Args:
        scores: A checked score table.
        rows: As ``tables.comparison`` returns them.
    """
    best = rows[rows["best"]].to_dict("records")
    return {(row["metric"], row["method"]): _lowest(scores, row)[["image", "score"]] for row in best}


def _lowest(scores: pd.DataFrame, row: Mapping[Any, Any]) -> pd.DataFrame:
    """Return the scores behind a row of a comparison, the worst first."""
    own = scores[scores[LABEL].eq(row["metric"]) & scores["method"].eq(row["method"]) & scores["score"].notna()]
    return own.sort_values("score", ascending=row["higher_is_better"], kind="stable")


def printable(rows: pd.DataFrame) -> Group:
    """Lay the worst images out for the terminal, a table for each metric and method."""
    return Group(
        *(
            _of_method(f"{metric}, {method}: the {len(lines)} worst images", lines)
            for metric, of_metric in of_metrics(rows)
            for method, lines in of_metric.groupby("method", sort=False)
        )
    )


def _of_method(title: str, rows: pd.DataFrame) -> Table:
    score = f"score\n{'higher' if rows['higher_is_better'].iloc[0] else 'lower'} is better"
    lines = [
        {
            "image": row["image"],
            "class": row["class"] or ("-" if pd.isna(row["target"]) else str(int(row["target"]))),
            "probability": "-" if pd.isna(row["probability"]) else f"{row['probability']:.0%}",
            score: f"{row['score']:.3f}",
        }
        for row in rows.to_dict("records")
    ]
    return terminal_table(pd.DataFrame(lines), title, left=2)


def save_worst(rows: pd.DataFrame, directory: Path) -> Path:
    """Write worst.csv."""
    directory.mkdir(parents=True, exist_ok=True)
    return save_csv(rows, directory / "worst.csv")
