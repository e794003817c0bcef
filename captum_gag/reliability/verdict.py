"""The verdict of each metric: which explanation is best, which may be, or why that cannot be told."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations, product
from typing import Any

import numpy as np
import pandas as pd

from captum_gag.errors import InputError
from captum_gag.options import unknown
from captum_gag.reliability.directions import higher_is_better
from captum_gag.reliability.displacement import displacement
from captum_gag.reliability.pairwise import ALPHA, shared, signs_of, turned
from captum_gag.reliability.scores import by_metric, checked, explanations, is_edges, is_random

MISSING = 0.1
"""Above this share of images that an explanation lacks a score of, the others are not a fair sample."""

COLUMNS = ["metric", "best", "state", "tied", "images", "reason"]


def verdict(
    scores: pd.DataFrame, against: str | None = None, sequential: pd.DataFrame | None = None, *, alpha: float = ALPHA
) -> pd.DataFrame:
    """Say of each metric which explanation is best, and whether that is decided.

    Compared are the explanations over the images that all of them have a score for. The best has the highest mean (the
    lowest, where lower is better); it is decided where it is also better on most images than each other explanation,
    and than random orderings and edges, by the tests of ``pairwise``. The probability that a metric decides for one
    that is not better on most images is at most alpha, of images that are independent draws.

    Args:
        scores: A score table, see ``read_scores``.
        against: Only the questions of this method are asked. None asks all.
        sequential: The decisions of ``reliability.sequential`` on the same scores, instead of tests for a fixed number
            of images; asked then is what was asked there.
        alpha: Probability of a wrong decision by a metric, in (0, 1).

    Returns:
        A row per metric: metric; best, the explanation with the best mean, "" where the state is "cannot tell"; state,
        "decided", "open" (further images may decide it) or "cannot tell" (they will not: the metric is blind for some
        class, no explanation beats a control, scores are missing, or a direction is not known); tied (list), the
        explanations that may be best; images, those compared; reason, in words.

    Raises:
        InputError: The scores are not a score table, or the method is not in it.
    """
    scores = checked(scores)
    everyone = list(map(str, scores["method"].unique()))
    if against is not None and against not in everyone:
        raise unknown("method", against, everyone)
    if not 0 < alpha < 1:
        raise InputError(f"alpha is {alpha!r}; it must be between 0 and 1")
    compared, moved, directions = explanations(scores), displacement(scores), higher_is_better(scores)
    baselines = list(scores.loc[is_random(scores) | is_edges(scores), "method"].unique())
    rows = []
    for metric, table in by_metric(scores).items():
        higher = directions[metric]
        answer = _incomparable(table, compared, higher)
        if answer is None:
            tests = _tests(table if higher else -table, compared, baselines, against, alpha)
            if sequential is not None:
                tests = _decisions(sequential[sequential["metric"] == metric])
            answer = _answer(table if higher else -table, compared, baselines, against, tests)
            blind = _blindness(moved[moved["metric"] == metric])
            if blind:
                answer |= {"best": "", "state": "cannot tell", "reason": blind}
            elif answer["state"] == "decided" and metric not in set(moved["metric"]):
                answer["reason"] += " Whether the metric sees where a map points was not measured: no displaced maps."
        rows.append({"metric": metric, **answer})
    return pd.DataFrame(rows, columns=COLUMNS)


def consensus(verdicts: pd.DataFrame, marks: pd.DataFrame | None = None) -> str:
    """One sentence on what the metrics that can tell say together.

    Without a vote are the metrics that cannot tell, those that are marked as not reliable or not valid, and sparseness,
    which does not ask the model.

    Args:
        verdicts: As ``verdict`` returns them.
        marks: As in ``ReliabilityReport``. None if the metrics were not checked.
    """
    silent = set(verdicts.loc[verdicts["state"] == "cannot tell", "metric"])
    silent |= {metric for metric in verdicts["metric"] if "sparseness" in metric.lower()}
    if marks is not None:
        refused = marks[["reliable", "valid"]].eq("no").any(axis=1)
        silent |= set(marks.loc[refused, "metric"])
    voting = verdicts[~verdicts["metric"].isin(silent)]
    without = f" (no vote: {enumerated(sorted(silent))})" if silent else ""
    if voting.empty:
        return f"No metric can tell which explanation is best{without}."
    by = enumerated(list(voting["metric"]))
    common = set.intersection(*map(set, voting["tied"]))
    decided = set(voting.loc[voting["state"] == "decided", "best"])
    if len(decided) > 1 or not common:
        bests = (f"{row['best']} by {row['metric']}" for row in voting.to_dict("records"))
        return f"The metrics disagree: {', '.join(bests)}{without}."
    if (voting["state"] == "decided").all():
        return f"{common.pop()} is best by {by}{without}."
    ordered = [name for name in voting["tied"].iloc[0] if name in common]
    return f"Not decided by {by}: {enumerated(ordered, 'or')} may be best{without}."


def enumerated(names: Sequence[str], last: str = "and", most: int = 8) -> str:
    """Names as a sentence lists them, "a, b and c"; beyond ``most``, how many more there are."""
    if len(names) > most:
        return f"{', '.join(names[:most])} {last} {len(names) - most} more"
    return f" {last} ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))


def _incomparable(table: pd.DataFrame, compared: Sequence[str], higher: bool | None) -> dict[str, Any] | None:
    """Answer of a metric whose scores cannot be compared; None if they can."""
    scored = table.reindex(columns=list(compared)).dropna(axis=1, how="all").dropna(axis=0, how="all")
    answer = {"best": "", "state": "cannot tell", "tied": list(scored), "images": len(scored.dropna())}
    if scored.empty:
        return {**answer, "reason": "No explanation has a score."}
    if higher is None:
        return {**answer, "reason": "It is not known whether higher is better."}
    if len(scored.dropna()) < (1 - MISSING) * len(scored):
        gaps = {name: int(count) for name, count in scored.isna().sum().items() if count}
        lacking = enumerated([f"{name} of {count}" for name, count in gaps.items()])
        return {**answer, "reason": f"Scores are missing of {len(scored)} images: {lacking}."}
    return None


def _tests(
    table: pd.DataFrame, compared: Sequence[str], baselines: Sequence[str], against: str | None, alpha: float
) -> pd.DataFrame:
    """Sign tests of all pairs with an explanation in them, in both orders."""
    complete = shared(table, compared)
    controls = [name for name in baselines if name in table and table.loc[complete.index, name].notna().any()]
    pairs = [*combinations(complete, 2), *product(complete, controls)]
    if against is not None:
        others = [name for name in [*complete, *controls] if name != against]
        pairs = [(against, name) for name in others] if against in table else []
    columns = dict.fromkeys([*complete, *controls, *([against] if against in table else [])])
    tests = signs_of(table.loc[complete.index, list(columns)], pairs, alpha)
    return pd.concat([tests, turned(tests)], ignore_index=True)


def _decisions(sequential: pd.DataFrame) -> pd.DataFrame:
    tests = sequential[["method", "rival", "wins", "losses", "decision"]].assign(
        mean=np.nan, rival_mean=np.nan, difference=np.nan, p=np.nan, testable=True
    )
    return pd.concat([tests, turned(tests)], ignore_index=True)


def _answer(
    table: pd.DataFrame, compared: Sequence[str], baselines: Sequence[str], against: str | None, tests: pd.DataFrame
) -> dict[str, Any]:
    """Best, state, tied, images and reason by the tests, of scores of which higher is better."""
    complete = shared(table, compared)
    means = complete.mean().sort_values(ascending=False, kind="stable")
    best, others = str(means.index[0]), list(means.index[1:])
    worse = set(tests.loc[tests["decision"].eq("worse") & tests["rival"].isin(complete), "method"])
    tied = [name for name in means.index if name == best or name not in worse]
    rows = {row["rival"]: row for row in tests[tests["method"] == best].to_dict("records")}
    undecided = [name for name in others if name not in rows or rows[name]["decision"] == "open"]
    better = [name for name in others if name in rows and rows[name]["decision"] == "worse"]
    gaps = int(table.reindex(columns=list(compared)).notna().any(axis=1).sum()) - len(complete)
    over = f" Over {len(complete)} of {len(complete) + gaps} images, those with all scores." if gaps else ""
    answer = {"best": best, "state": "open", "tied": tied, "images": len(complete)}
    ahead = [name for name in baselines if name in table and not table.loc[complete.index, name].mean() < means.iloc[0]]
    unbeaten = [
        name
        for name in baselines
        if name in table
        and table[name].notna().any()
        and not tests[tests["rival"].eq(name) & tests["method"].isin(tied)]["decision"].eq("better").any()
    ]
    if ahead:
        return {
            **answer,
            "best": "",
            "state": "cannot tell",
            "reason": f"No explanation beats {enumerated(ahead, 'or')}.",
        }
    if not others:
        reason = "There is no other explanation to compare with."
    elif better:
        verb = "is" if len(better) == 1 else "are"
        reason = f"{best} has the best mean, but {enumerated(better)} {verb} better on most images."
    elif undecided and against is not None:
        reason = f"Asked was about {against} alone; not decided between {best} and {enumerated(undecided, 'or')}."
    elif undecided and not all(row["testable"] for row in rows.values()):
        reason = f"{len(complete)} images, or those of them on which scores differ, are too few to decide."
    elif undecided:
        reason = f"No significant difference from {enumerated(undecided, 'or')}."
    elif unbeaten:
        reason = f"It is not decided whether it beats {enumerated(unbeaten, 'or')}."
    else:
        answer["state"] = "decided"
        shares = [rows[name]["wins"] / (rows[name]["wins"] + rows[name]["losses"]) for name in others]
        reason = f"Better than every other explanation on most images (on {min(shares):.0%} of them or more)."
    return {**answer, "reason": reason + over}


def _blindness(moved: pd.DataFrame) -> str:
    """Sentence on the classes for which the metric is blind; "" where it sees, or that was not measured."""
    sentences = []
    for classes, rows in moved.groupby(moved["classes"].map(tuple), sort=False):
        if rows["sees"].eq(True).any() or not rows["sees"].eq(False).any():
            continue
        row = rows[rows["sees"].eq(False)].iloc[0]
        chance = row["baseline_probability"]
        given = "" if np.isnan(chance) else f" (the model gives the class {chance:.0%} on the metric's baseline)"
        sentences.append(
            f"For {enumerated(list(classes), most=5)} the map of {row['base']} scores {row['score']:.3f}, and moved by "
            f"half the image {row['displaced']:.3f}{given}: the score does not depend on where the map points."
        )
    return " ".join(sentences)
