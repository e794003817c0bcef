"""Tables 1, 2 and 3 of Huang & Liu (2024), out of score tables: ours beside every number that the paper prints."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd

from captum_gag.papers.cases import case, case_names
from captum_gag.papers.layout import PaperTable
from captum_gag.papers.published import HUANG_LIU, RATIOS, huang_liu
from captum_gag.reliability.directions import known_bounds
from captum_gag.reliability.resampling import FEWEST, Floats, jackknife_interval, mean_interval, without_each
from captum_gag.reliability.scores import LABEL, by_image, checked, metrics_of

TITLES = {
    1: "Huang & Liu (2024), Table 1: GAG over the percentile p of its guide, mean scores with 95 % intervals",
    2: "Huang & Liu (2024), Table 2: methods by metrics, mean scores with 95 % intervals",
    3: "Huang & Liu (2024), Table 3: mean score of each variant divided by that of its own original, averaged over SG, "
    "IG, Guided IG, Blur IG and GB, with 95 % intervals",
}
ORIGINALS = ("SG", "IG", "Guided IG", "Blur IG", "GB")
VARIANTS: dict[str, dict[str, str]] = {
    name: {original: f"{original}{ending}" for original in ORIGINALS}
    for name, ending in {"+": "+", "-": "-", "A": "-A", "G": "-G", "GA": "-GA"}.items()
}
"""Table 3: by the paper's name of the variant and by original, what the suites call the method."""

AREA = "Published is the area as the authors' code integrates it."
AS_PUBLISHED = {"MAE": "Published is the square root that the authors' code takes.", "DAUC": AREA, "IAUC": AREA}
"""How a metric's published values differ from ours in definition."""


def tables(
    scores: Mapping[str, pd.DataFrame], ours: Mapping[str, str] | None = None, n_bootstrap: int = 10_000
) -> list[PaperTable]:
    """Return the paper's tables of which at least half of the rows have a score.

    Args:
        scores: By case (imagenet-s, isic, places365) a score table, with the suites' labels of methods and metrics.
        ours: By case, which model was scored on which images, in words.
        n_bootstrap: Resamples of the images, for the intervals of means.

    Returns:
        Each with all rows and columns of the paper; ours is NaN where there is no score.

    Raises:
        InputError: The scores are not a score table.
    """
    by_case = {name: checked(table) for name, table in scores.items()}
    paper_tables = []
    for number, title in TITLES.items():
        if not any(_covers(table, number, name) for name, table in by_case.items()):
            continue
        cells = []
        for name in case_names():
            group = case(name).title + (f"; ours: {ours[name]}" if ours and name in ours else "")
            cells += [{"group": group, **cell} for cell in _cells(number, name, by_case.get(name), n_bootstrap)]
        digits = 2 if number == RATIOS else 3
        paper_tables.append(PaperTable(f"{HUANG_LIU}-table-{number}", title, digits, pd.DataFrame(cells)))
    return paper_tables


def ratios(
    scores: pd.DataFrame, variants: Mapping[str, Mapping[str, str]] = VARIANTS, confidence: float = 0.95
) -> pd.DataFrame:
    """Return the ratio of each variant's mean score to its own original's, averaged over the originals.

    For variant v of the originals o = 1..m, with means over the images,

        ratio(v) = (1/m) sum_o mean(scores of v of o) / mean(scores of o):

    a mean over methods of ratios of means, as the paper divides mean scores; a mean over images of ratios would be that
    of the few images whose original scores next to nothing. The interval is ``jackknife_interval``, which leaves out an
    image for all methods at once. A mean that may as well be 0 divides nothing: an original is left out of a metric's
    average, and named, where the interval of its mean reaches 0 or lies below, unless no score is below 0 and more than
    one above.

    Args:
        scores: A score table.
        variants: By the name of the variant, and by the method that is its original, the method that is the variant.
        confidence: Of the interval, in (0, 1).

    Returns:
        A row per metric and variant: metric (its label), variant, ratio, low, high, images (that have a score of all
        methods averaged), over (the originals averaged) and left_out (those whose mean may be 0), tuples. NaN where no
        original is left; low and high also for fewer than 4 images.

    Raises:
        InputError: The scores are not a score table.
    """
    scores, rows = checked(scores), []
    for metric in metrics_of(scores):
        table = by_image(scores, metric).dropna(axis=1, how="all")
        for variant, methods in variants.items():
            scored = [original for original, method in methods.items() if {original, method} <= set(table)]
            over = [original for original in scored if _above_zero(table[original].dropna().to_numpy(), confidence)]
            values = table[[*(methods[original] for original in over), *over]].dropna().to_numpy()
            row = {"metric": metric, "variant": variant, **_average_ratio(values, confidence), "over": tuple(over)}
            if scored:
                rows.append({**row, "left_out": tuple(original for original in scored if original not in over)})
    columns = ["metric", "variant", "ratio", "low", "high", "images", "over", "left_out"]
    return pd.DataFrame(rows, columns=columns)


def _above_zero(scores: Floats, confidence: float) -> bool:
    """Tell whether a mean lies above 0 for sure; of too few images to tell, whether theirs does."""
    if len(scores) < FEWEST or ((scores >= 0).all() and (scores > 0).sum() > 1):
        return bool(scores.mean() > 0)
    return jackknife_interval(scores.mean(), without_each(scores), confidence)[0] > 0


def _average_ratio(values: Floats, confidence: float) -> dict[str, float]:
    """Return ratio, low, high and images of scores (images, methods), of which the second half are the originals."""
    if not values.size:
        return {"ratio": np.nan, "low": np.nan, "high": np.nan, "images": 0}
    value = float(mean_ratio(values.mean(axis=0)))
    low, high = jackknife_interval(value, mean_ratio(without_each(values)), confidence, ratio=True)
    return {"ratio": value, "low": low, "high": high, "images": len(values)}


def mean_ratio(means: Floats) -> Floats:
    """Return the mean over k of the ratios of means (..., 2 k), the first half to the second; infinite for 0."""
    variants, originals = np.split(means, 2, axis=-1)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray((variants / originals).mean(axis=-1))


def _covers(scores: pd.DataFrame, number: int, name: str) -> bool:
    """Tell whether at least half of a table's rows have a score by one of its metrics."""
    printed = huang_liu(number, name)
    methods = set(scores.loc[scores["metric"].isin(printed["metric"]) & scores["score"].notna(), "method"])
    rows = printed["method"].unique()
    covered = [row for row in rows if any({*pair} <= methods for pair in VARIANTS.get(row, {row: row}).items())]
    return 2 * len(covered) >= len(rows)


def _cells(number: int, name: str, scores: pd.DataFrame | None, n_bootstrap: int) -> Iterator[dict[str, Any]]:
    """Yield the cells of a case: every one that is printed, with ours where there is one."""
    printed = huang_liu(number, name)
    ours: dict[tuple[str, str], dict[str, Any]] = {}
    settings: dict[str, str] = {}
    if scores is not None:
        scores = scores[scores["metric"].isin(printed["metric"])]
        # Of several settings of a metric, the first.
        variants = scores.groupby("metric")["variant"]
        for metric, names in variants.unique().items():
            if len(names) > 1:
                settings[str(metric)] = f"Ours is the variant {names[0]} of {', '.join(names)}."
        scores = scores[scores["variant"] == variants.transform("first")]
        if len(scores):
            ours = _ratios(scores) if number == RATIOS else _means(scores, n_bootstrap)
    for method, metric, value in printed.itertuples(index=False):
        notes = ["" if number == RATIOS else AS_PUBLISHED.get(metric, "")]
        numbers = {"ours": np.nan, "low": np.nan, "high": np.nan, "published": value, "images": 0}
        if (method, metric) in ours:
            numbers |= ours[method, metric]
            notes += [numbers.pop("note", ""), settings.get(metric, "")]
        yield {"row": method, "column": metric, **numbers, "note": " ".join(filter(None, notes))}


def _means(scores: pd.DataFrame, n_bootstrap: int) -> dict[tuple[str, str], dict[str, Any]]:
    cells, bounds = {}, known_bounds(scores)
    for (method, metric), group in scores.groupby(["method", "metric"], sort=False):
        values = group["score"].dropna().to_numpy()
        if len(values):
            low, high = mean_interval(values, n_bootstrap, 0.95, 0, bounds.get(group[LABEL].iloc[0]))
            cells[str(method), str(metric)] = {"ours": values.mean(), "low": low, "high": high, "images": len(values)}
    return cells


def _ratios(scores: pd.DataFrame) -> dict[tuple[str, str], dict[str, Any]]:
    cells = {}
    # Its label may name a variant, and there is one of each metric here.
    for row in ratios(scores.assign(variant="")).to_dict("records"):
        notes = []
        if {*row["over"], *row["left_out"]} != set(ORIGINALS):
            notes.append(f"Over {', '.join(row['over'])} alone.")
        if row["left_out"]:
            left_out = ", ".join(row["left_out"])
            notes.append(f"Without {left_out}: the interval of its mean score reaches 0, which nothing divides.")
        numbers = {"ours": row["ratio"], "low": row["low"], "high": row["high"], "images": row["images"]}
        cells[row["variant"], row["metric"]] = {**numbers, "note": " ".join(notes)}
    return cells
