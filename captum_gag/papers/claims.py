"""The paper's claims, tested on the scores of runs: holds, fails, or undecided."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from captum_gag.papers.questions import CLAIMS, Question
from captum_gag.reliability.jackknife import jackknife_interval, without_each
from captum_gag.reliability.scores import by_image, checked
from captum_gag.report.writing import markdown_table, save_csv, save_text
from captum_gag.runs.spec import Suite

COLUMNS = ["claim", "statistic", "value", "low", "high", "above", "below", "verdict", "images"]
VERDICTS = ["fails", "undecided", "holds", "not tested"]
"""In the order in which one of them decides over a claim."""

FEWEST = 6
"""Images below which nothing is decided: a fair coin falls on one side five times out of five in 3 %, six in 2 %."""


def claims(scores: pd.DataFrame, suite: Suite, *, confidence: float = 0.95) -> pd.DataFrame:
    """Test the paper's claims on the scores of a run.

    All statistics are paired: over the images that have a score for each of the methods concerned. Intervals are
    ``jackknife_interval`` over these images. A number ``holds`` where its interval lies within what is claimed,
    ``fails`` where it lies outside, and is ``undecided`` elsewhere and of fewer than 6 images. A claim about several
    numbers holds if all of them do, which needs no correction for their being several (intersection-union test). It
    fails if one of them does; for that the interval is one of confidence 1 - (1 - confidence) / k with k numbers
    (Bonferroni).

    Args:
        scores: The records of the run.
        suite: What the run scored, built: methods are known by their types and options, never by their labels.
        confidence: Of the intervals, in (0, 1).

    Returns:
        A row per number: claim, statistic (what it is, and what is claimed of it), value, low, high, above, below
        (between which two the claim says it lies), verdict, images. Where the run lacks what a claim needs, the verdict
        is "not tested" and the statistic says what is missing.

    Raises:
        InputError: The scores are not a score table.
    """
    table = checked(scores)
    rows: list[dict[str, Any]] = []
    for text, find in CLAIMS.items():
        asked = list(find(suite)) or ["RCAP"]
        corrected = 1 - (1 - confidence) / max(1, sum(isinstance(each, Question) for each in asked))
        for each in asked:
            if isinstance(each, Question):
                found = _answer(each, table, confidence, corrected)
            else:
                found = {"statistic": f"the run has no {each}", "verdict": "not tested", "images": 0}
            rows.append({"claim": text, **found})
    return pd.DataFrame(rows, columns=COLUMNS)


def decisive(rows: pd.DataFrame) -> pd.DataFrame:
    """Return what decides over each claim: of its numbers the one whose interval is nearest to failing, or past it.

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
    """Lay claims out as text: a row per claim, a column per network, in each cell the verdict and what decided.

    Args:
        rows: As ``claims`` returns them, of several runs, with the column network.
    """
    decided = pd.concat(decisive(each) for _, each in rows.groupby("network", sort=False))
    cells = decided.assign(text=[in_words(row) for row in decided.to_dict("records")])
    table = cells.pivot(index="claim", columns="network", values="text")
    found: pd.DataFrame = table.reindex(index=rows["claim"].unique(), columns=rows["network"].unique())
    return found.rename_axis(columns=None)


def as_lines(rows: pd.DataFrame) -> list[str]:
    """Return claims as lines for the terminal: a claim, and below it each network, with what was not tested of it.

    Args:
        rows: As for ``side_by_side``.
    """
    lines = []
    for claim, cells in side_by_side(rows).iterrows():
        lines.append(str(claim))
        for network, text in cells.items():
            of_cell = rows[(rows["claim"] == claim) & (rows["network"] == network)]
            lacking = list(of_cell.loc[of_cell["verdict"] == "not tested", "statistic"])
            also = f"; {'; '.join(lacking)}" if 0 < len(lacking) < len(of_cell) else ""
            lines.append(f"  {network}: {text}{also}")
    return lines


def in_words(row: Mapping[Any, Any]) -> str:
    """Return what came of a row of ``claims``: its verdict, statistic, interval and number of images."""
    if row["verdict"] == "not tested":
        return f"not tested: {row['statistic']}"
    told = not np.isnan(row["low"])
    ends, few = (f" [{row['low']:.3f}, {row['high']:.3f}]", "") if told else ("", ", too few to tell")
    return f"{row['verdict']}: {row['statistic']}: {row['value']:.3f}{ends}, {row['images']} images{few}"


def save_claims(rows: pd.DataFrame, directory: Path) -> list[Path]:
    """Write claims.csv, all rows with all digits, and claims.md, a table of claims by networks.

    Args:
        rows: As for ``side_by_side``.
        directory: Made if missing.
    """
    directory.mkdir(parents=True, exist_ok=True)
    written = [directory / "claims.csv", directory / "claims.md"]
    return [save_csv(rows, written[0]), save_text(f"{markdown_table(side_by_side(rows))}\n", written[1])]


def _answer(question: Question, scores: pd.DataFrame, confidence: float, corrected: float) -> dict[str, Any]:
    """Return the row of a question; ``corrected`` is the confidence that failing takes."""
    of_methods = by_image(scores, question.metric).reindex(columns=list(question.methods)).dropna()
    values, claimed = question.per_image(of_methods), (question.above, question.below)
    value, low, high, verdict = np.nan, np.nan, np.nan, "undecided"
    if len(values):
        value = float(question.of_means(*values.mean(axis=0)))
    if len(values) >= FEWEST:
        without = question.of_means(*without_each(values).T)
        low, high = jackknife_interval(value, without, confidence, question.is_ratio)
        verdict = _verdict(low, high, *claimed)
        if verdict == "fails":
            verdict = _verdict(*jackknife_interval(value, without, corrected, question.is_ratio), *claimed)
    return {
        "statistic": question.statistic,
        "value": value,
        "low": low,
        "high": high,
        "above": question.above,
        "below": question.below,
        "verdict": verdict,
        "images": len(values),
    }


def _verdict(low: float, high: float, above: float, below: float) -> str:
    if low > above and high < below:
        return "holds"
    return "fails" if high <= above or low >= below else "undecided"
