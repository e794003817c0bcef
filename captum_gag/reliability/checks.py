"""All checks of a score table in one object: tables, four marks, and a few sentences for each metric."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from inspect import unwrap

import numpy as np
import pandas as pd

from captum_gag.errors import InputError, warn
from captum_gag.options import checked as with_checked_arguments
from captum_gag.reliability.agreement import (
    CONFIDENCE,
    implementation_sensitivity,
    inter_method,
    inter_rater,
    internal_consistency,
)
from captum_gag.reliability.baselines import against_baselines
from captum_gag.reliability.directions import higher_is_better, signs
from captum_gag.reliability.grouping import check_edges, concatenated, groups
from captum_gag.reliability.marks import RELIABLE_ALPHA, STEADY, advice, in_figures, marks
from captum_gag.reliability.resampling import N_BOOTSTRAP, Confidence, Resamples, Seed
from captum_gag.reliability.scores import (
    LABEL,
    checked,
    collapsed,
    independence,
    is_edges,
    is_random,
    judged,
    lean,
    picked,
)
from captum_gag.reliability.summaries import stability, summary, tricks
from captum_gag.reliability.truth import faults, validity


@dataclass(frozen=True)
class ReliabilityReport:
    """Tables, marks and sentences of all checks; ``captum_gag.report.reliability_report`` draws and writes them.

    Attributes:
        scores: The score table.
        tables: inter_rater, inter_rater_without_edges, validity, faults, inter_method, internal_consistency,
            implementation, baselines, tricks, stability, summary; those without a row are left out, but for the first.
        marks: Four marks for each metric; see ``marks``.
        advice: Which metric to choose a method by; "" where there was no truth to tell.
        verdicts: By metric, in words.
        by: The column by which images were grouped; "" for none.
        by_group: The same tables of each group of images, with the group in the first column, called as ``by``.
        assumption: What all intervals and tests assume of the images, in a sentence.
    """

    scores: pd.DataFrame
    tables: dict[str, pd.DataFrame]
    marks: pd.DataFrame
    advice: str
    verdicts: dict[str, str]
    by: str = ""
    by_group: dict[str, pd.DataFrame] = field(default_factory=dict)
    assumption: str = ""


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

    Random orderings and manipulated maps count as baselines and tricks only, not as methods. Images of one group (the
    column ``group``) count as one.

    Args:
        scores: A score table, see ``read_scores`` and ``from_arrays``.
        n_bootstrap: Resamples of the images, for the intervals of means.
        confidence: Of the intervals of alpha and of correlations; those of means are at 95 %.
        seed: Of the resamples.
        truth: Labels of the metrics that know which maps are right, for the others to be held against; see
            ``validity``.
        by: A column by which images are grouped, such as target or probability: all checks are run on each group too.
        edges: What cuts that column into ranges; see ``groups``.

    Raises:
        InputError: The scores are not a score table, hold no method besides random orderings, a direction is not
            known for any metric, or the images cannot be grouped so.
    """
    scores = _of_known_direction(checked(scores))
    check_edges(by, edges)
    of_groups = [] if by is None else list(groups(scores, by, edges))
    whole = _tables(scores, n_bootstrap, confidence, seed, truth)
    tables = {name: table for name, table in whole.items() if len(table) or name == "inter_rater"}
    marked = marks(scores, tables)
    reliable = dict(zip(marked["metric"], marked["reliable"], strict=True))
    verdicts = {metric: _verdict(metric, up, whole, reliable, confidence) for metric, up in signs(scores).items()}
    results = scores, tables, marked, advice(scores, tables, marked), verdicts
    if by is None:
        return ReliabilityReport(*results, assumption=independence(scores))
    parts = [(group, _tables(rows, n_bootstrap, confidence, seed, truth)) for group, rows in of_groups]
    by_group = {name: concatenated([(group, part[name]) for group, part in parts], by) for name in tables}
    return ReliabilityReport(*results, by, by_group, independence(scores))


def _of_known_direction(scores: pd.DataFrame) -> pd.DataFrame:
    """Return a checked table without the metrics of unknown direction, and say so, where there are others."""
    unknown = [label for label, higher in higher_is_better(scores).items() if higher is None]
    if not unknown or len(unknown) == scores[LABEL].nunique():
        return scores
    warn(
        f"{', '.join(unknown)} left out: it is not known whether higher is better; say so in a column "
        "higher_is_better of the table"
    )
    return scores[~scores[LABEL].isin(unknown)]


def _tables(
    scores: pd.DataFrame, n_bootstrap: int, confidence: float, seed: int, truth: Sequence[str]
) -> dict[str, pd.DataFrame]:
    """Return the table of each check of a checked score table, with or without rows."""
    scores = collapsed(lean(scores))
    # Numbers for the images are compared faster than their names.
    scores = scores.assign(image=scores["image"].factorize(sort=True)[0])
    # Only random orderings have their scores in curves.
    plain = scores.drop(columns=["curve_x_label", "curve_y"], errors="ignore")
    methods = judged(plain)
    if not len(methods):
        named = ", ".join(map(str, scores["method"].unique()[:5]))
        raise InputError(f"there is no method to judge: found {named} alone; expected others besides the random ones")
    alpha, edges = unwrap(inter_rater), is_edges(methods)
    mixed = edges.any() and not edges.all()
    none = pd.DataFrame(columns=["metric", "wrong"])
    return {
        "inter_rater": alpha(methods, confidence).reset_index(),
        "inter_rater_without_edges": alpha(methods[~edges] if mixed else methods.iloc[:0], confidence).reset_index(),
        "validity": unwrap(validity)(plain, truth) if truth else none,
        "faults": unwrap(faults)(plain),
        "inter_method": unwrap(inter_method)(methods, confidence).reset_index(),
        "internal_consistency": unwrap(internal_consistency)(methods, confidence),
        "implementation": unwrap(implementation_sensitivity)(methods, confidence),
        "baselines": unwrap(against_baselines)(scores),
        "tricks": unwrap(tricks)(plain, n_bootstrap, seed=seed),
        "stability": unwrap(stability)(methods, seed=seed),
        "summary": unwrap(summary)(picked(plain, ~is_random(plain)), n_bootstrap, seed=seed),
    }


def _verdict(
    metric: str, direction: int, tables: dict[str, pd.DataFrame], reliable: dict[str, str], confidence: float
) -> str:
    """Describe a metric in a few sentences; validity and faults stand in marks and tables."""
    rows = {name: table[table["metric"] == metric] for name, table in tables.items()}
    words = ["higher is better." if direction > 0 else "lower is better."]
    words += [_alpha_in_words(row, reliable[metric], confidence) for row in rows["inter_rater"].to_dict("records")]
    beaten, steady = rows["baselines"], rows["stability"]
    for key, baseline in (("beats_random", "random orderings"), ("beats_edges", "the edge detector")):
        losers = ", ".join(beaten.loc[beaten[key].eq(False), "method"])
        words += [f"By it these do not significantly beat {baseline}: {losers}."] if losers else []
    if (beaten["random_orderings"] == 1).any():
        words.append("A single random ordering cannot tell whether a method beats chance: set random_orderings = 39.")
    fooled = ", ".join(rows["tricks"].loc[rows["tricks"]["fooled"].eq(True), "method"])
    words += [f"It is fooled by: {fooled}."] if fooled else []
    for row in steady[steady["pair_flips"] < STEADY].head(1).to_dict("records"):
        words.append(
            f"Of {row['images']} of these images, {row['best']} is ahead of {row['runner_up']}, the runner-up, in more "
            f"than {1 - STEADY:.0%} of draws."
        )
    return " ".join(words)


def _alpha_in_words(row: dict[str, float], mark: str, confidence: float) -> str:
    alpha, *ends = (in_figures(row[name], RELIABLE_ALPHA) for name in ("alpha", "low", "high"))
    few = f"{row['images']:.0f} images, {row['methods']:.0f} methods"
    if np.isnan(row["alpha"]):
        return f"Agreement over images is undefined ({few})."
    if np.isnan(row["low"]):
        return f"Alpha {alpha} ({few}), too few to tell whether it is reliable."
    words = {
        "yes": "reliable: the images agree on the ranking of the methods",
        "no": "unreliable: a method that ranks first on average need not do so on your image",
        "unsure": f"inconclusive: the interval holds {RELIABLE_ALPHA}",
    }
    return f"Alpha {alpha} [{', '.join(ends)}] ({100 * confidence:g} %), {words[mark]}."
