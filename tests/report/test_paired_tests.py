"""Tests and effect sizes against worked examples and SciPy's statistic."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from captum_gag.report.paired_tests import holm, rank_biserial, wilcoxon

DIFFERENCES = st.lists(st.integers(-50, 50), min_size=1, max_size=30).filter(any)


def test_holm_of_a_worked_example() -> None:
    # Holm (1979): the smallest times 3, the next times 2, and never less than the one before.
    assert holm({"a": 0.01, "b": 0.04, "c": 0.03, "d": np.nan}) == pytest.approx(
        {"a": 0.03, "b": 0.06, "c": 0.06, "d": np.nan}, nan_ok=True
    )
    assert holm({"a": 0.6, "b": 0.7}) == {"a": 1.0, "b": 1.0}


def test_rank_biserial_by_hand() -> None:
    # Ranks 1 to 4 of 1, -2, 3, 4: 1 + 3 + 4 above, 2 below, of 10 in all.
    assert rank_biserial([1, -2, 3, 4]) == pytest.approx(0.6)
    assert rank_biserial([1, -2, 3, 4, 0, np.nan]) == pytest.approx(0.6), "ties and gaps do not count"
    assert rank_biserial([1, -1]) == 0
    assert np.isnan([rank_biserial([0, np.nan]), wilcoxon([0, np.nan])]).all()


@settings(deadline=None)
@given(DIFFERENCES)
def test_rank_biserial_is_wilcoxons_statistic_scaled(differences: list[int]) -> None:
    told = [each for each in differences if each]
    above = scipy.stats.wilcoxon(told, alternative="greater").statistic
    assert rank_biserial(differences) == pytest.approx(2 * above / (len(told) * (len(told) + 1) / 2) - 1)
    assert rank_biserial([-each for each in differences]) == pytest.approx(-rank_biserial(differences))
