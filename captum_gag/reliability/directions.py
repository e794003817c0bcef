"""Whether higher or lower is better: by the column of the table, else looked up by a metric's exact name."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pandas as pd

from captum_gag.errors import InputError
from captum_gag.reliability.scores import LABEL

KNOWN = {
    "RCAP": True,
    "Deletion": False,
    "DAUC": False,
    "Insertion": True,
    "IAUC": True,
    "AOPC MoRF": True,
    "AOPC LeRF": False,
    "Faithfulness": True,
    "LogCoshDice": False,
    "Log-Cosh Dice": False,
    "SegmentationMAE": False,
    "MAE": False,
}
"""Whether higher is better, by the names that this package and its suites give their metrics."""


BOUNDS = {
    **dict.fromkeys(("RCAP", "Deletion", "DAUC", "Insertion", "IAUC", "SegmentationMAE", "MAE"), (0.0, 1.0)),
    **dict.fromkeys(("AOPC MoRF", "AOPC LeRF", "Faithfulness"), (-1.0, 1.0)),
    **dict.fromkeys(("LogCoshDice", "Log-Cosh Dice"), (0.0, float(np.log(np.cosh(1.0))))),
}
"""The range of the scores, by the names that this package and its suites give their metrics."""


def known_bounds(scores: pd.DataFrame) -> dict[str, tuple[float, float]]:
    """Return the range of the scores, by the label of each metric of a checked table whose range is known.

    Scores that leave it are another metric's of the same name.
    """
    bounds = {}
    of_labels = scores.groupby(LABEL, sort=False)
    ranges = of_labels["score"].agg(["min", "max"]).assign(metric=of_labels["metric"].first())
    for label, least, most, metric in ranges.itertuples():
        low, high = BOUNDS.get(metric, (np.nan, np.nan))
        # Without any score there is none that leaves the range.
        if metric in BOUNDS and not (least < low - 1e-6 or most > high + 1e-6):
            bounds[str(label)] = (low, high)
    return bounds


def known_direction(metric: str) -> bool | None:
    """Look up whether higher is better by a metric of this package or of Quantus; None if it is neither's."""
    return KNOWN[metric] if metric in KNOWN else _of_quantus().get(metric)


def higher_is_better(scores: pd.DataFrame) -> dict[str, bool | None]:
    """Return whether higher is better, by the label of each metric of a checked table; None where it is not known.

    Raises:
        InputError: The column ``higher_is_better`` holds something else than true and false, or both for one metric.
    """
    directions: dict[str, bool | None] = {}
    columns = [name for name in (LABEL, "metric", "higher_is_better") if name in scores]
    for label, of_metric in scores[columns].drop_duplicates().groupby(LABEL, sort=False):
        column = of_metric["higher_is_better"].dropna().unique() if "higher_is_better" in of_metric else []
        values = {_as_bool(value) for value in column}
        if len(values) > 1:
            raise InputError(f"higher_is_better is both true and false for {label}; expected one of them")
        directions[str(label)] = values.pop() if values else known_direction(of_metric["metric"].iloc[0])
    return directions


def signs(scores: pd.DataFrame) -> dict[str, int]:
    """Return 1 where higher is better and -1 where lower is, by the label of each metric of a checked table.

    Raises:
        InputError: It is not known for all of them.
    """
    directions = higher_is_better(scores)
    unknown = [label for label, higher in directions.items() if higher is None]
    if unknown:
        raise InputError(
            f"it is not known whether higher is better by {', '.join(unknown)}; say so in a column higher_is_better "
            f"of the table, or by from_arrays(..., higher_is_better={{{unknown[0]!r}: True}})"
        )
    return {label: 1 if higher else -1 for label, higher in directions.items()}


def _as_bool(value: Any) -> bool:
    # A CSV that someone edited may hold text.
    text = str(value).strip().lower()
    if text not in ("true", "false", "1", "0", "1.0", "0.0"):
        raise InputError(f"the column higher_is_better has {value!r}; expected true or false")
    return text in ("true", "1", "1.0")


@cache
def _of_quantus() -> dict[str, bool]:
    """Return whether higher is better by the class names and the names of Quantus's metrics."""
    import quantus

    words = {"higher": True, "lower": False}
    directions: dict[str, set[bool | None]] = {}
    for by_name in quantus.AVAILABLE_METRICS.values():
        for name, metric in by_name.items():
            # Those that were entered by others, such as ours, may have options that turn them round.
            if not metric.__module__.startswith("quantus."):
                continue
            higher = words.get(str(getattr(metric.score_direction, "value", "")))
            for called in {name.strip(), metric.__name__, str(getattr(metric, "name", name))}:
                directions.setdefault(called, set()).add(higher)
    return {name: one for name, (one, *others) in directions.items() if not others and one is not None}
