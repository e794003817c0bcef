"""Tables 1 and 2 of Tomsett et al. (2019), from a run of the suite metric-reliability, beside the published ones."""

from __future__ import annotations

import numpy as np
import pandas as pd

from captum_gag.papers.layout import PaperTable
from captum_gag.papers.published import tomsett_alpha, tomsett_rho
from captum_gag.reliability import inter_rater, internal_consistency
from captum_gag.reliability.scores import LABEL, checked, is_edges, judged

METHODS = ("Sensitivity", "Gradient x Input", "DeepSHAP", "Deep Taylor", "Sobel")
"""Those that the paper compares, by the names of the suite."""

CONFIDENCE = 0.999
"""Of the paper's intervals."""

PERTURBATIONS = {"mean": "mean", "uniform_rgb": "uniform RGB"}
EDGES = {"with": "with edges", "without": "without edges"}


def tables(scores: pd.DataFrame) -> list[PaperTable]:
    """Return the paper's tables, as far as there are scores for them.

    Args:
        scores: A score table whose methods and metrics have the labels of the suite metric-reliability; others are
            left out.

    Returns:
        Table 1 (Krippendorff's alpha) and Table 2 (Spearman's rho between metrics, scores as they are).

    Raises:
        InputError: The scores are not a score table.
    """
    known = judged(checked(scores))
    known = known[known["method"].isin(METHODS)]
    found = [_alphas(known), _correlations(known)] if len(known) else []
    return [each for each in found if each.cells["ours"].notna().any()]


def _alphas(scores: pd.DataFrame) -> PaperTable:
    published = tomsett_alpha()
    published["label"] = [_label(*each) for each in published[["metric", "perturbation"]].itertuples(index=False)]
    wanted = scores[scores[LABEL].isin(published["label"])]
    parts = {"with": wanted if is_edges(wanted).any() else wanted.iloc[:0], "without": wanted[~is_edges(wanted)]}
    ours = {edges: inter_rater(part, CONFIDENCE) if len(part) else pd.DataFrame() for edges, part in parts.items()}
    cells = [
        {
            "row": row.metric,
            "column": f"{EDGES[row.edge_detection]}, {PERTURBATIONS[row.perturbation]}",
            **_numbers(ours[row.edge_detection], row.label, "alpha"),
            "published": row.alpha,
        }
        for row in published.itertuples()
    ]
    title = "Tomsett et al. (2019), Table 1: Krippendorff's alpha between images [99.9 %]"
    return PaperTable("tomsett-2019-table-1", title, 2, pd.DataFrame(cells).assign(note=""))


def _correlations(scores: pd.DataFrame) -> PaperTable:
    published = tomsett_rho()
    published["one"], published["other"] = (published[name].map(_at_100) for name in ("metric_a", "metric_b"))
    wanted = scores[scores[LABEL].isin([*published["one"], *published["other"]])]
    # Scores as they are: as if higher were better by all of them.
    found = pd.DataFrame(columns=["method", "metric", "other"])
    if len(wanted):
        found = internal_consistency(wanted.assign(higher_is_better=True), CONFIDENCE)
    ours = {
        (row["method"], frozenset((row["metric"], row["other"]))): pd.DataFrame([row], index=["rho"])
        for row in found.to_dict("records")
    }
    cells = [
        {
            "row": row.method,
            "column": f"{row.metric_a} / {row.metric_b}".replace("uniform_rgb", "uniform RGB"),
            **_numbers(ours.get((row.method, frozenset((row.one, row.other))), pd.DataFrame()), "rho", "rho"),
            "published": row.spearman_rho,
        }
        for row in published.itertuples()
    ]
    title = "Tomsett et al. (2019), Table 2: Spearman's rho between metrics over the images, AOPC at L = 100 [99.9 %]"
    return PaperTable("tomsett-2019-table-2", title, 2, pd.DataFrame(cells).assign(note=""))


def _numbers(table: pd.DataFrame, row: str, statistic: str) -> dict[str, float]:
    """Return what a row of a table says; NaN where there is none."""
    names = {"ours": statistic, "low": "low", "high": "high", "images": "images"}
    known = row in table.index
    return {name: float(table.at[row, column]) if known else np.nan for name, column in names.items()}


def _label(metric: str, perturbation: str) -> str:
    """Return the label of one of our metrics: the paper's ``AOPC MoRF L=20`` on mean is ``AOPC MoRF (mean) L=20``."""
    name, _, steps = metric.partition(" L=")
    return f"{name} ({perturbation})" + (f" L={steps}" if steps else "")


def _at_100(metric: str) -> str:
    return f"{metric} L=100" if metric.startswith("AOPC") else metric
