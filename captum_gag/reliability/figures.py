"""The figures of the second paper, and of the checks that it lacks."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from captum_gag.reliability.agreement import consistency_matrix
from captum_gag.reliability.scores import is_random, metrics_of, steps_of
from captum_gag.report.style import COLOURS, styled


@styled
def distributions(scores: pd.DataFrame) -> Figure:
    """Draws the scores of each method as a violin, with mean, median and quartiles; a panel per metric (Figure 2 b)."""
    metrics = metrics_of(scores)
    figure = Figure(figsize=(8, 2.6 * len(metrics)))
    for axes, metric in zip(figure.subplots(len(metrics), squeeze=False)[:, 0], metrics, strict=True):
        of_metric = scores[scores["metric"] == metric].dropna(subset="score")
        groups = {name: group["score"].to_numpy() for name, group in of_metric.groupby("method", sort=False)}
        groups = {name: values for name, values in groups.items() if len(values) > 1}
        places = np.arange(len(groups))
        if groups:
            bodies = axes.violinplot(list(groups.values()), places, showextrema=False)["bodies"]
            for body in bodies:
                body.set_facecolor(COLOURS[0])
            quartiles = np.stack([np.quantile(values, [0.25, 0.5, 0.75]) for values in groups.values()])
            axes.vlines(places, quartiles[:, 0], quartiles[:, 2], color="black", lw=3, label="quartiles")
            axes.plot(places, quartiles[:, 1], "o", mfc="white", mec="black", ms=5, label="median")
            axes.plot(places, [values.mean() for values in groups.values()], "kx", label="mean")
            axes.legend(ncols=3)
        axes.set_xticks(places, list(groups), rotation=30, ha="right")
        axes.set_title(metric)
    return figure


@styled
def curves(scores: pd.DataFrame, confidence: float = 0.95) -> Figure:
    """Draws each method's mean score minus the random orderings', over the number of steps (Figure 2 a).

    Metrics are those named with their steps (``AOPC MoRF L=20``). The band around a line is the normal interval of the
    mean; the grey one holds the central share of the random orderings' means. Without random orderings, 0 is 0.
    """
    stepped = {metric: found for metric in metrics_of(scores) if (found := steps_of(metric))}
    families = list(dict.fromkeys(family for family, _ in stepped.values()))
    figure = Figure(figsize=(8, 3.2 * len(families)))
    for axes, family in zip(figure.subplots(len(families), squeeze=False)[:, 0], families, strict=True):
        steps = {metric: length for metric, (of, length) in stepped.items() if of == family}
        table = scores[scores["metric"].isin(steps)].assign(steps=lambda rows: rows["metric"].map(steps))  # noqa: B023
        by_random = table["method"].map(lambda name: is_random(str(name)))
        orderings = table[by_random].pivot_table(index="steps", columns="method", values="score")
        centre = orderings.mean(axis=1) if len(orderings) else pd.Series(0.0, index=sorted(steps.values()))
        if orderings.shape[1] > 1:
            tail = (1 - confidence) / 2
            low, high = (orderings.quantile(q, axis=1) - centre for q in (tail, 1 - tail))
            axes.fill_between(centre.index, low, high, color="0.8", label="random orderings")
        axes.axhline(0, color="0.5", lw=0.8)
        for method, rows in table[~by_random].groupby("method", sort=False):
            found = rows.groupby("steps")["score"].agg(["mean", "sem"])
            mean, wide = found["mean"] - centre, 1.96 * found["sem"]
            [line] = axes.plot(mean.index, mean, marker=".", label=method)
            axes.fill_between(mean.index, mean - wide, mean + wide, color=line.get_color(), alpha=0.15, lw=0)
        axes.set(title=family, xlabel="pixels replaced, L", ylabel="score minus random")
        axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    return figure


@styled
def alphas(inter_rater: pd.DataFrame, threshold: float) -> Figure:
    """Draws alpha of each metric with its interval, and the threshold below which it is unreliable."""
    figure = Figure(figsize=(8, 0.8 + 0.35 * len(inter_rater)))
    axes = figure.subplots()
    rows = np.arange(len(inter_rater))[::-1]
    alpha = inter_rater["alpha"].to_numpy()
    reach = np.stack([alpha - inter_rater["low"], inter_rater["high"] - alpha]).clip(min=0)
    axes.errorbar(alpha, rows, xerr=reach, fmt="o", color=COLOURS[0], capsize=3)
    axes.axvline(threshold, color="0.4", ls="--", lw=1)
    axes.axvline(0, color="0.7", lw=0.8)
    axes.set_yticks(rows, list(inter_rater["metric"]))
    axes.set(xlabel=f"Krippendorff's alpha; reliable from {threshold}", xlim=(min(-0.2, np.nanmin([*alpha, 0])), 1))
    return figure


@styled
def consistency(internal_consistency: pd.DataFrame) -> Figure:
    """Draws the correlations between metrics, averaged over the methods, as a matrix with its numbers."""
    matrix = consistency_matrix(internal_consistency)
    side = 2.5 + 0.6 * len(matrix)
    figure = Figure(figsize=(side + 1, side))
    axes = figure.subplots()
    image = axes.imshow(matrix, cmap="PuOr", vmin=-1, vmax=1)
    places = range(len(matrix))
    axes.set_xticks(places, list(matrix), rotation=45, ha="right", fontsize=7)
    axes.set_yticks(places, list(matrix), fontsize=7)
    for row, column in np.ndindex(matrix.shape):
        rho = matrix.iat[row, column]
        axes.text(column, row, f"{rho:.2f}", ha="center", va="center", fontsize=7, color="w" if abs(rho) > 0.6 else "k")
    figure.colorbar(image, label="Spearman's rho, mean over methods", shrink=0.8)
    return figure
