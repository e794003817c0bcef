"""The claims of Huang & Liu (2024) on GAG and RCAP, tested on the scores of runs: holds, fails, or undecided."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import pandas as pd

from captum_gag.attr.catalogue import method
from captum_gag.attr.methods import Method
from captum_gag.attr.transforms import Reverse
from captum_gag.metrics.base import Metric
from captum_gag.metrics.deletion_insertion import DeletionMetric, InsertionMetric
from captum_gag.metrics.rcap import RCAPMetric
from captum_gag.papers.huang_liu import mean_ratio
from captum_gag.reliability.resampling import jackknife_interval, without_each
from captum_gag.reliability.scores import by_image, checked, family_label
from captum_gag.report.run_figures import percentiles_of
from captum_gag.report.table_files import markdown_table, save_csv, save_text
from captum_gag.runs.spec import Suite

COLUMNS = ["claim", "statistic", "value", "low", "high", "above", "below", "verdict", "images"]
VERDICTS = ["fails", "undecided", "holds", "not tested"]
"""In the order in which one of them decides over a claim."""

FEWEST = 6
"""Images below which nothing is decided: a fair coin falls on one side five times out of five in 3 %, six in 2 %."""

RIVALS = ("SG", "VarGrad", "IG", "GB", "Guided IG", "Blur IG", "VG")
"""The gradient methods that the paper compares GAG-85 with, under the catalogue's names."""

BEST = 85.0
"""The percentile of the method that the paper recommends."""

FAR = 0.5
"""A map is far worse than another if its mean score is less than this share of the other's.

The published means of reversed maps are 0.09 to 0.42 of their originals' on ImageNet-S and Places365; on ISIC, at 0.90
to 1.01, the claim fails by the paper's own table.
"""

FLAT = 0.05
"""The share of GAG-0's mean by which a flat metric may move over p: published are 0.2 to 3.1 %, for RCAP 42 to 52 %."""

PARTS = ("interpretation", "aggregation", "backpropagation", "abs")
"""Options that make a method another one, unlike its number of samples and its noise."""

Pairs: TypeAlias = Sequence[tuple[str, str] | str]
"""The labels of two methods each, whose ratio of mean scores is in question; text for what a suite lacks."""


def _steps(suite: Suite) -> Pairs:
    """Return GAG-p of every other p over that of the lowest."""
    first, *others = _over_p(suite) or [""]
    return [(label, first) for label in others] or ["GAG-p of two p"]


def _rivals(suite: Suite) -> Pairs:
    """Return GAG-85 over each of the paper's other gradient methods."""
    best = [label for label, percentile in _over_p(suite).items() if percentile == BEST]
    if not best:
        return [f"GAG-{BEST:g}"]
    pairs: list[tuple[str, str] | str] = []
    for name in RIVALS:
        pairs += [(best[0], label) for label in _alike(suite, method(name))] or (name,)
    return pairs


def _reversed(suite: Suite) -> Pairs:
    """Return each reversed map over its original."""
    reverses = [label for label, of_label in suite.methods.items() if of_label.transform == Reverse.transform]
    pairs = [(label, suite.bases[label]) for label in reverses if suite.bases.get(label) in suite.methods]
    return pairs or ["reversed maps together with their originals"]


def _guided(suite: Suite) -> Pairs:
    """Return each guided method over the same without the guide: the plain mean of the same gradients.

    Noisy guided backpropagation that the run does not have by itself is compared with guided backpropagation of the
    image, as in the paper.
    """
    pairs: list[tuple[str, str] | str] = []
    for label, guided in suite.methods.items():
        options = guided.options()
        if (options.get("interpretation"), options.get("aggregation")) == ("signed", "guided"):
            plain = _alike(suite, guided, aggregation="mean")
            if not plain and options.get("backpropagation") == "guided":
                plain = _alike(suite, method("GB"))
            pairs.append((label, plain[0]) if plain else f"{label} without its guide")
    return pairs or ["method with the guide, such as SG-G"]


def _alike(suite: Suite, method: Method, **options: str) -> list[str]:
    """Return the labels of the methods of the same type and ``PARTS``, but for ``options``."""

    def kind(options: Mapping[str, Any]) -> list[Any]:
        return [options.get(name) for name in PARTS]

    expected = kind({**method.options(), **options})
    of_type = {label: other for label, other in suite.methods.items() if type(other) is type(method)}
    return [label for label, other in of_type.items() if kind(other.options()) == expected]


def _over_p(suite: Suite) -> dict[str, float]:
    """Return the p of the methods that are GAG-p, the lowest first."""
    return dict(sorted(percentiles_of(suite.methods).items(), key=lambda item: item[1]))


class Claim(NamedTuple):
    """A claim about metrics, by name: that ratios of mean scores lie between two limits.

    With ``trend`` also that Spearman's rho of p and the score is above 0.
    """

    text: str
    metrics: Mapping[str, type[Metric]]
    pairs: Callable[[Suite], Pairs]
    above: float = -math.inf
    below: float = math.inf
    trend: bool = False


RCAP = {"RCAP": RCAPMetric}
CURVES = {"DAUC": DeletionMetric, "IAUC": InsertionMetric}
CLAIMS = (
    # The highest p over the lowest, not every step: the published means dip at p = 15.
    Claim("RCAP rises with p", RCAP, lambda suite: _steps(suite)[-1:], above=1.0, trend=True),
    Claim("GAG-85 is the best gradient method by RCAP", RCAP, _rivals, above=1.0),
    Claim("reversed maps are far worse by RCAP", RCAP, _reversed, below=FAR),
    Claim("DAUC and IAUC are flat in p", CURVES, _steps, above=1 - FLAT, below=1 + FLAT),
    Claim("the guide lifts every method's RCAP", RCAP, _guided, above=1.0),
)


class Question(NamedTuple):
    """A ratio of two methods' mean scores, or a trend of scores over the methods' p, and its limits."""

    statistic: str
    metric: str
    methods: tuple[str, ...]
    above: float
    below: float
    percentiles: tuple[float, ...] = ()


def claims(scores: pd.DataFrame, suite: Suite, *, confidence: float = 0.95) -> pd.DataFrame:
    """Test the paper's claims on the scores of a run.

    All statistics are paired: over the images that have a score for each of the methods concerned. Intervals are
    ``jackknife_interval`` over these images. A number ``holds`` where its interval lies within the claimed limits,
    ``fails`` where it lies outside, and is ``undecided`` elsewhere and for fewer than 6 images. A claim about several
    numbers holds if all of them do, without correction (intersection-union test), and fails if one of them does by its
    interval of confidence 1 - (1 - confidence) / k with k numbers (Bonferroni).

    Args:
        scores: The records of the run.
        suite: The suite of the run, built: methods are recognised by their types and options, never by their labels.
        confidence: Of the intervals, in (0, 1).

    Returns:
        A row per number: claim, statistic (the number and its limits in words), value, low, high, above, below (the
        limits), verdict, images. Where the run lacks a method or metric, the verdict is "not tested" and the statistic
        names it.

    Raises:
        InputError: The scores are not a score table.
    """
    table = checked(scores)
    rows: list[dict[str, Any]] = []
    for claim in CLAIMS:
        # A suite may lack a method for several metrics.
        questions = list(dict.fromkeys(_questions(claim, suite)))
        corrected = 1 - (1 - confidence) / max(1, sum(isinstance(question, Question) for question in questions))
        for question in questions:
            if isinstance(question, Question):
                row = _answer(question, table, confidence, corrected)
            else:
                row = {"statistic": f"the run has no {question}", "verdict": "not tested", "images": 0}
            rows.append({"claim": claim.text, **row})
    return pd.DataFrame(rows, columns=COLUMNS)


def decisive(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the row that decides over each claim: the one whose interval is nearest to failing, or past it.

    Args:
        rows: As ``claims`` returns them.

    Returns:
        A row per claim, with the claim's verdict; what is not tested decides only where nothing is.
    """
    room = np.fmin(rows["low"] - rows["above"], rows["below"] - rows["high"])
    order = rows.assign(order=rows["verdict"].map(VERDICTS.index), room=room)
    first = order.sort_values(["order", "room"], kind="stable").drop_duplicates("claim")
    return rows.loc[first.index.sort_values()]


def side_by_side(rows: pd.DataFrame) -> pd.DataFrame:
    """Return claims as text: a row per claim, a column per network, in each cell the verdict and what decided.

    ``rows`` are those of ``claims`` for several runs, with the column network.
    """
    decided = pd.concat(decisive(of_network) for _, of_network in rows.groupby("network", sort=False))
    texts = []
    for row in decided.to_dict("records"):
        end = f"{row['value']:.3f} [{row['low']:.3f}, {row['high']:.3f}], {row['images']} images"
        if np.isnan(row["low"]):
            end = f"{row['value']:.3f}, {row['images']} images, too few to tell"
        end = "" if row["verdict"] == "not tested" else f": {end}"
        texts.append(f"{row['verdict']}: {row['statistic']}{end}")
    table = decided.assign(text=texts).pivot(index="claim", columns="network", values="text").rename_axis(columns=None)
    return table.reindex(index=rows["claim"].unique(), columns=rows["network"].unique())


def as_lines(rows: pd.DataFrame) -> list[str]:
    """Return ``side_by_side`` as lines for the terminal: a claim, and below it each network with what it lacks."""
    lines = []
    for claim, cells in side_by_side(rows).iterrows():
        lines.append(str(claim))
        for network, text in cells.items():
            of_cell = rows[(rows["claim"] == claim) & (rows["network"] == network)]
            missing = list(of_cell.loc[of_cell["verdict"] == "not tested", "statistic"])
            also = missing if len(missing) < len(of_cell) else []
            lines.append("; ".join([f"  {network}: {text}", *also]))
    return lines


def save_claims(rows: pd.DataFrame, directory: Path) -> list[Path]:
    """Write claims.csv (all rows, all digits) and claims.md (``side_by_side``) into a directory, made if missing."""
    directory.mkdir(parents=True, exist_ok=True)
    text = f"{markdown_table(side_by_side(rows))}\n"
    return [save_csv(rows, directory / "claims.csv"), save_text(text, directory / "claims.md")]


def _questions(claim: Claim, suite: Suite) -> Iterator[Question | str]:
    """Yield the numbers that a claim is about in a suite; text for what the suite lacks."""
    pairs, line = claim.pairs(suite), _over_p(suite)
    if all(isinstance(pair, str) for pair in pairs):
        yield from map(str, pairs)
        return
    signs = ((">", claim.above), ("<", claim.below))
    limits = " and ".join(f"{sign} {limit:g}" for sign, limit in signs if math.isfinite(limit))
    for name, kind in claim.metrics.items():
        entries = [entry for entry in suite.metrics if isinstance(entry.metric, kind)]
        if not entries:
            yield name
        for metric in (family_label(entry.label, entry.variant) for entry in entries):
            if claim.trend:
                text = f"Spearman's rho of p and {metric}, mean over the images, > 0"
                yield Question(text, metric, tuple(line), 0.0, math.inf, tuple(line.values()))
            for pair in pairs:
                if isinstance(pair, str):
                    yield pair
                else:
                    text = f"mean {metric} of {' / '.join(pair)} {limits}"
                    yield Question(text, metric, pair, claim.above, claim.below)


def _answer(question: Question, scores: pd.DataFrame, confidence: float, corrected: float) -> dict[str, Any]:
    """Return the row of a question; ``corrected`` is the confidence that failing takes."""
    table = by_image(scores, question.metric).reindex(columns=list(question.methods)).dropna()
    limits, is_ratio = (question.above, question.below), not question.percentiles
    values = table.to_numpy()
    of_means: Callable[[Any], Any] = mean_ratio if is_ratio else np.asarray
    if not is_ratio:
        # Spearman's rho for each image, whose mean is Page's L, rescaled; one score at every p shows no trend.
        ranks = pd.Series(question.percentiles, table.columns).rank()
        values = table.rank(axis=1).corrwith(ranks, axis=1).fillna(0.0).to_numpy()
    value, low, high, verdict = math.nan, math.nan, math.nan, "undecided"
    if len(values):
        value = float(of_means(values.mean(axis=0)))
    if len(values) >= FEWEST:
        without = of_means(without_each(values))
        low, high = jackknife_interval(value, without, confidence, is_ratio)
        verdict = _verdict(low, high, *limits)
        if verdict == "fails":
            verdict = _verdict(*jackknife_interval(value, without, corrected, is_ratio), *limits)
    numbers = {"value": value, "low": low, "high": high, "above": question.above, "below": question.below}
    return {"statistic": question.statistic, **numbers, "verdict": verdict, "images": len(values)}


def _verdict(low: float, high: float, above: float, below: float) -> str:
    if low > above and high < below:
        return "holds"
    return "fails" if high <= above or low >= below else "undecided"
