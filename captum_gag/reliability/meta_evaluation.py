"""Meta-evaluation: a metric should not mind the minor, and should see the disruptive (Hedström et al., 2023)."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.stats import wilcoxon

from captum_gag.errors import InputError
from captum_gag.reliability.directions import signs
from captum_gag.reliability.resampling import Floats
from captum_gag.reliability.scores import COLUMNS, by_metric, checked, collapsed, judged

RESULTS = ("iac_nr", "iac_ar", "iec_nr", "iec_ar")


def meta_consistency(scores: pd.DataFrame, perturbed: pd.DataFrame) -> pd.DataFrame:
    r"""Score each metric by how its scores answer to perturbations of the images or the model (MetaQuantus).

    A minor perturbation leaves the prediction as it is, so scores and ranking should stay (noise resilience, NR); a
    disruptive one changes what the model does, so scores should become worse (reactivity to adversary, AR). With scores
    q, perturbed q', and ranks r of the methods within an image:

    .. math::
        \mathrm{IAC}_{NR} = \overline{p(q_j, q'_j)}, \quad \mathrm{IAC}_{AR} = 1 - \overline{p(q_j, q'_j)}, \quad
        \mathrm{IEC}_{NR} = \overline{[r_{ij} = r'_{ij}]}, \quad
        \mathrm{IEC}_{AR} = \overline{[q_{ij} \text{ better than } q'_{ij}]}

    p is that of the two-sided Wilcoxon signed-rank test over the images i of a method j (zeros split between both
    signs); the means are over methods, perturbations and, of IEC, images. MC is the mean of the four. Random orderings
    and manipulated maps do not count.

    Args:
        scores: A score table, nothing perturbed.
        perturbed: A score table with two more columns: perturbation, a name for each time that something was perturbed,
            and disruptive, whether that one was meant to change what the model does. Where an image has no score, as
            where its prediction did change though it should not, or did not though it should, it is left out.

    Returns:
        A row per metric: iac_nr, iac_ar, iec_nr, iec_ar and mc, each in [0, 1] and best at 1, NaN where there is no
        perturbation of that kind; methods, and images (the fewest that a perturbation has).

    Raises:
        InputError: One is no score table, both have no metric in common, or a direction is not known.
    """
    before = judged(collapsed(checked(scores)))
    tables, perturbations = by_metric(before), _by_perturbation(perturbed)
    rows = []
    for metric, sign in signs(before).items():
        results: dict[str, list[float]] = {name: [] for name in RESULTS}
        sizes = []
        for disruptive, after in perturbations:
            if metric in after:
                one, other = _complete_pair(sign * tables[metric], sign * after[metric])
                sizes.append(one.shape)
                p = _mean_p(one, other)
                places = [np.argsort(values, axis=1, kind="stable") for values in (one, other)]
                results["iac_ar" if disruptive else "iac_nr"].append(1 - p if disruptive else p)
                right = one > other if disruptive else places[0] == places[1]
                results["iec_ar" if disruptive else "iec_nr"].append(float(right.mean()))
        if sizes:
            means = {name: float(np.mean(values)) if values else np.nan for name, values in results.items()}
            images, methods = np.min(sizes, axis=0).tolist()
            row = {"metric": metric, **means, "mc": np.mean(list(means.values()))}
            rows.append(row | {"methods": methods, "images": images})
    if not rows:
        raise InputError("no metric of the scores has perturbed ones; expected the same names of metrics in both")
    return pd.DataFrame(rows)


def _by_perturbation(perturbed: pd.DataFrame) -> list[tuple[bool, dict[str, pd.DataFrame]]]:
    """Return a pair per perturbation: whether it is disruptive, and its scores by metric."""
    missing = {"perturbation", "disruptive", *COLUMNS} - set(getattr(perturbed, "columns", ()))
    if missing:
        raise InputError(
            f"the perturbed scores lack {', '.join(sorted(missing))}; expected a score table with the columns "
            "perturbation (a name) and disruptive (true or false) too"
        )
    parts = []
    for name, part in perturbed.groupby("perturbation", sort=False):
        kinds = part["disruptive"].unique().tolist()
        if kinds not in ([True], [False]):
            raise InputError(f"the column disruptive has {kinds} for {name!r}; expected true, or false, throughout")
        parts.append((bool(kinds[0]), by_metric(judged(collapsed(checked(part))))))
    return parts


def _complete_pair(before: pd.DataFrame, after: pd.DataFrame) -> tuple[Floats, Floats]:
    """Return both matrices, images x methods, of the images that have all scores in both."""
    methods = [name for name in before if name in set(after)]
    both = pd.concat({"before": before[methods], "after": after[methods]}, axis=1).dropna()
    if len(methods) < 2 or both.empty:
        raise InputError(
            f"{len(methods)} methods and {len(both)} images have scores before and after a perturbation; expected at "
            "least two methods and an image"
        )
    return both["before"].to_numpy(), both["after"].to_numpy()


def _mean_p(before: Floats, after: Floats) -> float:
    """Return the mean over the methods of p of Wilcoxon's test; 1 where all scores are the same."""
    same = (before == after).all(axis=0)
    p = wilcoxon(before[:, ~same], after[:, ~same], zero_method="zsplit").pvalue
    return float((np.sum(p) + same.sum()) / len(same))
