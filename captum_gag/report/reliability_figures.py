"""Figures of score tables: ranks of the methods, and the reliability of metrics, as the second paper and beyond."""

from __future__ import annotations

from collections.abc import Mapping
from textwrap import wrap
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray
from scipy.stats import t

from captum_gag.reliability import consistency_matrix
from captum_gag.reliability.baselines import ordering_means, ordering_table
from captum_gag.reliability.scores import LABEL, family_label, is_manipulated, is_random, metrics_of
from captum_gag.report.captions import CONFIDENCE, marked
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

DIRECTIONS = {True: " (higher is better)", False: " (lower is better)", None: ""}
"""Behind a metric's name in a title, by whether higher is better."""


@styled
def ranks(rows: pd.DataFrame) -> Figure:
    """Draw the interval of the rank of each explanation, a panel per metric, the best mean first.

    Explanations whose intervals overlap are not told apart. Those that may be best are black.

    Args:
        rows: As ``tables.comparison`` returns them, with ``rank_low``.
    """
    rows = rows[rows["rank_low"].notna()]
    titles = in_panels(list(rows["metric"].unique()))
    tables = [rows[rows["metric"].eq(metric)] for metric in titles]
    heights = [1 + 0.22 * len(table) for table in tables]
    figure = Figure(figsize=(8, sum(heights)))
    panels = figure.subplots(len(tables), squeeze=False, gridspec_kw={"height_ratios": heights})[:, 0]
    for axes, table, title in zip(panels, tables, titles.values(), strict=True):
        higher = bool(table["higher_is_better"].iloc[0])
        table = table.sort_values("mean", ascending=not higher, kind="stable")
        positions = np.arange(len(table))
        colours = [INK if tied else GUIDE for tied in table["tied"]]
        low, high = (table[name].astype(int).to_numpy() for name in ("rank_low", "rank_high"))
        axes.hlines(positions, low, high, color=colours, lw=3)
        axes.scatter([*low, *high], [*positions, *positions], color=2 * colours, s=18, zorder=2)
        axes.set_yticks(positions, list(table["method"]))
        axes.set(title=f"{title}{DIRECTIONS[higher]}", xlim=(0.5, len(table) + 0.5), ylim=(len(table) - 0.5, -0.5))
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    if len(tables):
        panels[-1].set_xlabel("rank")
    return figure


@styled
def means(rows: pd.DataFrame, captions: Mapping[str, str] | None = None) -> Figure:
    """Draw mean scores with their 95 % intervals, a panel per metric beside each other, methods in one order.

    Explanations that may be best are black, others grey, and controls hollow.

    Args:
        rows: As ``tables.comparison`` returns them.
        captions: A line under the name of each metric, such as its verdict.
    """
    titles, methods = in_panels(list(rows["metric"].unique())), list(rows["method"].unique())
    names = [marked(rows)[method] for method in methods]
    figure = Figure(figsize=(1.6 + 2.6 * len(titles), 1.1 + 0.26 * len(methods)))
    panels = figure.subplots(1, len(titles), squeeze=False, sharey=True)[0]
    for axes, (metric, title) in zip(panels, titles.items(), strict=True):
        table = rows[rows["metric"].eq(metric)].set_index("method").reindex(methods)
        for position, (mean, low, high, tied, role) in enumerate(
            table[["mean", "low", "high", "tied", "role"]].itertuples(index=False)
        ):
            colour = INK if tied is True else GUIDE
            axes.hlines(position, low, high, color=colour, lw=1.5)
            axes.plot(mean, position, "o", ms=5, mec=colour, mfc=PAPER if role else colour, color=colour)
        higher = rows.loc[rows["metric"].eq(metric), "higher_is_better"].iloc[0]
        axes.set_title("\n".join([title, *wrap((captions or {}).get(metric, ""), 34)]), loc="left")
        axes.set(xlabel=f"mean score{DIRECTIONS[higher]}", ylim=(len(methods) - 0.5, -0.5))
        axes.grid(axis="x", color=BAND, lw=0.5)
    panels[0].set_yticks(range(len(methods)), names)
    return figure


@styled
def distributions(scores: pd.DataFrame) -> Figure:
    """Draw the scores of each method as a violin, with mean, median and quartiles, a panel per metric (Figure 2 b).

    Of a metric with several numbers of steps the highest is drawn. All random orderings are one violin, of the scores
    of every image in every ordering; manipulated maps are left out.

    Args:
        scores: A score table, as ``reliability.scores.checked`` returns it.
    """
    # Of millions of rows, all columns are not copied to pick some of them.
    rows, random = _of_most_steps(scores) & ~is_manipulated(scores), is_random(scores)
    titles = in_panels(metrics_of(scores.loc[rows, [LABEL]]))
    rows &= scores["score"].notna()
    figure = Figure(figsize=(8, 2.6 * len(titles)))
    for axes, metric in zip(figure.subplots(len(titles), squeeze=False)[:, 0], titles, strict=True):
        of_metric = rows & scores[LABEL].eq(metric)
        methods = scores.loc[of_metric & ~random, ["method", "score"]].groupby("method", sort=False)["score"]
        groups = {name: group.to_numpy() for name, group in methods}
        if (of_metric & random).any():
            by_random = ordering_table(scores[of_metric & random]).to_numpy().ravel()
            groups[RANDOM] = by_random[~np.isnan(by_random)]
        groups = {name: values for name, values in groups.items() if len(values) > 1}
        positions = np.arange(len(groups))
        if groups:
            for body in axes.violinplot(list(groups.values()), positions, showextrema=False)["bodies"]:
                body.set_facecolor(COLOURS[0])
            quartiles = np.stack([np.quantile(values, [0.25, 0.5, 0.75]) for values in groups.values()])
            axes.vlines(positions, quartiles[:, 0], quartiles[:, 2], color=INK, lw=3, label="quartiles")
            axes.plot(positions, quartiles[:, 1], "o", mfc=PAPER, mec=INK, ms=5, label="median")
            axes.plot(positions, [values.mean() for values in groups.values()], "x", color=INK, label="mean")
            axes.legend(ncols=3)
        axes.set_xticks(positions, list(groups), rotation=30, ha="right")
        axes.set_title(titles[metric])
    return figure


def _of_most_steps(scores: pd.DataFrame) -> pd.Series:
    """Tell which rows are of the highest number of steps of their metric and variant, or of none."""
    rows, stepped = pd.Series(True, index=scores.index), scores["steps"].notna()
    if stepped.any():
        steps = scores.loc[stepped, ["metric", "variant", "steps"]].astype({"steps": int})
        rows[stepped] = steps["steps"] == steps.groupby(["metric", "variant"])["steps"].transform("max")
    return rows


@styled
def curves(scores: pd.DataFrame) -> Figure:
    """Draw each method's mean score minus the random orderings', over the number of steps (Figure 2 a).

    The band around a line is the 95 % interval of the mean; the grey one holds the central 95 % of the random
    orderings' means. Without random orderings, 0 is 0.

    Args:
        scores: A score table, as ``reliability.scores.checked`` returns it; metrics without steps are left out.

    Returns:
        A panel per metric and variant.
    """
    lines = method_lines(scores["method"].unique())
    stepped = scores[scores["steps"].notna()].astype({"steps": int})
    families = list(stepped.groupby(["metric", "variant"], sort=False))
    figure = Figure(figsize=(8, 3.2 * len(families)))
    for axes, (family, table) in zip(figure.subplots(len(families), squeeze=False)[:, 0], families, strict=True):
        orderings = ordering_means(table).groupby("steps")["score"]
        centre = orderings.mean() if len(orderings) else pd.Series(0.0, index=sorted(table["steps"].unique()))
        if (orderings.size() > 1).any():
            low, high = (orderings.quantile(q) - centre for q in ((1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2))
            axes.fill_between(centre.index, low, high, color=BAND, label=RANDOM)
        axes.axhline(0, color=GUIDE, lw=0.8)
        for method, rows in table[~is_random(table)].groupby("method", sort=False):
            moments = rows.groupby("steps")["score"].agg(["mean", "sem", "count"])
            moments["mean"] -= centre
            with_band(axes, moments.index, moments, None, str(method), {"marker": ".", **lines[str(method)]})
        axes.set(title=family_label(*family), xlabel="pixels replaced, L", ylabel="score minus random")
        axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    return figure


def with_band(
    axes: Axes,
    x: NDArray[np.float64] | pd.Index,
    moments: pd.DataFrame,
    bounds: tuple[float, float] | None,
    label: str,
    line: Mapping[str, Any],
) -> None:
    """Draw means (columns mean, sem, count) with their interval by Student's t, clipped to the range of the scores."""
    mean = moments["mean"].to_numpy()
    reach = t.ppf((1 + CONFIDENCE) / 2, moments["count"].to_numpy() - 1) * moments["sem"].to_numpy()
    low, high = (mean - reach, mean + reach) if bounds is None else np.clip([mean - reach, mean + reach], *bounds)
    [curve] = axes.plot(x, mean, label=label, **line)
    axes.fill_between(x, low, high, color=curve.get_color(), alpha=0.15, lw=0)


@styled
def alphas(inter_rater: pd.DataFrame, threshold: float) -> Figure:
    """Draw alpha of each metric with its interval, and the threshold below which it is unreliable.

    Args:
        inter_rater: As ``reliability.inter_rater`` returns it, with metric as a column.
        threshold: An alpha.
    """
    figure = Figure(figsize=(8, 0.8 + 0.35 * len(inter_rater)))
    axes = figure.subplots()
    positions = np.arange(len(inter_rater))[::-1]
    alpha = inter_rater["alpha"].to_numpy()
    reach = np.stack([alpha - inter_rater["low"], inter_rater["high"] - alpha]).clip(min=0)
    axes.errorbar(alpha, positions, xerr=reach, fmt="o", color=COLOURS[0], capsize=3)
    axes.axvline(threshold, color=GUIDE, ls="--", lw=1)
    axes.axvline(0, color=BAND, lw=0.8)
    axes.set_yticks(positions, list(inter_rater["metric"]))
    axes.set(xlabel=f"Krippendorff's alpha; reliable from {threshold}", xlim=(min(-0.2, np.nanmin([*alpha, 0])), 1))
    return figure


@styled
def right_orders(faults: pd.DataFrame, validity: pd.DataFrame | None = None) -> Figure:
    """Draw the share of pairs that each metric puts in the right order: by fault of the maps, and as each truth does.

    Args:
        faults: As ``reliability.faults`` returns it.
        validity: As ``reliability.validity`` returns it; of the explanations.
    """
    wrong = faults.pivot_table(index="metric", columns="fault", values="wrong", sort=False)
    if validity is not None and len(validity):
        explanations = validity.assign(column="as " + validity["truth"])
        of_truth = explanations.pivot_table(index="metric", columns="column", values="wrong", sort=False)
        wrong = wrong.join(of_truth, how="left")
    size = 4 + 0.7 * wrong.shape[1], 1.5 + 0.35 * len(wrong)
    return _matrix(1 - wrong, size, (0, 1), "pairs in the right order")


@styled
def consistency(internal_consistency: pd.DataFrame) -> Figure:
    """Draw the correlations between metrics, averaged over the methods, as a matrix; with its numbers if they are few.

    Args:
        internal_consistency: As ``reliability.internal_consistency`` returns it.
    """
    matrix = consistency_matrix(internal_consistency)
    side = 2.5 + 0.6 * min(len(matrix), PANELS)
    return _matrix(matrix, (side + 1, side), (-1, 1), "Spearman's rho, mean over methods")


def _matrix(matrix: pd.DataFrame, size: tuple[float, float], bounds: tuple[float, float], label: str) -> Figure:
    """Draw a matrix of numbers within bounds, written into it if they are few."""
    figure = Figure(figsize=size)
    axes = figure.subplots()
    image = axes.imshow(matrix, cmap=CORRELATION, vmin=bounds[0], vmax=bounds[1], aspect="auto")
    axes.set_xticks(range(matrix.shape[1]), list(matrix), rotation=45, ha="right", fontsize=7)
    axes.set_yticks(range(len(matrix)), list(matrix.index), fontsize=7)
    centre = sum(bounds) / 2
    for row, column in np.argwhere(matrix.notna()) if len(matrix) <= PANELS else ():
        value = matrix.iat[row, column]
        # The colours are darkest far from the centre.
        colour = PAPER if abs(value - centre) > 0.6 * (1 - centre) else INK
        axes.text(column, row, f"{value:.2f}", ha="center", va="center", fontsize=7, color=colour)
    figure.colorbar(image, label=label, shrink=0.8)
    return figure
