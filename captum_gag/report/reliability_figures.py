"""Figures of score tables: ranks of the methods, and the reliability of metrics, as the second paper and beyond."""

from __future__ import annotations

from collections.abc import Mapping
from textwrap import wrap
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from scipy.stats import t

from captum_gag.reliability import consistency_matrix
from captum_gag.reliability.baselines import ordering_means, ordering_table
from captum_gag.reliability.scores import LABEL, family_label, is_manipulated, is_random, metrics_of
from captum_gag.report.captions import CONFIDENCE, arrow, marked, of_metrics
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
def critical_differences(ranks: pd.DataFrame, pairs: pd.DataFrame) -> Figure:
    """Draw mean ranks on an axis, a bar joining explanations without a significant difference (Demsar, 2006).

    Unlike Demsar's, the bars are of the tests of all pairs, not of one critical difference.

    Args:
        ranks: Mean rank of each explanation (columns) by metric (rows).
        pairs: As ``reliability.pairwise`` returns them.
    """
    titles = in_panels(list(ranks.index))
    tables = [ranks.loc[metric].dropna().sort_values() for metric in titles]
    different = pairs[pairs["decision"].isin(["better", "worse"])]
    apart = set(different[["metric", "method", "rival"]].itertuples(index=False, name=None))
    groups = [_joined(metric, list(table.index), apart) for metric, table in zip(titles, tables, strict=True)]
    depths = [0.2 + 0.2 * len(bars) + 0.45 * -(-len(table) // 2) for table, bars in zip(tables, groups, strict=True)]
    figure = Figure(figsize=(6.5, sum(depths) + 0.6 * len(tables)))
    panels = figure.subplots(len(tables), squeeze=False, gridspec_kw={"height_ratios": depths})[:, 0]
    for axes, title, table, bars, depth in zip(panels, titles.values(), tables, groups, depths, strict=True):
        top, half = 0.3 + 0.2 * len(bars), -(-len(table) // 2)
        for place, (method, rank) in enumerate(table.items()):
            left = place < half
            level, edge = top + 0.45 * (place if left else len(table) - 1 - place), 0.9 if left else len(table) + 0.1
            axes.plot([rank, rank, edge], [0, level, level], color=INK, lw=0.8, ls="-")
            side = "right" if left else "left"
            axes.text(edge - 0.05 if left else edge + 0.05, level, f"{method} {rank:.2f}", ha=side, va="center")
        for level, (first, last) in enumerate(bars):
            bar = [table.iloc[first] - 0.03, table.iloc[last] + 0.03]
            axes.plot(bar, 2 * [0.2 + 0.2 * level], color=INK, lw=3, ls="-", solid_capstyle="butt")
        axes.spines[["left", "bottom"]].set_visible(False)
        axes.spines["top"].set(visible=True, bounds=(1, len(table)))
        axes.xaxis.tick_top()
        axes.set(xticks=range(1, len(table) + 1), yticks=[], ylim=(depth, 0), xlim=(0.9, len(table) + 0.1))
        axes.set_title(f"{title}: mean rank (1 is best)", loc="left")
    return figure


def _joined(metric: str, methods: list[str], apart: set[tuple[str, str, str]]) -> list[tuple[int, int]]:
    """Return first and last of each longest row of methods of which no two differ significantly."""
    bars: list[tuple[int, int]] = []
    for first in range(len(methods)):
        last = first
        while last + 1 < len(methods) and not any(
            (metric, each, methods[last + 1]) in apart for each in methods[first : last + 1]
        ):
            last += 1
        if last > first and (not bars or last > bars[-1][1]):
            bars.append((first, last))
    return bars


@styled
def heat_map(rows: pd.DataFrame) -> Figure:
    """Draw mean scores as a matrix of methods and metrics, each metric from its worst mean (light) to its best (dark).

    Args:
        rows: As ``tables.comparison`` returns them. What may be best is bold; a metric that cannot tell has no colours.
    """
    heads = {metric: f"{metric} {arrow(table)}" for metric, table in of_metrics(rows)}
    heads = {metric: heads[metric] for metric in in_panels(list(heads))}
    means = rows.pivot(index="method", columns="metric", values="mean").reindex(rows["method"].unique())[list(heads)]
    telling = rows[rows["tied"]].drop_duplicates("metric").set_index("metric")["higher_is_better"]
    turned = means * telling.map({True: 1.0, False: -1.0}).astype(float).reindex(means.columns)
    shares = (turned - turned.min()) / (turned.max() - turned.min()).replace(0, np.nan)
    bold = set(rows.loc[rows["tied"], ["method", "metric"]].itertuples(index=False, name=None))
    figure = Figure(figsize=(2.2 + 1.1 * means.shape[1], 1 + 0.3 * len(means)))
    axes = figure.subplots()
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1.25, aspect="auto")
    for row, column in np.argwhere(means.notna()):
        weight = "bold" if (means.index[row], means.columns[column]) in bold else "normal"
        colour = PAPER if shares.iat[row, column] > 0.75 else INK
        text = f"{means.iat[row, column]:.3f}"
        axes.text(column, row, text, ha="center", va="center", fontsize=8, color=colour, weight=weight)
    names = ["\n".join(wrap(head, 16)) for head in heads.values()]
    axes.set_xticks(range(len(heads)), names)
    axes.set_yticks(range(len(means)), [marked(rows)[method] for method in means.index])
    axes.xaxis.tick_top()
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
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
    # Edges tell bands apart that lie on each other.
    colour = curve.get_color()
    axes.fill_between(x, low, high, facecolor=(colour, 0.08), edgecolor=(colour, 0.5), lw=0.6)


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
