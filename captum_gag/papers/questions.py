"""What Huang & Liu (2024) claim of GAG and RCAP, as questions of the methods and metrics that a run has."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import pandas as pd

from captum_gag.attr.catalogue import Method, method
from captum_gag.attr.map_transforms import Reverse
from captum_gag.metrics.base import Metric
from captum_gag.metrics.deletion_insertion import DeletionMetric, InsertionMetric
from captum_gag.metrics.rcap import RCAPMetric
from captum_gag.reliability.bootstrap import Floats
from captum_gag.reliability.scores import family_label
from captum_gag.report.run_figures import percentiles_of
from captum_gag.runs.spec import Suite

RIVALS = ("SG", "VarGrad", "IG", "GB", "Guided IG", "Blur IG", "VG")
"""The gradient methods that the paper compares GAG-85 with, under the catalogue's names."""

BEST = 85.0
"""The percentile of the method that the paper recommends."""

FAR = 0.5
"""A map is far worse than another if its mean score is less than this share of the other's.

On ImageNet-S the published means of reversed maps are 0.09 to 0.15 of their originals', on Places365 0.21 to 0.42; on
ISIC, at 0.90 to 1.01, the claim fails by the paper's own table.
"""

FLAT = 0.05
"""By what share of GAG-0's mean a metric may move over p and still be flat.

The published means of DAUC and IAUC move by 0.2 to 3.1 %, those of RCAP by 42 to 52 %.
"""


class Question(NamedTuple):
    """One number that a claim is about, and between what two it says that the number lies.

    Attributes:
        statistic: The number and what is claimed of it, in words.
        metric: The label of the metric.
        methods: The labels of the methods whose scores it is made of.
        per_image: From these scores, images x methods without gaps, to the columns whose means count, (images, K).
        of_means: From these K means, each of any shape, to the number.
        above: What the number is claimed to be above.
        below: And below.
        is_ratio: Whether the number is a ratio of means.
    """

    statistic: str
    metric: str
    methods: tuple[str, ...]
    per_image: Callable[[pd.DataFrame], Floats]
    of_means: Callable[..., Floats]
    above: float = -math.inf
    below: float = math.inf
    is_ratio: bool = False


def _ratio(metric: str, over: str, under: str, above: float = -math.inf, below: float = math.inf) -> Question:
    """Ask for the mean score of one method over that of another."""
    limits = " and ".join(f"{sign} {x:g}" for sign, x in ((">", above), ("<", below)) if math.isfinite(x))
    text = f"mean {metric} of {over} / {under} {limits}"
    return Question(text, metric, (over, under), pd.DataFrame.to_numpy, _quotient, above, below, True)


def _quotient(over: Floats, under: Floats) -> Floats:
    # A mean of 0, as without one image, is infinitely many times smaller.
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.divide(over, under)


def _rises(suite: Suite) -> Iterator[Question | str]:
    """Ask for the trend over p, and for its ends; not for every step, as the published means dip at p = 15."""
    line = _over_p(suite)
    if len(line) < 2:
        yield "GAG-p of two p"
        return
    labels, places = list(line), pd.Series(line)

    def rho(values: pd.DataFrame) -> Floats:
        # The mean of Spearman's rho is Page's L, rescaled. An image with one score at every p shows no trend.
        found: Floats = values.rank(axis=1).corrwith(places.rank(), axis=1).fillna(0.0).to_numpy()[:, None]
        return found

    for metric in _labels(suite, RCAPMetric):
        text = f"Spearman's rho of p and {metric}, mean over the images, > 0"
        yield Question(text, metric, tuple(labels), rho, lambda mean: mean, above=0.0)
        yield _ratio(metric, labels[-1], labels[0], above=1.0)


def _best(suite: Suite) -> Iterator[Question | str]:
    """Ask for GAG-85 over each of the paper's other gradient methods."""
    gag = [label for label, p in _over_p(suite).items() if p == BEST]
    if not gag:
        yield f"GAG-{BEST:g}"
        return
    metrics = _labels(suite, RCAPMetric)
    for name in RIVALS if metrics else ():
        rivals = _of_kind(suite, _kind(method(name)))
        for metric in metrics:
            yield from (_ratio(metric, gag[0], each, above=1.0) for each in rivals)
        if not rivals:
            yield name


def _reversed(suite: Suite) -> Iterator[Question | str]:
    """Ask for each reversed map over its original."""
    pairs = [
        (label, suite.bases[label])
        for label, each in suite.methods.items()
        if each.transform == Reverse.transform and suite.bases.get(label) in suite.methods
    ]
    if not pairs:
        yield "reversed maps together with their originals"
    for metric in _labels(suite, RCAPMetric):
        yield from (_ratio(metric, label, original, below=FAR) for label, original in pairs)


def _flat(suite: Suite) -> Iterator[Question | str]:
    """Ask for GAG-p over GAG-p of the lowest p, at every other p: equivalence within a margin."""
    line = _over_p(suite)
    if len(line) < 2:
        yield "GAG-p of two p"
        return
    first, *others = line
    for kind, name in ((DeletionMetric, "DAUC"), (InsertionMetric, "IAUC")):
        metrics = _labels(suite, kind)
        if not metrics:
            yield name
        yield from (_ratio(metric, each, first, 1 - FLAT, 1 + FLAT) for metric in metrics for each in others)


def _lifts(suite: Suite) -> Iterator[Question | str]:
    """Ask for each guided method over the same without the guide.

    That is the plain mean of the same gradients. Noisy guided backpropagation that the run does not have by itself is
    compared with guided backpropagation of the image, as in the paper.
    """
    pairs: list[tuple[str, list[str]]] = []
    for label, each in suite.methods.items():
        kind = _kind(each)
        if kind.interpretation == "signed" and kind.aggregation == "guided":
            plain = _of_kind(suite, kind._replace(aggregation="mean"))
            if not plain and kind.backpropagation == "guided":
                plain = _of_kind(suite, _kind(method("GB")))
            pairs.append((label, plain))
    if not pairs:
        yield "method with the guide, such as SG-G"
    for metric in _labels(suite, RCAPMetric):
        for label, plain in pairs:
            yield _ratio(metric, label, plain[0], above=1.0) if plain else f"{label} without its guide"


CLAIMS: dict[str, Callable[[Suite], Iterator[Question | str]]] = {
    "RCAP rises with p": _rises,
    "GAG-85 is the best gradient method by RCAP": _best,
    "reversed maps are far worse by RCAP": _reversed,
    "DAUC and IAUC are flat in p": _flat,
    "the guide lifts every method's RCAP": _lifts,
}
"""By the paper's claim: what it stands or falls with in a run, text where the run lacks that; nothing without RCAP."""


class Kind(NamedTuple):
    """What makes a method another one, whatever its number of samples and its noise."""

    type: type[Method]
    interpretation: str | None
    aggregation: str | None
    backpropagation: str | None
    abs: bool | None


def _kind(each: Method) -> Kind:
    return Kind(type(each), *(getattr(each, name, None) for name in Kind._fields[1:]))


def _of_kind(suite: Suite, kind: Kind) -> list[str]:
    return [label for label, each in suite.methods.items() if _kind(each) == kind]


def _over_p(suite: Suite) -> dict[str, float]:
    """Return the p of the methods that are GAG-p, the lowest first."""
    return dict(sorted(percentiles_of(suite.methods).items(), key=lambda each: each[1]))


def _labels(suite: Suite, kind: type[Metric]) -> list[str]:
    return [family_label(each.label, each.variant) for each in suite.metrics if isinstance(each.metric, kind)]
