"""Figures of a run: what its curves look like, and how GAG depends on p."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
import scipy.stats
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from captum_gag.report.style import styled

GAG = re.compile(r"GAG-(\d+(?:\.\d+)?)")
STEP = "step k"


@styled
def curves(scores: pd.DataFrame) -> Figure:
    """Draws the curve that each metric's score sums up, per method: the mean over the images with its 95 % interval.

    Deletion and insertion: the probability of the class over the share of pixels. RCAP: the product of its factors at
    every percentile. AOPC: its value at every number of steps.

    Args:
        scores (DataFrame): method, metric, details, as a run has them.

    Returns:
        Figure: A panel per metric that has a curve, not known to pyplot.
    """
    found = curves_of(scores)
    metrics = list(found["metric"].unique())
    figure = Figure(figsize=(8, 0.5 + 3.2 * max(1, len(metrics))))
    for axes, metric in zip(figure.subplots(max(1, len(metrics)), squeeze=False)[:, 0], metrics, strict=False):
        of_metric = found[found["metric"] == metric]
        for method, rows in of_metric.groupby("method", sort=False):
            x, values = rows["x"].iloc[0], np.stack(list(rows["y"]))
            mean = np.nanmean(values, 0)
            [line] = axes.plot(x, mean, label=method)
            wide = 1.96 * scipy.stats.sem(values, nan_policy="omit") if len(values) > 1 else 0.0
            axes.fill_between(x, mean - wide, mean + wide, color=line.get_color(), alpha=0.15, lw=0)
        if of_metric["x_label"].iloc[0] == STEP:
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.set(title=metric, xlabel=of_metric["x_label"].iloc[0], ylabel=of_metric["y_label"].iloc[0])
        axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    return figure


def curves_of(scores: pd.DataFrame) -> pd.DataFrame:
    """Reads the curves in a run's details.

    Args:
        scores (DataFrame): image, method, metric, details.

    Returns:
        DataFrame: image, method, metric, x and y (arrays of equal length), x_label, y_label; a row per row of
        ``scores`` that has a curve and no NaN at its start.
    """
    columns = ["image", "method", "metric", "x", "y", "x_label", "y_label"]
    if "details" not in scores:
        return pd.DataFrame(columns=columns)
    rows = []
    with_details = scores.loc[[isinstance(text, str) and text != "" for text in scores["details"]]]
    for image, method, metric, text in with_details[["image", "method", "metric", "details"]].itertuples(index=False):
        curve = _curve({name: np.asarray(values, dtype=float) for name, values in json.loads(text).items()})
        if curve is not None and not np.isnan(curve[1][0]):
            rows.append((image, method, metric, *curve))
    return pd.DataFrame(rows, columns=columns)


@styled
def ablation(rows: pd.DataFrame) -> Figure:
    """Draws the mean score of GAG-p over p with its interval, the other methods as levels (Huang & Liu, Table 1).

    Args:
        rows (DataFrame): As `comparison` gives them.

    Returns:
        Figure: A panel per metric, not known to pyplot.
    """
    metrics = list(rows["metric"].unique())
    figure = Figure(figsize=(6.5, 0.3 + 3.2 * len(metrics)))
    for axes, metric in zip(figure.subplots(len(metrics), squeeze=False)[:, 0], metrics, strict=True):
        of_metric = rows[rows["metric"] == metric]
        ps = of_metric["method"].map(percentile_of)
        gag = of_metric.assign(p=ps).dropna(subset="p").sort_values("p")
        reach = np.stack([gag["mean"] - gag["low"], gag["high"] - gag["mean"]]).clip(min=0)
        axes.errorbar(gag["p"], gag["mean"], yerr=reach, marker="o", capsize=3, label="GAG-p")
        if gag["published"].notna().any():
            axes.plot(gag["p"], gag["published"], ls="", marker="D", mfc="none", color="black", label="published")
        for method, mean in of_metric.loc[ps.isna(), ["method", "mean"]].itertuples(index=False):
            axes.plot([0, 1], [mean, mean], lw=1, label=method, transform=axes.get_yaxis_transform())
        axes.set(title=metric, xlabel="percentile p of the guide", ylabel="mean score")
        axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    return figure


def percentile_of(method: str) -> float:
    """Gives the p of GAG-p, and NaN for any other method."""
    found = GAG.fullmatch(str(method))
    return float(found[1]) if found else float("nan")


def _curve(details: Mapping[str, NDArray[Any]]) -> tuple[NDArray[Any], NDArray[Any], str, str] | None:
    if details.keys() >= {"fractions", "probability"}:
        return details["fractions"], details["probability"], "share of the pixels", "probability"
    if "localization" in details:
        product = details["visual_noise"] * details["localization"]
        return np.arange(1, len(product) + 1), product, STEP, "share of saliency x probability"
    if "aopc" in details:
        # The last of so many steps is all of them, however many were kept.
        return np.linspace(0, 1, len(details["aopc"])), details["aopc"], "share of the steps", "AOPC"
    return None
