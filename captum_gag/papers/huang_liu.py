"""Tables 1, 2 and 3 of Huang & Liu (2024), out of score tables: ours beside every number that the paper prints."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import pandas as pd

from captum_gag.papers.cases import case, case_names
from captum_gag.papers.layout import PaperTable
from captum_gag.papers.published import HUANG_LIU, RATIOS, huang_liu
from captum_gag.reliability.bootstrap import mean_interval
from captum_gag.reliability.directions import known_bounds
from captum_gag.reliability.scores import LABEL, checked
from captum_gag.report.ratios import ratios

TITLES = {
    1: "Huang & Liu (2024), Table 1: GAG over the percentile p of its guide, mean scores with 95 % intervals",
    2: "Huang & Liu (2024), Table 2: methods by metrics, mean scores with 95 % intervals",
    3: "Huang & Liu (2024), Table 3: mean score of each variant divided by that of its own original, averaged over SG, "
    "IG, Guided IG, Blur IG and GB, with 95 % intervals",
}
DIGITS = {1: 3, 2: 3, 3: 2}
ORIGINALS = ("SG", "IG", "Guided IG", "Blur IG", "GB")
VARIANTS: dict[str, dict[str, str]] = {
    name: {original: f"{original}{ending}" for original in ORIGINALS}
    for name, ending in {"+": "+", "-": "-", "A": "-A", "G": "-G", "GA": "-GA"}.items()
}
"""Table 3: by the paper's name of the variant and by original, what the suites call the method."""

AS_PUBLISHED = {
    "MAE": "Published is the square root that the authors' code takes.",
    "DAUC": "Published is the area as the authors' code integrates it.",
    "IAUC": "Published is the area as the authors' code integrates it.",
}
"""What is special about a column's published values, by metric."""


def tables(
    scores: Mapping[str, pd.DataFrame],
    ours: Mapping[str, str] | None = None,
    n_bootstrap: int = 10_000,
    seed: int = 0,
) -> list[PaperTable]:
    """Return the paper's tables of which scores are there: at least half of the rows have some.

    Args:
        scores: By case (imagenet-s, isic, places365) a score table, with the suites' labels of methods and metrics.
        ours: By case, which model was scored on which images, in words.
        n_bootstrap: Resamples of the images, for the intervals of means.
        seed: Of the resamples.

    Returns:
        Each with all rows and columns of the paper; ours is NaN where there is no score.

    Raises:
        InputError: The scores are not a score table.
    """
    known = {name: checked(table) for name, table in scores.items()}
    found = []
    for number in TITLES:
        if any(_covers(table, number, name) for name, table in known.items()):
            cells = []
            for name in case_names():
                said = f"; ours: {ours[name]}" if ours and name in ours else ""
                group = f"{case(name).title}{said}"
                cells += [{"group": group, **cell} for cell in _cells(number, name, known.get(name), n_bootstrap, seed)]
            title = TITLES[number]
            found.append(PaperTable(f"{HUANG_LIU}-table-{number}", title, DIGITS[number], pd.DataFrame(cells)))
    return found


def _covers(scores: pd.DataFrame, number: int, name: str) -> bool:
    """Tell whether at least half of a table's rows have a score by one of its metrics."""
    printed = huang_liu(number, name)
    there = scores[scores["metric"].isin(printed["metric"]) & scores["score"].notna()]
    methods = set(there["method"])
    rows = list(printed["method"].unique())
    covered = [row for row in rows if (_variant_covered(row, methods) if number == RATIOS else row in methods)]
    return 2 * len(covered) >= len(rows)


def _variant_covered(name: str, methods: set[str]) -> bool:
    return any({original, method} <= methods for original, method in VARIANTS[name].items())


def _cells(
    number: int, name: str, scores: pd.DataFrame | None, n_bootstrap: int, seed: int
) -> Iterator[dict[str, Any]]:
    """Yield the cells of a case: every one that is printed, with ours where there is one."""
    printed = huang_liu(number, name)
    ours: dict[tuple[str, str], dict[str, Any]] = {}
    heads: dict[str, str] = {}
    if scores is not None:
        chosen, heads = _of_one_variant(scores[scores["metric"].isin(printed["metric"])])
        if len(chosen):
            ours = _ratios(chosen) if number == RATIOS else _means(chosen, n_bootstrap, seed)
    for method, metric, value in printed.itertuples(index=False):
        known = ours.get((method, metric), {})
        notes = [
            *([AS_PUBLISHED[metric]] if metric in AS_PUBLISHED and number != RATIOS else []),
            known.get("note", ""),
        ]
        yield {
            "row": method,
            "column": metric,
            "ours": known.get("ours", np.nan),
            "low": known.get("low", np.nan),
            "high": known.get("high", np.nan),
            "published": float(value),
            "images": known.get("images", 0),
            "note": " ".join(filter(None, [*notes, heads.get(metric, "") if known else ""])),
        }


def _of_one_variant(scores: pd.DataFrame) -> tuple[pd.DataFrame, dict[str, str]]:
    """Return the scores of the first variant (setting) of each metric, and by metric which that is of several."""
    first = scores.groupby("metric")["variant"].transform("first")
    said = {
        str(metric): f"Ours is the variant {of_metric.iloc[0]} of {', '.join(of_metric.unique())}."
        for metric, of_metric in scores.groupby("metric")["variant"]
        if of_metric.nunique() > 1
    }
    return scores[scores["variant"] == first], said


def _means(scores: pd.DataFrame, n_bootstrap: int, seed: int) -> dict[tuple[str, str], dict[str, Any]]:
    found, bounds = {}, known_bounds(scores)
    for (method, metric), group in scores.groupby(["method", "metric"], sort=False):
        values = group["score"].dropna().to_numpy()
        if len(values):
            low, high = mean_interval(values, n_bootstrap, 0.95, seed, bounds.get(group[LABEL].iloc[0]))
            found[str(method), str(metric)] = {"ours": values.mean(), "low": low, "high": high, "images": len(values)}
    return found


def _ratios(scores: pd.DataFrame) -> dict[tuple[str, str], dict[str, Any]]:
    found = {}
    # Its label may name a variant, and there is one of each metric here.
    for row in ratios(scores.assign(variant=""), VARIANTS, 0.95).to_dict("records"):
        notes = []
        if {*row["over"], *row["left_out"]} != set(ORIGINALS):
            notes.append(f"Over {', '.join(row['over'])} alone.")
        if row["left_out"]:
            left_out = ", ".join(row["left_out"])
            notes.append(f"Without {left_out}: the interval of its mean score reaches 0, which nothing divides.")
        cell = {"ours": row["ratio"], "low": row["low"], "high": row["high"], "images": row["images"]}
        found[str(row["variant"]), str(row["metric"])] = {**cell, "note": " ".join(notes)}
    return found
