"""Four marks for each metric, reliable, valid, sensitive to its implementation, fooled by sharpening; and an advice."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from captum_gag.reliability.scores import LABEL, metrics_of
from captum_gag.reliability.truth import SEEN

RELIABLE_ALPHA = 0.65
"""Below this alpha, Tomsett et al. (2019) call the rankings unreliable."""

STEADY = 0.05
"""Below this share of pairs of methods that change order, so many images are enough."""

ROUNDING = 1e-9
"""How far below a threshold a value may be and still meet it."""

SHARPEN = "sharpen"
"""What the column transform says of sharpened maps."""


def marks(scores: pd.DataFrame, tables: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """Return four marks of each metric, in a row.

    Args:
        scores: A checked score table.
        tables: What the checks found, by name, as in ``ReliabilityReport``; with or without validity.

    Returns:
        metric; reliable, whether the interval of alpha lies at or above ``RELIABLE_ALPHA``, and alpha; valid, whether
        the images order the explanations as every truth does, at most a share ``SEEN`` of pairs wrong, and no fault of
        a map goes unseen or is rewarded, and wrong, that share, by the truth that the metric is furthest from;
        sensitive, whether another variant of the metric correlates with it over images by less than
        ``RELIABLE_ALPHA``, by the mean over methods of the correlations' intervals, and rho, the lowest of these means;
        fooled, whether a sharpened map scores significantly better than its original, and gain, the largest. A mark is
        yes, no, unsure (the interval holds the threshold, or there is none) or "" where that was not run.
    """
    sharpened = set(scores.loc[scores["transform"] == SHARPEN, "method"])
    rows = []
    for metric in metrics_of(scores):
        of = {name: table[table["metric"] == metric] for name, table in tables.items() if "metric" in table}
        row: dict[str, object] = {"metric": metric}
        for each in of["inter_rater"].to_dict("records"):
            row |= {"reliable": _above(each["low"], each["high"], RELIABLE_ALPHA), "alpha": each["alpha"]}
        if "validity" in of:
            row |= _valid(of["validity"], of.get("faults"))
        if "implementation" in tables:
            row |= _sensitive(tables["implementation"], metric)
        if sharpened and "tricks" in of:
            row |= _fooled(of["tricks"][of["tricks"]["method"].isin(sharpened)])
        rows.append(row)
    columns = ["metric", "reliable", "alpha", "valid", "wrong", "sensitive", "rho", "fooled", "gain"]
    table = pd.DataFrame(rows, columns=columns)
    words = ["reliable", "valid", "sensitive", "fooled"]
    return table.assign(**{name: table[name].where(table[name].notna(), "") for name in words})


def advice(scores: pd.DataFrame, tables: Mapping[str, pd.DataFrame], marked: pd.DataFrame) -> str:
    """Say which metric to choose a method by: of those that need no segmentation, one that is valid by every truth.

    The score table is checked, ``tables`` are as for ``marks``, and ``marked`` is what that returned.

    Returns:
        A few sentences, with the regret of what is best by it; "" where the metrics were not held against a truth.
    """
    segmented = scores.get("uses_segmentation", pd.Series(False, index=scores.index)).eq(True)
    truths = {*scores.loc[segmented, LABEL], *(tables["validity"]["truth"] if "validity" in tables else [])}
    judged = marked[marked["wrong"].notna() & ~marked["metric"].isin(truths)]
    if not len(judged):
        return ""
    by_mark = (judged[judged["valid"] == mark] for mark in ("yes", "unsure", "no"))
    best = next(each for each in by_mark if len(each)).sort_values("wrong").iloc[0]
    if best["valid"] == "no":
        return "No metric orders explanations as every truth does: choose no method by these alone."
    against = tables["validity"]
    against = against[(against["metric"] == best["metric"]) & against["wrong"].notna()]
    furthest = against.loc[against["wrong"].idxmax(), "truth"]
    share = f"{best['wrong']:.0%} of the pairs of explanations in the wrong order by {furthest}"
    regrets = "; ".join(map(_regret_in_words, against.to_dict("records")))
    cost = f"Its pick, {against['pick'].iloc[0]}, is {regrets}."
    if best["valid"] == "unsure":
        return f"It cannot be told whether a metric is valid: the nearest, {best['metric']}, has {share}. {cost}"
    sentences = [
        f"To choose a method, take {best['metric']}: of the valid ones it is nearest to the truth, with {share}."
    ]
    sentences.append(cost)
    if "faults" in tables:
        of = tables["faults"][tables["faults"]["metric"] == best["metric"]]
        seen = of["found"] == "seen"
        trusted, others = ", ".join(of.loc[seen, "fault"]), ", ".join(of.loc[~seen, "fault"])
        sentences += [f"Trust it to see maps that are {trusted}."] if trusted else []
        sentences += [f"Do not trust it to see maps that are {others}."] if others else []
    if best["fooled"] == "yes":
        sentences.append("It rewards sharpened maps: compare maps of one scale only.")
    return " ".join(sentences)


def _regret_in_words(row: Mapping[str, Any]) -> str:
    place = f"rank {row['rank']:.3g} of {row['methods']} by {row['truth']}"
    if row["regret"] == 0:
        return f"{place}, at most {row['regret_high']:.2f} below the best"
    ends = f"[{row['regret_low']:.2f}, {row['regret_high']:.2f}]"
    return f"{place}, {row['regret']:.2f} {ends} below {row['best']}"


def meets(value: float, threshold: float) -> bool:
    """Tell whether a value is at or above a threshold, up to rounding."""
    return value >= threshold - ROUNDING


def in_figures(value: float, threshold: float) -> str:
    """Write a value with two decimals, or as many more as show on which side of a threshold it is."""
    places = (n for n in range(2, 9) if meets(float(f"{value:.{n}f}"), threshold) == meets(value, threshold))
    return f"{value:.{next(places, 9)}f}"


def _above(low: float, high: float, threshold: float) -> str:
    if np.isnan(low):
        return "unsure"
    return "yes" if meets(low, threshold) else "unsure" if meets(high, threshold) else "no"


def _valid(validity: pd.DataFrame, faults: pd.DataFrame | None) -> dict[str, object]:
    told = validity[validity["wrong"].notna()]
    if not len(told):
        return {}
    # By every truth: the nearest may be the one whose error the metric shares.
    answers = {_above(-row["wrong_high"], -row["wrong_low"], -SEEN) for row in told.to_dict("records")}
    # By luck the order may be right of a metric that does not look where the saliency lies.
    missed = [] if faults is None else faults[faults["found"].isin(["unseen", "rewarded"])]["low"]
    answers |= {"no" if low > SEEN else "unsure" for low in missed}
    return {"valid": next(mark for mark in ("no", "unsure", "yes") if mark in answers), "wrong": told["wrong"].max()}


def _sensitive(implementation: pd.DataFrame, metric: str) -> dict[str, object]:
    own = implementation[(implementation["metric"] == metric) | (implementation["other"] == metric)]
    means = own.groupby(["metric", "other"])[["rho", "low", "high"]].mean().dropna(subset="rho")
    if means.empty:
        return {}
    alike = [_above(low, high, RELIABLE_ALPHA) for _, low, high in means.itertuples(index=False)]
    mark = "yes" if "no" in alike else "unsure" if "unsure" in alike else "no"
    return {"sensitive": mark, "rho": means["rho"].min()}


def _fooled(tricks: pd.DataFrame) -> dict[str, object]:
    told = tricks[tricks["gain"].notna()]
    answers = list(told["fooled"])
    mark = "yes" if True in answers else "no" if all(answer is False for answer in answers) else "unsure"
    return {"fooled": mark, "gain": told["gain"].max()} if answers else {}
