"""Images on which maps, or the metrics' rankings of the methods, disagree are found."""

import math

import numpy as np
import pandas as pd
import pytest
import torch

from captum_gag.reliability.scores import checked
from captum_gag.report.disagreement import BY_MAPS, agreement, agreement_with_mean, disagreements


def test_agreement_is_the_mean_of_rho_over_pairs():
    rows = torch.arange(16.0).reshape(4, 4)
    assert agreement({"a": rows, "b": 2 * rows, "c": rows.exp()}) == pytest.approx(1)
    assert agreement({"a": rows, "b": -rows}) == pytest.approx(-1)
    assert agreement({"a": rows, "b": rows, "c": -rows}) == pytest.approx(-1 / 3)
    assert math.isnan(agreement({"a": rows}))
    assert math.isnan(agreement({"a": rows, "constant": torch.ones(4, 4), "nan": rows * torch.nan}))


def test_agreement_with_the_mean_is_pandas_own():
    rng = np.random.default_rng(0)
    # Ties, gaps, a row of one score, and one without any.
    scores = rng.integers(0, 9, (40, 5)).astype(float)
    scores[rng.uniform(size=scores.shape) < 0.2] = np.nan
    scores[0, 1:], scores[1] = np.nan, np.nan
    table = pd.DataFrame(scores, columns=list("abcde"))
    expected = table.T.corrwith(table.mean(), method="spearman")
    assert 30 < expected.notna().sum() < 40
    pd.testing.assert_series_equal(agreement_with_mean(table), expected)


def test_random_and_manipulated_maps_do_not_count(run):
    found = disagreements(run, checked(run.scores()), ["b.png", "c.png", "g.png"])[BY_MAPS]
    maps = run.maps("b.png")
    kept = {name: maps[name] for name in ("GAG-85", "GAG-0", "SG", "VG")}
    assert found["b.png"] == pytest.approx(agreement(kept))
    assert set(found.index) == {"b.png", "c.png"}, "of an image that failed nothing can be told"
    assert found.is_monotonic_increasing
