"""The verdict of each metric: which explanation is best, which may be, or why that cannot be told."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
from pydantic import SkipValidation

from captum_gag.errors import InputError
from captum_gag.options import checked as with_checked_arguments
from captum_gag.options import unknown
from captum_gag.reliability.directions import higher_is_better
from captum_gag.reliability.displacement import displacement_of
from captum_gag.reliability.pairwise import ALPHA, compare_pairs, pairs_of, require_resolved, sign_test, turned
from captum_gag.reliability.resampling import N_BOOTSTRAP, Confidence, Resamples, Seed
from captum_gag.reliability.scores import by_metric, checked, collapsed, explanations, ranked_methods

MISSING = 0.1
"""Above this share of images that lack a score, or for which the metric is blind, it cannot tell."""

COLUMNS = ["metric", "best", "state", "tied", "images", "reason"]


@with_checked_arguments
def verdict(
    scores: pd.DataFrame,
    against: str | None = None,
    sequential: pd.DataFrame | None = None,
    *,
    alpha: Confidence = ALPHA,
    n_bootstrap: Resamples = N_BOOTSTRAP,
    seed: Seed = 0,
    pairs: SkipValidation[pd.DataFrame | None] = None,
) -> pd.DataFrame:
    """Say of each metric which explanation is best, and whether that is decided.

    Compared are the explanations, and random orderings and edges, over the images that all of them have a score for.
    The best has the highest mean (the lowest, where lower is better); it is decided where by the tests of ``pairwise``
    it is better than each of the others, on average and on most images. The probability that a metric decides for one
    that is not is at most alpha, of images that are independent draws, but where what is rare decides the mean and is
    missing from few images (``benchmarks/verdict.py``).

    Args:
        scores: A score table, see ``read_scores``.
        against: Only the questions of this method are asked. None asks all.
        sequential: The decisions of ``reliability.sequential`` on the same scores, instead of tests for a fixed number
            of images: decided is then what was decided there, if the means agree.
        alpha: Probability of a wrong decision by a metric, in (0, 1).
        n_bootstrap: Resamples of the images.
        seed: Of the resamples.
        pairs: As ``pairwise`` returns them of the same scores; None computes them. A rival within their margin is said
            to be practically the same.

    Returns:
        A row per metric: metric; best, the explanation with the best mean, "" where the state is "cannot tell"; state,
        "decided", "open" (further images may decide it) or "cannot tell" (they will not: the metric is blind for some
        class, no explanation beats a control, scores are missing, or a direction is not known); tied (list), the
        explanations that may be best; images, those compared; reason, in words.

    Raises:
        InputError: The scores are not a score table, or the method is not in it.
    """
    require_resolved(alpha, n_bootstrap)
    if pairs is not None and pairs.attrs.get("alpha", alpha) != alpha:
        raise InputError(f"pairs are at alpha = {pairs.attrs['alpha']:g}, must be at the same as here, {alpha:g}")
    by_image = checked(scores)
    scores = collapsed(by_image)
    everyone = list(map(str, scores["method"].unique()))
    if against is not None and against not in everyone:
        raise unknown("method", against, everyone)
    compared, moved, directions = explanations(scores), displacement_of(scores), higher_is_better(scores)
    controls = [name for name in ranked_methods(scores) if name not in compared]
    named = list(dict.fromkeys([*ranked_methods(scores), *([against] if against else [])]))
    rows = []
    of_images = by_metric(by_image)
    for metric, whole in by_metric(scores).items():
        higher = directions[metric]
        table = whole if higher else -whole
        scored = table.reindex(columns=named).dropna(axis=1, how="all").dropna(axis=0, how="all")
        complete, own = scored.dropna(), [name for name in compared if name in scored]
        # Before groups are averaged, which would hide what their images lack.
        images = of_images[metric].reindex(columns=list(scored)).dropna(axis=0, how="all")
        gaps = [f"{name} of {count}" for name, count in images.isna().sum().items() if count]
        answer: dict[str, Any] = {"metric": metric, "best": "", "state": "cannot tell", "tied": own}
        answer["images"] = len(complete)
        of_metric = moved[moved["metric"] == metric]
        blind, share = _blindness(of_metric)
        if not own:
            answer["reason"] = "No explanation has a score."
        elif higher is None:
            answer["reason"] = "It is not known whether higher is better."
        elif len(images.dropna()) < (1 - MISSING) * len(images):
            answer["reason"] = f"Scores are missing of {len(images)} images: {enumerated(gaps)}."
        else:
            if sequential is not None:
                tests = sequential[sequential["metric"] == metric].assign(testable=True, difference=np.nan)
            elif pairs is not None and against is None:
                tests = pairs[(pairs["metric"] == metric) & (pairs["method"] < pairs["rival"])]
            else:
                asked = pairs_of(complete, controls)
                if against is not None:
                    asked = [(against, name) for name in complete if name != against and against in complete]
                tests = compare_pairs(complete, asked, alpha, n_bootstrap, seed)
            answer |= _answer(complete, own, against, pd.concat([tests, turned(tests)], ignore_index=True))
            if blind and share > MISSING:
                answer |= {"best": "", "state": "cannot tell", "tied": own, "reason": blind}
            elif blind:
                answer["reason"] += f" {blind}"
            if len(complete) < len(scored):
                answer["reason"] += f" Over {len(complete)} of {len(scored)} images, those with all scores."
            if answer["state"] == "decided" and of_metric.empty:
                answer["reason"] += " Whether the metric sees where a map points was not measured: no displaced maps."
            elif answer["state"] == "decided" and not of_metric["sees"].eq(True).any():
                answer["state"] = "open"
                answer["reason"] += " It is not shown that the metric sees where a map points: too few images."
        rows.append(answer)
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
    if decided <= common and decided:
        sure, rest = (list(voting.loc[voting["state"].eq("decided") == is_sure, "metric"]) for is_sure in (True, False))
        also = f", and may be by {enumerated(rest)}" if rest else ""
        return f"{decided.pop()} is best by {enumerated(sure)}{also}{without}."
    ordered = [name for name in voting["tied"].iloc[0] if name in common]
    return f"Not decided by {by}: {enumerated(ordered, 'or')} may be best{without}."


def enumerated(names: Sequence[str], last: str = "and", most: int = 8) -> str:
    """Names as a sentence lists them, "a, b and c"; beyond ``most``, how many more there are."""
    if len(names) > most:
        return f"{', '.join(names[:most])} {last} {len(names) - most} more"
    return f" {last} ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))


def _answer(complete: pd.DataFrame, own: Sequence[str], against: str | None, tests: pd.DataFrame) -> dict[str, Any]:
    """Best, state, tied and reason.

    Args:
        complete: Images x methods, higher is better, without gaps; the explanations and the controls to beat.
        own: The explanations.
        against: The only method that was asked about; None if all were.
        tests: Pairs of methods in both orders.
    """
    means = complete[list(own)].mean().sort_values(ascending=False, kind="stable")
    best, others = str(means.index[0]), list(means.index[1:])
    controls = [name for name in complete if name not in own and name != against]
    worse = set(tests.loc[tests["decision"].eq("worse") & tests["rival"].isin(own), "method"])
    tied = [name for name in means.index if name == best or name not in worse]
    rows = tests[tests["method"] == best].set_index("rival")
    answers = {name: rows.at[name, "decision"] if name in rows.index else "open" for name in [*others, *controls]}
    undecided, alike = ([name for name in others if answers[name] == word] for word in ("open", "same"))
    contrary = (rows["wins"] < rows["losses"]) & (
        sign_test(rows["wins"].to_numpy(int), rows["losses"].to_numpy(int)) < ALPHA
    )
    contrary |= rows["decision"].eq("worse")
    better = [name for name in others if name in rows.index and contrary[name]]
    ahead = [name for name in controls if not complete[name].mean() < means.iloc[0]]
    answer = {"best": best, "state": "open", "tied": tied}
    if ahead:
        reason = f"No explanation beats {enumerated(ahead, 'or')}."
        return {**answer, "best": "", "state": "cannot tell", "tied": list(own), "reason": reason}
    untied = rows["wins"] + rows["losses"]
    equal = [name for name in undecided if name in rows.index and not untied[name]]
    if not others:
        reason = "There is no other explanation to compare with."
    elif equal:
        reason = f"{enumerated([best, *equal])} have the same scores."
    elif against is not None and best != against:
        reason = f"Asked was about {against} alone, which has not the best mean."
    elif better:
        verb = "is" if len(better) == 1 else "are"
        reason = f"{best} has the best mean, but {enumerated(better)} {verb} better on most images."
    elif undecided and against is not None:
        reason = f"Asked was about {against} alone; not decided between {best} and {enumerated(undecided, 'or')}."
    elif undecided and not rows["testable"].all():
        count = f"{len(complete)} image{'s' * (len(complete) != 1)}"
        reason = f"Too few to decide: {count}, or those of them on which scores differ."
    elif undecided and "decided_at" in tests:
        reason = f"Not decided so far against {enumerated(undecided, 'or')}."
    elif undecided:
        reason = f"No significant difference from {enumerated(undecided, 'or')}."
    elif alike:
        reason = f"Practically the same as {enumerated(alike)}: the difference is within the margin."
    elif set(answers.values()) != {"better"}:
        unbeaten = [name for name in controls if answers[name] != "better"]
        reason = f"It is not decided whether it beats {enumerated(unbeaten, 'or')}."
    else:
        shares = rows.loc[others, "wins"] / (rows.loc[others, "wins"] + rows.loc[others, "losses"])
        over = "every other explanation" if len(others) > 1 else others[0]
        reason = f"Better than {over} on average, and on {shares.min():.0%} of the images or more."
        if "decided_at" in tests:
            reason = f"Better than {over} on most images, decided after {rows['decided_at'].max()}. "
            reason += "Its mean is better too, which was not tested."
        return {**answer, "state": "decided", "reason": reason}
    return {**answer, "reason": reason}


def _blindness(moved: pd.DataFrame) -> tuple[str, float]:
    """Sentence on the classes for which the metric is blind, "" for none, and their share of the images."""
    sentences, images = [], 0
    for classes, rows in moved.groupby(moved["classes"].map(tuple), sort=False):
        if rows["sees"].eq(True).any() or not rows["sees"].eq(False).any():
            continue
        row = rows[rows["sees"].eq(False)].iloc[0]
        chance = row["baseline_probability"]
        beside = "" if np.isnan(chance) else f" (the model gives the class {chance:.0%} on the metric's baseline)"
        images += row["images"]
        sentences.append(
            f"For {enumerated(list(classes), most=5)} the map of {row['base']} scores {row['score']:.3f}, and moved by "
            f"half the image {row['displaced']:.3f}{beside}: the score hardly depends on where the map points."
        )
    return " ".join(sentences), images / max(1, moved.groupby("base")["images"].sum().max()) if sentences else 0.0
