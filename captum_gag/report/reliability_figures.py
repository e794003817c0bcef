"""The figures of the second paper, and of the checks that it lacks."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from captum_gag.reliability import consistency_matrix
from captum_gag.reliability.orderings import ordering_means, ordering_scores
from captum_gag.reliability.scores import LABEL, family_label, is_manipulated, is_random, metrics_of
from captum_gag.report.style import (
    BAND,
    COLOURS,
    CORRELATION,
    GUIDE,
    INK,
    PANELS,
    PAPER,
    in_panels,
    method_lines,
    styled,
)

RANDOM = "random orderings"


@styled
def distributions(scores: pd.DataFrame) -> Figure:
    """Draw the scores of each method as a violin, with mean, median and quartiles; a panel per metric (Figure 2 b).

    There are ``style.PANELS`` at most, which the last one says.

    Of a metric with several numbers of steps the highest is drawn. All random orderings are one violin, of the scores
    of every image in every ordering; manipulated maps are left out.

    Args:
        scores: A score table, as ``reliability.scores.checked`` returns it.
    """
    # Of millions of rows, all columns are not copied to pick some of them.
    drawn, random = _of_most_steps(scores) & ~is_manipulated(scores), is_random(scores)
    titles = in_panels(metrics_of(scores.loc[drawn, [LABEL]]))
    drawn &= scores["score"].notna()
    figure = Figure(figsize=(8, 2.6 * len(titles)))
    for axes, metric in zip(figure.subplots(len(titles), squeeze=False)[:, 0], titles, strict=True):
        of_metric = drawn & scores[LABEL].eq(metric)
        methods = scores.loc[of_metric & ~random, ["method", "score"]].groupby("method", sort=False)["score"]
        groups = {name: group.to_numpy() for name, group in methods}
        if (of_metric & random).any():
            by_random = ordering_scores(scores[of_metric & random]).ravel()
            groups[RANDOM] = by_random[~np.isnan(by_random)]
        groups = {name: values for name, values in groups.items() if len(values) > 1}
        places = np.arange(len(groups))
        if groups:
            bodies = axes.violinplot(list(groups.values()), places, showextrema=False)["bodies"]
            for body in bodies:
                body.set_facecolor(COLOURS[0])
            quartiles = np.stack([np.quantile(values, [0.25, 0.5, 0.75]) for values in groups.values()])
            axes.vlines(places, quartiles[:, 0], quartiles[:, 2], color=INK, lw=3, label="quartiles")
            axes.plot(places, quartiles[:, 1], "o", mfc=PAPER, mec=INK, ms=5, label="median")
            axes.plot(places, [values.mean() for values in groups.values()], "x", color=INK, label="mean")
            axes.legend(ncols=3)
        axes.set_xticks(places, list(groups), rotation=30, ha="right")
        axes.set_title(titles[metric])
    return figure


def _of_most_steps(scores: pd.DataFrame) -> pd.Series:
    """Tell which rows are of the highest number of steps of their metric and variant, or of none."""
    found, stepped = pd.Series(True, index=scores.index), scores["steps"].notna()
    if stepped.any():
        steps = scores.loc[stepped, ["metric", "variant", "steps"]].astype({"steps": int})
        found[stepped] = steps["steps"] == steps.groupby(["metric", "variant"])["steps"].transform("max")
    return found


@styled
def curves(scores: pd.DataFrame, confidence: float = 0.95) -> Figure:
    """Draw each method's mean score minus the random orderings', over the number of steps (Figure 2 a).

    The band around a line is the normal interval of the mean; the grey one holds the central share of the random
    orderings' means. Without random orderings, 0 is 0.

    Args:
        scores: A score table, as ``reliability.scores.checked`` returns it; metrics without steps are left out.
        confidence: The share of the random orderings' means in the grey band, in (0, 1).

    Returns:
        A panel per metric and variant.
    """
    lines = method_lines(scores["method"].unique())
    stepped = scores[scores["steps"].notna()].astype({"steps": int})
    families = list(stepped.groupby(["metric", "variant"], sort=False))
    figure = Figure(figsize=(8, 3.2 * len(families)))
    for axes, (family, table) in zip(figure.subplots(len(families), squeeze=False)[:, 0], families, strict=True):
        by_random = is_random(table)
        orderings = ordering_means(table).groupby("steps")["score"]
        centre = orderings.mean() if len(orderings) else pd.Series(0.0, index=sorted(table["steps"].unique()))
        if (orderings.size() > 1).any():
            low, high = (orderings.quantile(q) - centre for q in ((1 - confidence) / 2, (1 + confidence) / 2))
            axes.fill_between(centre.index, low, high, color=BAND, label=RANDOM)
        axes.axhline(0, color=GUIDE, lw=0.8)
        for method, rows in table[~by_random].groupby("method", sort=False):
            found = rows.groupby("steps")["score"].agg(["mean", "sem"])
            mean, wide = found["mean"] - centre, 1.96 * found["sem"]
            [line] = axes.plot(mean.index, mean, marker=".", label=method, **lines[str(method)])
            axes.fill_between(mean.index, mean - wide, mean + wide, color=line.get_color(), alpha=0.15, lw=0)
        axes.set(title=family_label(*family), xlabel="pixels replaced, L", ylabel="score minus random")
        axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    return figure


@styled
def alphas(inter_rater: pd.DataFrame, threshold: float) -> Figure:
    """Draw alpha of each metric with its interval, and the threshold below which it is unreliable.

    Args:
        inter_rater: As ``reliability.inter_rater`` returns it, with metric as a column.
        threshold: An alpha.
    """
    figure = Figure(figsize=(8, 0.8 + 0.35 * len(inter_rater)))
    axes = figure.subplots()
    rows = np.arange(len(inter_rater))[::-1]
    alpha = inter_rater["alpha"].to_numpy()
    reach = np.stack([alpha - inter_rater["low"], inter_rater["high"] - alpha]).clip(min=0)
    axes.errorbar(alpha, rows, xerr=reach, fmt="o", color=COLOURS[0], capsize=3)
    axes.axvline(threshold, color=GUIDE, ls="--", lw=1)
    axes.axvline(0, color=BAND, lw=0.8)
    axes.set_yticks(rows, list(inter_rater["metric"]))
    axes.set(xlabel=f"Krippendorff's alpha; reliable from {threshold}", xlim=(min(-0.2, np.nanmin([*alpha, 0])), 1))
    return figure


@styled
def right_orders(faults: pd.DataFrame, validity: pd.DataFrame | None = None) -> Figure:
    """Draw which share of pairs each metric puts in the right order: by fault of the maps, and as each truth does.

    Args:
        faults: As ``reliability.faults`` returns it.
        validity: As ``reliability.validity`` returns it; of the explanations.
    """
    of_faults = faults.pivot_table(index="metric", columns="fault", values="wrong", sort=False)
    if validity is not None and len(validity):
        named = validity.assign(as_=lambda each: "as " + each["truth"])
        of_truth = named.pivot_table(index="metric", columns="as_", values="wrong", sort=False)
        of_faults = of_faults.join(of_truth, how="left")
    right = 1 - of_faults
    figure = Figure(figsize=(4 + 0.7 * right.shape[1], 1.5 + 0.35 * len(right)))
    axes = figure.subplots()
    image = axes.imshow(right, cmap=CORRELATION, vmin=0, vmax=1, aspect="auto")
    axes.set_xticks(range(right.shape[1]), list(right), rotation=45, ha="right", fontsize=7)
    axes.set_yticks(range(len(right)), list(right.index), fontsize=7)
    _numbers_in(axes, right, centre=0.5)
    figure.colorbar(image, label="pairs in the right order", shrink=0.8)
    return figure


@styled
def consistency(internal_consistency: pd.DataFrame) -> Figure:
    """Draw the correlations between metrics, averaged over the methods, as a matrix; with its numbers if they are few.

    Args:
        internal_consistency: As ``reliability.internal_consistency`` returns it.
    """
    matrix = consistency_matrix(internal_consistency)
    side = 2.5 + 0.6 * min(len(matrix), PANELS)
    figure = Figure(figsize=(side + 1, side))
    axes = figure.subplots()
    image = axes.imshow(matrix, cmap=CORRELATION, vmin=-1, vmax=1)
    places = range(len(matrix))
    axes.set_xticks(places, list(matrix), rotation=45, ha="right", fontsize=7)
    axes.set_yticks(places, list(matrix), fontsize=7)
    if len(matrix) <= PANELS:
        _numbers_in(axes, matrix, centre=0)
    figure.colorbar(image, label="Spearman's rho, mean over methods", shrink=0.8)
    return figure


def _numbers_in(axes: Axes, matrix: pd.DataFrame, centre: float) -> None:
    """Write the numbers of a matrix into its picture, whose colours are darkest far from the centre."""
    for row, column in np.argwhere(matrix.notna()):
        value = matrix.iat[row, column]
        colour = PAPER if abs(value - centre) > 0.6 * (1 - centre) else INK
        axes.text(column, row, f"{value:.2f}", ha="center", va="center", fontsize=7, color=colour)
