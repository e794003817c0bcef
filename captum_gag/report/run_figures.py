"""Figures of a run: its curves, and GAG over its percentile."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping

import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from captum_gag.attr.entries import AttributionMethod
from captum_gag.attr.guided_absolute_grad import GuidedAbsoluteGrad
from captum_gag.attr.methods import Method
from captum_gag.reliability.directions import known_bounds
from captum_gag.reliability.lists import arrays, firsts, stacked
from captum_gag.reliability.scores import LABEL
from captum_gag.report.reliability_figures import DIRECTIONS, with_band
from captum_gag.report.style import INK, in_panels, method_lines, styled

CURVED = ("image", "method", LABEL, "curve_x", "curve_y", "curve_x_label", "curve_y_label")
"""The columns of a score table that curves are drawn from."""

LEVELS = 6
"""Other methods that are drawn beside GAG-p."""


@styled
def curves(
    scores: pd.DataFrame,
    methods: Collection[str] | None = None,
    bounds: Mapping[str, tuple[float, float]] | None = None,
) -> Figure:
    """Draw the curve that each metric's score sums up, per method: the mean over the images with its 95 % interval.

    Args:
        scores: The records of a run, as ``reliability.scores.checked`` returns them.
        methods: Those that are drawn, each in the line that it has among all; None for all.
        bounds: By metric, the range that no interval leaves; None for the known ones.

    Returns:
        A panel per metric that has a curve, not known to pyplot; a single one without lines if none has.
    """
    lines, rows = method_lines(scores["method"].unique()), _have_curves(scores)
    if methods is not None:
        rows &= scores["method"].isin(methods).to_numpy()
    bounds = known_bounds(scores) if bounds is None else bounds
    titles = in_panels(list(scores.loc[rows, LABEL].unique()))
    figure = Figure(figsize=(8, 0.5 + 3.2 * max(1, len(titles))))
    for axes, metric in zip(figure.subplots(max(1, len(titles)), squeeze=False)[:, 0], titles, strict=False):
        # A run may have millions of curves: no more are copied at a time than those of a metric.
        of_metric = scores.loc[rows & scores[LABEL].eq(metric).to_numpy(), ["method", *CURVED[3:]]]
        codes, methods_of_metric = pd.factorize(of_metric["method"])
        for code, method in enumerate(methods_of_metric):
            of_method = of_metric[codes == code]
            [x], values = arrays(of_method["curve_x"].head(1)), pd.DataFrame(stacked(of_method["curve_y"]))
            with_band(axes, x, values.agg(["mean", "sem", "count"]).T, bounds.get(metric), method, lines[str(method)])
        [x] = arrays(of_metric["curve_x"].head(1))
        if all(float(number).is_integer() for number in x):
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        labels = of_metric[["curve_x_label", "curve_y_label"]].iloc[0]
        axes.set(title=titles[metric], xlabel=labels.iloc[0], ylabel=labels.iloc[1])
        axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    return figure


def curves_of(scores: pd.DataFrame) -> pd.DataFrame:
    """Return the curves of a run.

    Args:
        scores: The records of a run, as ``reliability.scores.checked`` returns them.

    Returns:
        image, method, metric (its label), x and y (arrays of equal length), x_label, y_label; a row per record that
        has a curve and no NaN at its start.
    """
    columns = {LABEL: "metric", "curve_x": "x", "curve_y": "y", "curve_x_label": "x_label", "curve_y_label": "y_label"}
    if "curve_y" not in scores:
        return pd.DataFrame(columns=["image", "method", *columns.values()])
    rows = scores.loc[_have_curves(scores), ["image", "method", *columns]].rename(columns=columns)
    return rows.assign(**{name: pd.Series(arrays(rows[name]), rows.index, dtype=object) for name in ("x", "y")})


def _have_curves(scores: pd.DataFrame) -> NDArray[np.bool_]:
    """Tell which records have a curve without NaN at its start."""
    return ~np.isnan(firsts(scores["curve_y"])) if "curve_y" in scores else np.zeros(len(scores), dtype=bool)


@styled
def ablation(rows: pd.DataFrame, percentiles: Mapping[str, float]) -> Figure:
    """Draw the mean score of GAG-p over p with its interval, other methods as levels (Huang & Liu, Table 1).

    Args:
        rows: As ``tables.comparison`` returns them.
        percentiles: By method, the p of those that are GAG-p; see ``percentiles_of``.

    Returns:
        A panel per metric, not known to pyplot.
    """
    metrics, lines = list(rows["metric"].unique()), method_lines(rows["method"].unique())
    figure = Figure(figsize=(6.5, 0.3 + 3.2 * len(metrics)))
    for axes, metric in zip(figure.subplots(len(metrics), squeeze=False)[:, 0], metrics, strict=True):
        of_metric = rows[rows["metric"] == metric]
        ps = of_metric["method"].map(percentiles)
        gag = of_metric.assign(p=ps).dropna(subset="p").sort_values("p")
        reach = np.stack([gag["mean"] - gag["low"], gag["high"] - gag["mean"]]).clip(min=0)
        axes.errorbar(gag["p"], gag["mean"], yerr=reach, marker="o", capsize=3, color=INK, ls="-", label="GAG-p")
        if gag["published"].notna().any():
            axes.plot(gag["p"], gag["published"], ls="", marker="D", mfc="none", color=INK, label="published")
        others = of_metric.loc[ps.isna(), ["method", "mean"]].head(LEVELS)
        for method, mean in others.itertuples(index=False):
            axes.plot([0, 1], [mean, mean], lw=1, label=method, transform=axes.get_yaxis_transform(), **lines[method])
        title = f"{metric}{DIRECTIONS[of_metric['higher_is_better'].iloc[0]]}"
        axes.set(title=title, xlabel="percentile p of the guide", ylabel="mean score")
        axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    return figure


def percentiles_of(methods: Mapping[str, Method]) -> dict[str, float]:
    """Return the percentile of each method that is GAG, by label.

    Where some of them differ in another option too, those with the most frequent other options are taken: methods that
    differ in p alone are one line.
    """
    entries: dict[str, tuple[str, float]] = {}
    for label, method in methods.items():
        if isinstance(method, AttributionMethod) and issubclass(method.attribution, GuidedAbsoluteGrad):
            options = method.options()
            percentile = options.pop("percentile")
            entries[label] = repr((method.attribution, options)), percentile
    [(usual, _)] = Counter(options for options, _ in entries.values()).most_common(1) or [("", 0)]
    return {label: percentile for label, (options, percentile) in entries.items() if options == usual}
