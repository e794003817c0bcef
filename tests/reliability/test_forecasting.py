"""The forecast of a decision against futures that are known beforehand."""

from __future__ import annotations

import numpy as np
import pytest

from captum_gag import reliability
from captum_gag.errors import InputError
from captum_gag.reliability.forecasting import forecast


def test_where_one_always_wins_the_forecast_is_exact() -> None:
    """Every future is the same, and it is what sequential says of it."""
    scores = np.zeros((12, 3, 1))
    scores[:, 0] = 1
    scores[:, 2] = 0.5
    levels = {"a": 1.0, "b": 0.0, "c": 0.5}
    table = reliability.from_arrays({"RCAP": {name: np.full(60, level) for name, level in levels.items()}})
    at = reliability.sequential(table, "a")["decided_at"].max()
    found = forecast(scores, ["a", "b", "c"], ["m"], 100, "a")
    assert (found.median, found.high, found.share, found.pilot) == (at, at, 1.0, 12)


def test_too_few_images_leave_it_open() -> None:
    scores = np.zeros((10, 2, 1))
    scores[:, 0] = 1
    found = forecast(scores, ["a", "b"], ["m"], 5, "a")
    assert (found.median, found.high, found.share) == (None, None, 0.0)


def test_a_smaller_share_of_wins_takes_more_images() -> None:
    def needed(wins: int) -> int:
        scores = np.zeros((20, 2, 1))
        scores[:wins, 0], scores[wins:, 1] = 1, 1
        median = forecast(scores, ["a", "b"], ["m"], 1000, "a").median
        assert median is not None
        return median

    assert needed(20) < needed(16)


def test_a_pilot_too_small_is_refused() -> None:
    with pytest.raises(InputError, match="a pilot of 9 images says nothing"):
        forecast(np.zeros((9, 2, 1)), ["a", "b"], ["m"], 100)
