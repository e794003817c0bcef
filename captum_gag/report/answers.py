"""What a run says first: a card for each metric, with its best explanation and whether that is decided; sentences."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from captum_gag.reliability import RELIABLE_ALPHA, ReliabilityReport
from captum_gag.report.notes import (
    BASELINES,
    counted,
    direction,
    few_images,
    in_words,
    of_metrics,
    too_few,
    warned,
)
from captum_gag.report.paired_tests import SIGNIFICANT


class Card(NamedTuple):
    """The answer of one metric.

    Attributes:
        metric: Its label.
        about: Which direction is better, over how many images.
        best: The best explanation; "" where the metric cannot tell, or has none.
        score: Its mean with the interval.
        state: "decided", "open" or "cannot tell".
        why: What the state stands on, in a sentence.
        rival: The runner-up, with the effect size against it, in a sentence; "" where there is none.
    """

    metric: str
    about: str
    best: str
    score: str
    state: str
    why: str
    rival: str


def cards(rows: pd.DataFrame, decided: pd.DataFrame | None) -> list[Card]:
    """Return a card for each metric.

    An explanation is decided to be the best where it differs significantly from each of the others. Of a run until
    decided, whose p values would be those of repeated looks, the decisions of ``reliability.sequential`` count instead.

    Args:
        rows: As ``tables.comparison`` returns them.
        decided: As ``decisions`` returns them; None of other runs.
    """
    return [_card(metric, of_metric, decided) for metric, of_metric in of_metrics(rows)]


def headline(found: Sequence[Card]) -> list[tuple[str, str]]:
    """Return the answer in a line: the best explanations, each with the metrics by which it is, decided or open.

    Args:
        found: As ``cards`` returns them; those that have no best explanation say nothing.
    """
    by_method: dict[str, list[str]] = {}
    for card in found:
        if card.best:
            by_method.setdefault(card.best, []).append(f"{card.metric} ({card.state})")
    return [(method, f"by {', '.join(metrics)}") for method, metrics in by_method.items()]


def _card(metric: str, rows: pd.DataFrame, decided: pd.DataFrame | None) -> Card:
    about = f"{direction(rows)}, {counted(rows)} images"
    best = rows[rows["best"]]
    unbeaten = list(rows.loc[rows["role"].isin(BASELINES) & rows["unbeaten"].eq(True), "method"])
    if best.empty or unbeaten:
        why = f"No method beats {in_words(unbeaten)}." if unbeaten else " ".join(warned(rows)) or "No explanation."
        return Card(metric, about, "", "", "cannot tell", why, "")
    name = str(best["method"].iloc[0])
    rivals = nearest_rivals(rows)
    state, why = _state(rows, rivals)
    if decided is not None:
        state, why = _decision(decided[decided["metric"].eq(metric)], set(rivals["method"]) | {name})
    return Card(metric, about, name, with_interval(best.iloc[0]), state, why, _runner_up(rivals))


def nearest_rivals(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the other explanations that have a score, the nearest to the best first."""
    others = rows[rows["role"].eq("") & ~rows["best"] & rows["images"].gt(0)]
    return others.sort_values("mean", ascending=not rows["higher_is_better"].iloc[0], kind="stable")


def _runner_up(rivals: pd.DataFrame) -> str:
    if rivals.empty:
        return ""
    first = rivals.iloc[0]
    effect = "" if np.isnan(first["effect"]) else f", effect {first['effect']:+.2f}"
    return f"Runner-up: {first['method']}, {with_interval(first)}{effect}."


def _state(rows: pd.DataFrame, rivals: pd.DataFrame) -> tuple[str, str]:
    if rivals.empty:
        return "open", "There is no other explanation to compare with."
    if too_few(rows):
        return "open", f"{few_images(counted(rows)).capitalize()}."
    alike = list(rivals.loc[~(rivals["p"] < SIGNIFICANT), "method"])
    if alike:
        return "open", f"Not told from {in_words(alike)}."
    return "decided", "Differs significantly from every other explanation."


def _decision(questions: pd.DataFrame, explanations: set[str]) -> tuple[str, str]:
    if not questions["method"].isin(explanations).any():
        about = ", ".join(questions["method"].unique()) or "nothing"
        return "open", f"What was decided is about {about}, and that is no explanation."
    asked = questions[questions["rival"].isin(explanations)]
    named = {word: list(asked.loc[asked["decision"].eq(word), "rival"]) for word in ("better", "worse", "open")}
    words = {"better": "better than", "worse": "worse than", "open": "open against"}
    said = "; ".join(f"{words[word]} {', '.join(rivals)}" for word, rivals in named.items() if rivals)
    state = "open" if named["open"] or not said else "decided"
    return state, f"Asked of {questions['method'].iloc[0]}: {said or 'nothing'}."


def sentences(rows: pd.DataFrame, decided: pd.DataFrame | None, checks: ReliabilityReport | None) -> list[str]:
    """Return what the metrics say and how far they agree, a sentence or two for each.

    Args:
        rows: As ``tables.comparison`` returns them.
        decided: As for ``cards``: no p value counts beside it.
        checks: Of the metrics; None if they could not be checked.
    """
    said = [checks.advice] if checks and checks.advice else []
    for metric, of_metric in of_metrics(rows):
        best = of_metric[of_metric["best"]]
        if len(best):
            found = best.iloc[0]
            which = f"{metric} ({direction(of_metric)}): {found['method']} has the best mean of the explanations"
            close = _close(of_metric) if decided is None else []
            said.append(" ".join([f"{which}, {with_interval(found)}.", *close, *warned(of_metric)]))
        else:
            said += warned(of_metric)
    if checks is not None:
        marks = checks.marks
        agreed = {word: list(marks.loc[marks["reliable"].eq(word), "metric"]) for word in ("yes", "unsure")}
        which = ", ".join(agreed["yes"]) or "none of the metrics"
        unsure = f" It is not sure for {', '.join(agreed['unsure'])}." if agreed["unsure"] else ""
        said.append(f"Images agree on the ranking of the methods (alpha at least {RELIABLE_ALPHA}) by {which}.{unsure}")
    return said


def _close(of_metric: pd.DataFrame) -> list[str]:
    """Return which explanations the best one is not told from, in sentences."""
    rivals = nearest_rivals(of_metric)
    alike = list(rivals.loc[rivals["testable"] & ~(rivals["p"] < SIGNIFICANT), "method"])
    untold = list(rivals.loc[~rivals["testable"], "method"])
    said = [f"It does not differ significantly from {in_words(alike)}."] if alike else []
    return said + ([f"There are too few images to tell it from {in_words(untold)}."] if untold else [])


def with_interval(row: pd.Series) -> str:
    """Return the mean of a row of a comparison with its interval, if it has one."""
    between = "" if np.isnan(row["low"]) else f" [{row['low']:.3f}, {row['high']:.3f}]"
    return f"{row['mean']:.3f}{between}"
