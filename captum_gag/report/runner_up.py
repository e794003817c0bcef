"""The best explanation by each metric beside the runner-up: how much, how surely, on which images either is ahead."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from captum_gag.reliability.directions import higher_is_better
from captum_gag.reliability.scores import by_metric
from captum_gag.report.answers import nearest_rivals
from captum_gag.report.notes import of_metrics
from captum_gag.report.pairs import beside, compared, farthest


class Duel(NamedTuple):
    """Two methods by one metric.

    Attributes:
        metric: Its label.
        methods: The best explanation and the runner-up.
        words: How they compare.
        images: On which either is ahead most, as ``pairs.extremes`` returns them.
    """

    metric: str
    methods: list[str]
    words: str
    images: list[dict[Any, Any]]


def duels(scores: pd.DataFrame, rows: pd.DataFrame, n_bootstrap: int, seed: int) -> list[Duel]:
    """Return one for each metric by which two explanations can be compared.

    Args:
        scores: A checked score table.
        rows: As ``tables.comparison`` returns them.
        n_bootstrap: Resamples of the images, for the intervals.
        seed: Of the resamples.
    """
    found, tables, directions = [], by_metric(scores), higher_is_better(scores)
    for metric, of_metric in of_metrics(rows):
        best, others = of_metric[of_metric["best"]], nearest_rivals(of_metric)
        if best.empty or others.empty:
            continue
        one, other = str(best["method"].iloc[0]), str(others["method"].iloc[0])
        # p is corrected over all metrics.
        both = list(beside(tables, directions, one, other))
        of_both = compared(both, one, other, n_bootstrap, seed)
        images = farthest([each for each in both if each[0] == metric], one, other).to_dict("records")
        found.append(Duel(metric, [one, other], _in_words(of_both[of_both["metric"].eq(metric)].iloc[0]), images))
    return found


def _in_words(row: pd.Series) -> str:
    if not row["images"]:
        return "No image has a score of both."
    between = "" if np.isnan(row["low"]) else f" [{row['low']:+.3f}, {row['high']:+.3f}]"
    tested = "" if np.isnan(row["p"]) else f"; p = {row['p']:.2g} (Wilcoxon, Holm-corrected over the metrics)"
    equal = f", equal on {row['ties']}" if row["ties"] else ""
    return (
        f"{row['method']} is better on {row['share']:.0%} of {row['images']} images{equal}; the mean difference is "
        f"{row['difference']:+.3f}{between}, effect size {row['effect']:+.2f}{tested}."
    )
