"""All checks of a score table in one object: tables, and a verdict in words for each metric."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from inspect import unwrap

import numpy as np
import pandas as pd

from captum_gag.errors import InputError
from captum_gag.options import checked as with_checked_arguments
from captum_gag.reliability.agreement import (
    CONFIDENCE,
    implementation_sensitivity,
    inter_method,
    inter_rater,
    internal_consistency,
)
from captum_gag.reliability.arguments import Confidence, Resamples, Seed
from captum_gag.reliability.bootstrap import N_BOOTSTRAP
from captum_gag.reliability.directions import signs
from captum_gag.reliability.grouping import check_edges, concatenated, groups
from captum_gag.reliability.marks import RELIABLE_ALPHA, STEADY, advice, in_figures, marks, meets
from captum_gag.reliability.scores import checked, is_edges, is_random, judged, lean, picked
from captum_gag.reliability.summaries import against_baselines, stability, summary, tricks
from captum_gag.reliability.truth import faults, validity


@dataclass(frozen=True)
class ReliabilityReport:
    """What the checks found; ``captum_gag.report.reliability_report`` draws it and writes it down.

    Attributes:
        scores: The score table.
        tables: inter_rater, inter_rater_without_edges, validity, faults, inter_method, internal_consistency,
            implementation, baselines, tricks, stability, summary; those without a row are left out, but for the first.
        marks: Four marks for each metric; see ``marks``.
        advice: Which metric to choose a method by; "" where there was no truth to tell.
        verdicts: By metric, in words.
        by: The column by which images were grouped; "" for none.
        by_group: The same tables of each group of images, with the group in the first column, called as ``by``.
    """

    scores: pd.DataFrame
    tables: dict[str, pd.DataFrame]
    marks: pd.DataFrame
    advice: str
    verdicts: dict[str, str]
    by: str = ""
    by_group: dict[str, pd.DataFrame] = field(default_factory=dict)


@with_checked_arguments
def report(
    scores: pd.DataFrame,
    n_bootstrap: Resamples = N_BOOTSTRAP,
    confidence: Confidence = CONFIDENCE,
    seed: Seed = 0,
    *,
    truth: Sequence[str] = (),
    by: str | None = None,
    edges: Sequence[float] = (),
) -> ReliabilityReport:
    """Run every check on a score table.

    Random orderings and manipulated maps count as baselines and tricks only, not as methods.

    Args:
        scores: A score table, see ``read_scores`` and ``from_arrays``.
        n_bootstrap: Resamples of the images, for the intervals of means.
        confidence: Of the intervals of the agreement statistics.
        seed: Of the resamples.
        truth: Labels of the metrics that know which maps are right, for the others to be held against; see
            ``validity``.
        by: A column by which images are grouped, such as target or probability: all checks are run on each group too.
        edges: What cuts that column into ranges; see ``groups``.

    Returns:
        Tables and verdicts.

    Raises:
        InputError: The scores are not a score table, hold no method besides random orderings, a direction is not
            known, or the images cannot be grouped so.
    """
    scores = checked(scores)
    check_edges(by, edges)
    grouped = [] if by is None else list(groups(scores, by, edges))
    directions = signs(scores)
    found = _checks(scores, n_bootstrap, confidence, seed, truth)
    tables = {name: table for name, table in found.items() if len(table) or name == "inter_rater"}
    verdicts = {metric: _verdict(metric, up, found) for metric, up in directions.items()}
    marked = marks(scores, tables)
    advised = advice(scores, tables, marked)
    if by is None:
        return ReliabilityReport(scores, tables, marked, advised, verdicts)
    parts = [(group, _checks(rows, n_bootstrap, confidence, seed, truth)) for group, rows in grouped]
    by_group = {name: concatenated([(group, each[name]) for group, each in parts], by) for name in tables}
    return ReliabilityReport(scores, tables, marked, advised, verdicts, by, by_group)


def _checks(
    scores: pd.DataFrame, n_bootstrap: int, confidence: float, seed: int, truth: Sequence[str]
) -> dict[str, pd.DataFrame]:
    """Return the table of each check of a checked score table, with or without rows."""
    # Numbers for the images are compared faster than their names.
    scores = lean(scores).assign(image=scores["image"].factorize(sort=True)[0])
    # Only random orderings have their scores in curves.
    plain = scores.drop(columns=["curve_x_label", "curve_y"], errors="ignore")
    methods = judged(plain)
    if not len(methods):
        named = ", ".join(map(str, scores["method"].unique()[:5]))
        raise InputError(f"there is no method to judge: found {named} alone; expected others besides the random ones")
    alpha, edges = unwrap(inter_rater), is_edges(methods)
    # Of millions of rows that are all kept, there is no need for a copy.
    some = edges.any() and not edges.all()
    alpha_without_edges = alpha(methods[~edges], confidence) if some else methods.iloc[:0]
    against_truth = pd.DataFrame(columns=["metric", "wrong"])
    if truth:
        against_truth = unwrap(validity)(plain, truth)
    return {
        "inter_rater": alpha(methods, confidence).reset_index(),
        "inter_rater_without_edges": alpha_without_edges.reset_index(),
        "validity": against_truth,
        "faults": unwrap(faults)(plain),
        "inter_method": unwrap(inter_method)(methods, confidence).reset_index(),
        "internal_consistency": unwrap(internal_consistency)(methods, confidence),
        "implementation": unwrap(implementation_sensitivity)(methods, confidence),
        "baselines": unwrap(against_baselines)(scores, n_bootstrap, seed=seed),
        "tricks": unwrap(tricks)(plain, n_bootstrap, seed=seed),
        "stability": unwrap(stability)(methods, seed=seed),
        "summary": unwrap(summary)(picked(plain, ~is_random(plain)), n_bootstrap, confidence, seed),
    }


def _verdict(metric: str, direction: int, found: dict[str, pd.DataFrame]) -> str:
    rows = {name: table[table["metric"] == metric] for name, table in found.items()}
    better = "higher" if direction > 0 else "lower"
    said = [f"{better} is better."]
    said += [_alpha_in_words(row) for row in rows["inter_rater"].to_dict("records")]
    said += _truth_in_words(rows["validity"], rows["faults"])
    beaten = rows["baselines"]
    for key, what in (("beats_random", "random orderings"), ("beats_edges", "the edge detector")):
        losers = list(beaten.loc[beaten[key].eq(False), "method"])
        if losers:
            said.append(f"By it these do not beat {what}: {', '.join(losers)}.")
    fooled = rows["tricks"].loc[rows["tricks"]["fooled"].eq(True), "method"]
    if len(fooled):
        said.append(f"It is fooled by: {', '.join(fooled)}.")
    steady = rows["stability"]
    enough = steady[steady["flips"] < STEADY]
    if len(enough):
        said.append(f"From {enough['images'].iloc[0]} images on, fewer than 5 % of the pairs of methods change order.")
    elif len(steady):
        last = steady.iloc[-1]
        said.append(f"Still at {last['images']} images, {last['flips']:.0%} of the pairs of methods change order.")
    return " ".join(said)


def _truth_in_words(validity: pd.DataFrame, faults: pd.DataFrame) -> list[str]:
    said = [
        f"Of the pairs of explanations it orders {row['wrong']:.0%} [{row['wrong_low']:.0%}, {row['wrong_high']:.0%}] "
        f"against {row['truth']}."
        for row in validity[validity["wrong"].notna()].to_dict("records")
    ]
    by_word = {word: list(rows["fault"]) for word, rows in faults.groupby("found", sort=False)}
    words = {"seen": "It sees maps that are", "partly": "Partly", "unseen": "Not", "rewarded": "It rewards"}
    return said + [f"{text} {', '.join(by_word[word])}." for word, text in words.items() if word in by_word]


def _alpha_in_words(row: dict[str, float]) -> str:
    alpha, low, high = row["alpha"], row["low"], row["high"]
    if np.isnan(alpha):
        return f"Agreement over images is undefined ({row['images']:.0f} images, {row['methods']:.0f} methods)."
    if np.isnan(low):
        few = f"{row['images']:.0f} images, {row['methods']:.0f} methods"
        return f"Alpha {alpha:.2f} ({few}), too few to tell whether it is reliable."
    if meets(alpha, RELIABLE_ALPHA):
        judged = "reliable: the images agree on the ranking of the methods"
        unsure = not meets(low, RELIABLE_ALPHA)
    else:
        judged = "unreliable: a method that ranks first on average need not do so on your image"
        unsure = meets(high, RELIABLE_ALPHA)
    doubt = ", though too few images to be sure" if unsure else ""
    shown, *ends = (in_figures(value, RELIABLE_ALPHA) for value in (alpha, low, high))
    return f"Alpha {shown} [{', '.join(ends)}], {judged}{doubt}."
