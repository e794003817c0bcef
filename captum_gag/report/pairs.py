"""Two methods beside each other: by how much, how surely and on which images one is better, by each metric."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Literal, TypeAlias

import numpy as np
import pandas as pd
from rich.box import SIMPLE
from rich.console import Group
from rich.table import Table
from rich.text import Text

from captum_gag.errors import InputError
from captum_gag.options import unknown
from captum_gag.reliability.bootstrap import N_BOOTSTRAP, mean_interval
from captum_gag.reliability.directions import higher_is_better
from captum_gag.reliability.scores import by_metric, checked, collapsed
from captum_gag.report.notes import direction, few_images
from captum_gag.report.paired_tests import CONFIDENCE, SIGNIFICANT, holm, rank_biserial, wilcoxon
from captum_gag.report.writing import markdown_table, markdown_text, save_csv, save_text

Both: TypeAlias = tuple[str, bool | None, pd.DataFrame]
"""Metric, its direction and, of each image that both methods have a score for, both and their difference."""


def paired(
    scores: pd.DataFrame, method: str, rival: str, n_bootstrap: int = N_BOOTSTRAP, seed: int = 0
) -> pd.DataFrame:
    """Compare two methods over the images that both have a score for.

    Args:
        scores: A score table; see ``reliability.read_scores``.
        method: One of its methods, controls and manipulated maps included.
        rival: Another.
        n_bootstrap: Resamples of the images, for the interval.
        seed: Of the resamples.

    Returns:
        A row per metric: metric, method, rival, higher_is_better, images, mean and rival_mean (over these images),
        difference (the mean difference, positive where the method is better; where it is not known whether higher is
        better, where it is higher), low and high (its 95 % interval by bootstrap-t; NaN where the images are too few),
        p (Wilcoxon signed-rank test, Holm-corrected over the metrics), effect (see ``rank_biserial``; positive as the
        difference), share (of the images on which the method is better), ties (images on which both are equal).

    Raises:
        InputError: The scores are not a score table, or these are not two of its methods.
    """
    return compared(_both(collapsed(checked(scores)), method, rival), method, rival, n_bootstrap, seed)


def compared(both: Iterable[Both], method: str, rival: str, n_bootstrap: int, seed: int) -> pd.DataFrame:
    """Return what ``paired`` does, of scores as ``beside`` yields them."""
    rows = []
    for metric, higher, table in both:
        gains = table["difference"].to_numpy()
        low, high = mean_interval(gains, n_bootstrap, CONFIDENCE, seed) if len(gains) else (np.nan, np.nan)
        rows.append(
            {
                "metric": metric,
                "method": method,
                "rival": rival,
                "higher_is_better": higher,
                "images": len(gains),
                "mean": table["score"].mean(),
                "rival_mean": table["rival_score"].mean(),
                "difference": table["difference"].mean(),
                "low": low,
                "high": high,
                "p": wilcoxon(gains),
                "effect": rank_biserial(gains),
                "share": (gains > 0).mean() if len(gains) else np.nan,
                "ties": int((gains == 0).sum()),
            }
        )
    found = pd.DataFrame(rows).astype({"higher_is_better": object})
    return found.assign(p=list(holm(dict(zip(found["metric"], found["p"], strict=True))).values()))


def extremes(scores: pd.DataFrame, method: str, rival: str, n: int = 3) -> pd.DataFrame:
    """Return the images on which one of two methods is ahead of the other most.

    Args:
        scores: As for ``paired``.
        method: One of its methods.
        rival: Another.
        n: Images at either end, at most.

    Returns:
        A row per metric and image: metric, ahead (the method that is better), image, score, rival_score, difference (as
        that of ``paired``); first where the method is ahead, then where the rival is, the largest difference first.

    Raises:
        InputError: As ``paired``.
    """
    return farthest(_both(scores, method, rival), method, rival, n)


def farthest(both: Iterable[Both], method: str, rival: str, n: int = 3) -> pd.DataFrame:
    """Return what ``extremes`` does, of scores as ``beside`` yields them."""
    parts = []
    for metric, _, table in both:
        ordered = table.sort_values("difference", kind="stable").reset_index()
        ends = {
            method: ordered[ordered["difference"] > 0].iloc[::-1].head(n),
            rival: ordered[ordered["difference"] < 0].head(n),
        }
        parts += [end.assign(metric=metric, ahead=name) for name, end in ends.items()]
    return pd.concat(parts, ignore_index=True)[["metric", "ahead", "image", "score", "rival_score", "difference"]]


def _both(scores: pd.DataFrame, method: str, rival: str) -> Iterator[Both]:
    scores = checked(scores)
    known = list(scores["method"].unique())
    for name in (method, rival):
        if name not in known:
            raise unknown("method", name, known)
    if method == rival:
        raise InputError(f"{method} cannot be compared with itself; expected another method of {', '.join(known)}")
    yield from beside(by_metric(scores), higher_is_better(scores), method, rival)


def beside(
    tables: Mapping[str, pd.DataFrame], directions: Mapping[str, bool | None], method: str, rival: str
) -> Iterator[Both]:
    """Yield the scores of two methods by each metric.

    Args:
        tables: As ``reliability.scores.by_metric`` returns them.
        directions: As ``directions.higher_is_better`` returns them.
        method: One of the methods.
        rival: Another.
    """
    for metric, higher in directions.items():
        table = tables[metric].reindex(columns=[method, rival]).dropna()
        table = table.set_axis(["score", "rival_score"], axis=1)
        sign = -1 if higher is False else 1
        yield metric, higher, table.assign(difference=sign * (table["score"] - table["rival_score"]))


def notes(rows: pd.DataFrame) -> list[str]:
    """Return what the reader of the comparison must know."""
    method = rows["method"].iloc[0]
    found = [
        f"Difference: mean over the images that both have a score for, positive where {method} is better, with its "
        f"95 % interval by bootstrap-t. *: p < {SIGNIFICANT} (Wilcoxon signed-rank test, after Holm's correction over "
        f"the metrics). Effect: rank-biserial correlation, from -1 to 1. Better on: share of the images on which "
        f"{method} is."
    ]
    # All differences of one sign have the least p that there is.
    few = rows[rows["low"].isna() | (2.0 ** (1 - rows["images"]) * len(rows) >= SIGNIFICANT)]
    found += [f"{row['metric']}: {few_images(str(row['images']))}." for row in few.to_dict("records")]
    undirected = ", ".join(rows.loc[rows["higher_is_better"].isna(), "metric"])
    if undirected:
        found.append(f"By {undirected} it is not known whether higher is better: positive is where {method} is higher.")
    return found


def printable(rows: pd.DataFrame, ends: pd.DataFrame) -> Group:
    """Lay ``paired`` and ``extremes`` out for the terminal."""
    table, laid = Table(box=SIMPLE), _cells(rows, "\n")
    for column in laid:
        justify: Literal["left", "right"] = "left" if column == "metric" else "right"
        table.add_column(Text(str(column)), justify=justify, no_wrap=column == "difference")
    for line in laid.itertuples(index=False):
        table.add_row(*map(Text, line))
    return Group(table, *(Text(f"{note}\n") for note in notes(rows)), Text("\n".join(_in_words(ends))))


def save_pair(rows: pd.DataFrame, ends: pd.DataFrame, directory: Path) -> list[Path]:
    """Write pair.md, pair.csv and pair_images.csv."""
    directory.mkdir(parents=True, exist_ok=True)
    written = [directory / name for name in ("pair.md", "pair.csv", "pair_images.csv")]
    table = markdown_table(_cells(rows, " "), index=False)
    said = [markdown_text(note).replace("*", r"\*") for note in [*notes(rows), *_in_words(ends)]]
    save_text("\n\n".join([table, *said]) + "\n", written[0])
    return [written[0], save_csv(rows, written[1]), save_csv(ends, written[2])]


def _cells(rows: pd.DataFrame, between: str) -> pd.DataFrame:
    """Lay the comparison out as text, a row per metric, with this between two parts of a cell."""
    lines = []
    for place, row in enumerate(rows.to_dict("records")):
        star = "*" if row["p"] < SIGNIFICANT else ""
        reach = "" if np.isnan(row["low"]) else f"{between}[{row['low']:+.3f}, {row['high']:+.3f}]"
        line = {
            "metric": f"{row['metric']}{between}({direction(rows.iloc[[place]])})",
            "n": str(row["images"]),
            row["method"]: f"{row['mean']:.3f}",
            row["rival"]: f"{row['rival_mean']:.3f}",
            "difference": f"{row['difference']:+.3f}{star}{reach}",
            "p": f"{row['p']:.2g}",
            "effect": f"{row['effect']:+.2f}",
            "better on": f"{row['share']:.0%}",
        }
        lines.append({name: "-" if text in ("nan", "+nan", "nan%") else text for name, text in line.items()})
    return pd.DataFrame(lines)


def _in_words(ends: pd.DataFrame) -> list[str]:
    return [
        f"By {metric} {ahead} is ahead most on {', '.join(map(str, images))}."
        for (metric, ahead), images in ends.groupby(["metric", "ahead"], sort=False)["image"]
    ]
