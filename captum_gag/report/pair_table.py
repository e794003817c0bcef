"""Two methods beside each other: by how much, how surely and on which images one is better, by each metric."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from rich.console import Group
from rich.text import Text

from captum_gag.errors import InputError
from captum_gag.options import unknown
from captum_gag.reliability.directions import higher_is_better
from captum_gag.reliability.pairwise import ALPHA, pairwise, shared
from captum_gag.reliability.resampling import N_BOOTSTRAP
from captum_gag.reliability.scores import LABEL, by_metric, checked, collapsed, ranked_methods
from captum_gag.report.captions import direction, of_metrics, terminal_table
from captum_gag.report.table_files import markdown_table, markdown_text, save_csv, save_text


def paired(
    scores: pd.DataFrame,
    method: str,
    rival: str,
    n_bootstrap: int = N_BOOTSTRAP,
    seed: int = 0,
    *,
    tested: bool = True,
    margin: float | None = None,
) -> pd.DataFrame:
    """Compare two methods over the images that both have a score for.

    Args:
        scores: A score table; see ``reliability.read_scores``.
        method: One of its methods, controls and manipulated maps included.
        rival: Another.
        n_bootstrap: Resamples of the images.
        seed: Of the resamples.
        tested: Whether p, interval and decision are given; not of a run that was looked at until decided.
        margin: Difference up to which both are practically the same.

    Returns:
        The rows of ``reliability.pairwise`` of these two, one per metric whose direction is known, with p
        Holm-corrected over the metrics, decision by it, higher_is_better, and share (of the images on which the method
        is better).

    Raises:
        InputError: The scores are not a score table, or these are not two of its methods.
    """
    scores = collapsed(_with_both(scores, method, rival))
    pairs = pairwise(scores, [method, rival], alpha=ALPHA, margin=margin, n_bootstrap=n_bootstrap, seed=seed)
    rows = pairs[pairs["method"].eq(method)].reset_index(drop=True)
    if rows.empty:
        metrics = ", ".join(scores[LABEL].unique())
        raise InputError(f"it is not known whether higher is better by {metrics}; give the column higher_is_better")
    ordered = rows["p"].dropna().sort_values()
    holm = (ordered * np.arange(len(ordered), 0, -1)).cummax().clip(upper=1)
    rows = rows.assign(p=holm, share=rows["wins"] / rows["images"].where(rows["images"] > 0))
    rows["decision"] = rows["decision"].where(rows["decision"].isin(["open", "same"]) | (rows["p"] < ALPHA), "open")
    rows["higher_is_better"] = rows["metric"].map(higher_is_better(scores)).astype(object)
    return rows if tested else rows.assign(low=np.nan, high=np.nan, p=np.nan, decision="")


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
    scores = _with_both(scores, method, rival)
    tables = by_metric(scores)
    parts = [
        _farthest(tables[metric].reindex(columns=[method, rival]).dropna(), higher, n).assign(metric=metric)
        for metric, higher in higher_is_better(scores).items()
        if higher is not None
    ]
    columns = ["metric", "ahead", "image", "score", "rival_score", "difference"]
    return pd.concat(parts, ignore_index=True)[columns] if parts else pd.DataFrame(columns=columns)


def _farthest(both: pd.DataFrame, higher: bool, n: int = 3) -> pd.DataFrame:
    """Return the images on which one of two columns of scores is ahead of the other most; see ``extremes``."""
    method, rival = both
    table = both.set_axis(["score", "rival_score"], axis=1)
    difference = (1 if higher else -1) * (table["score"] - table["rival_score"])
    ordered = table.assign(difference=difference).sort_values("difference", kind="stable").reset_index()
    ends = (ordered[ordered["difference"] > 0].iloc[::-1].head(n), ordered[ordered["difference"] < 0].head(n))
    return pd.concat([end.assign(ahead=name) for end, name in zip(ends, (method, rival), strict=True)])


def nearest_pairs(scores: pd.DataFrame, rows: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the two explanations with the best means of each metric beside each other.

    Args:
        scores: A checked score table.
        rows: As ``tables.comparison`` returns them.

    Returns:
        metric, methods (the best mean first), words and images (rows of ``extremes``) of each metric with two.
    """
    compared, tables, pairs = ranked_methods(scores), by_metric(scores), []
    for metric, of_metric in of_metrics(rows[rows["role"].eq("") & rows["higher_is_better"].notna()]):
        higher = bool(of_metric["higher_is_better"].iloc[0])
        ordered = of_metric.dropna(subset="mean").sort_values("mean", ascending=not higher, kind="stable")
        if len(ordered) < 2:
            continue
        best, second = ordered.iloc[0], ordered.iloc[1]
        both = shared(tables[metric], compared)[[best["method"], second["method"]]]
        images = _farthest(both, higher).to_dict("records")
        words = _in_words(best, second)
        pairs.append({"metric": metric, "methods": list(both), "words": words, "images": images})
    return pairs


def _with_both(scores: pd.DataFrame, method: str, rival: str) -> pd.DataFrame:
    """Return the scores checked; raise InputError unless these are two of their methods."""
    scores = checked(scores)
    methods = list(scores["method"].unique())
    for name in (method, rival):
        if name not in methods:
            raise unknown("method", name, methods)
    if method == rival:
        raise InputError(f"{method} cannot be compared with itself; expected another method of {', '.join(methods)}")
    return scores


def _in_words(best: pd.Series, second: pd.Series) -> str:
    """Return the means of two methods and, where tested, their difference and its share of images, in sentences."""
    words = f"{best['method']} has mean {best['mean']:.3f} and {second['method']} {second['mean']:.3f}."
    if not second["decision"]:
        return words
    low, high = second["difference_low"], second["difference_high"]
    interval = "" if np.isnan(low) else f" [{low:+.3f}, {high:+.3f}] (95 %, for all pairs of the metric together)"
    equal = f", equal on {second['ties']:.0f}" if second["ties"] else ""
    p = "too few images to test" if np.isnan(second["p"]) else f"p = {second['p']:.2g}"
    return (
        f"{words} Mean difference {second['difference']:+.3f}{interval}; better on {second['wins']:.0f} of "
        f"{second['images']} images{equal}; {p}."
    )


def notes(rows: pd.DataFrame) -> list[str]:
    """Return the legend of the comparison."""
    method = rows["method"].iloc[0]
    legend = (
        f"Difference: mean over the images that both have a score for, positive where {method} is better. "
        f"Better on: share of the images on which {method} is."
    )
    if rows["p"].notna().any():
        legend += (
            " In brackets its 95 % interval by bootstrap-t, of each metric alone. *: better on average and on most "
            "images (bootstrap-t and sign test, p < 0.05 after Holm's correction over the metrics)."
        )
    if rows["decision"].eq("same").any():
        legend += " \N{ALMOST EQUAL TO}: practically the same (the interval is within the margin)."
    if rows["decision"].eq("").all():
        legend += " The run was looked at until decided: p values and intervals would not hold, its decisions do."
    return [legend]


def printable(rows: pd.DataFrame, ends: pd.DataFrame) -> Group:
    """Lay ``paired`` and ``extremes`` out for the terminal."""
    legend = (Text(f"{note}\n") for note in notes(rows))
    return Group(terminal_table(_cells(rows, "\n")), *legend, Text("\n".join(_ahead_most(ends))))


def save_pair(rows: pd.DataFrame, ends: pd.DataFrame, directory: Path) -> list[Path]:
    """Write pair.md, pair.csv and pair_images.csv."""
    directory.mkdir(parents=True, exist_ok=True)
    written = [directory / name for name in ("pair.md", "pair.csv", "pair_images.csv")]
    table = markdown_table(_cells(rows, " "), index=False)
    sentences = [markdown_text(note).replace("*", r"\*") for note in [*notes(rows), *_ahead_most(ends)]]
    save_text("\n\n".join([table, *sentences]) + "\n", written[0])
    return [written[0], save_csv(rows, written[1]), save_csv(ends, written[2])]


def _cells(rows: pd.DataFrame, between: str) -> pd.DataFrame:
    """Lay the comparison out as text, a row per metric, with this between two parts of a cell."""
    lines = []
    for index, row in rows.iterrows():
        mark = {"better": "*", "worse": "*", "same": "\N{ALMOST EQUAL TO}"}.get(row["decision"], "")
        interval = "" if np.isnan(row["low"]) else f"{between}[{row['low']:+.3f}, {row['high']:+.3f}]"
        line = {
            "metric": f"{row['metric']}{between}({direction(rows.loc[[index]])})",
            "n": str(row["images"]),
            row["method"]: f"{row['mean']:.3f}",
            row["rival"]: f"{row['rival_mean']:.3f}",
            "difference": f"{row['difference']:+.3f}{mark}{interval}",
            "p": f"{row['p']:.2g}",
            "better on": f"{row['share']:.0%}",
        }
        lines.append({name: "-" if text in ("nan", "+nan", "nan%", "") else text for name, text in line.items()})
    return pd.DataFrame(lines)


def _ahead_most(ends: pd.DataFrame) -> list[str]:
    return [
        f"By {metric} {ahead} is ahead most on {', '.join(map(str, images))}."
        for (metric, ahead), images in ends.groupby(["metric", "ahead"], sort=False)["image"]
    ]
