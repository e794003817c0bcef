"""Two methods beside each other, against scores worked out by hand and what SciPy and reliability say."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.stats

from captum_gag import reliability
from captum_gag.errors import InputError
from captum_gag.report.paired_tests import holm
from captum_gag.report.pairs import extremes, notes, paired, save_pair

ROWS = {
    "RCAP": {"A": [0.5, 0.2, 0.6, 0.9, 0.4, np.nan], "B": [0.4, 0.4, 0.3, 0.5, 0.4, 0.1]},
    "DAUC": {"A": [0.5, 0.2, 0.6, 0.9, 0.4, 0.3], "B": [0.6, 0.4, 0.9, 1.0, 0.8, 0.9]},
    "other": {"A": [1, 2, 3, 4, 5, 7], "B": [0, 0, 0, 0, 0, 0]},
}


def scores() -> pd.DataFrame:
    return reliability.from_arrays(ROWS, list("abcdef"), levels="metric")


def test_a_pair_by_hand() -> None:
    rows = paired(scores(), "A", "B").set_index("metric")
    # The differences are 0.1, -0.2, 0.3, 0.4 and 0.
    assert rows.loc["RCAP", ["images", "ties"]].tolist() == [5, 1]
    assert rows.loc["RCAP", ["mean", "rival_mean", "difference"]].tolist() == pytest.approx([0.52, 0.4, 0.12])
    assert rows.loc["RCAP", ["effect", "share"]].tolist() == pytest.approx([0.6, 0.6])
    assert rows.loc["DAUC", ["difference", "effect", "share"]].tolist() == pytest.approx([1.7 / 6, 1, 1])
    raw = {
        metric: scipy.stats.wilcoxon([a - b for a, b in zip(each["A"], each["B"], strict=True) if a - b]).pvalue
        for metric, each in ({**ROWS, "RCAP": {"A": [1, -2, 3, 4], "B": [0, 0, 0, 0]}}).items()
    }
    assert rows["p"].to_dict() == pytest.approx(holm(raw))
    assert rows.loc["other", "higher_is_better"] is None
    assert any(note.startswith("By other it is not known") for note in notes(rows.reset_index()))


def test_the_other_way_round_everything_is_turned() -> None:
    one, other = paired(scores(), "A", "B"), paired(scores(), "B", "A")
    for column in ("difference", "effect"):
        np.testing.assert_allclose(one[column], -other[column])
    np.testing.assert_allclose(one[["low", "high"]], -other[["high", "low"]].to_numpy(), rtol=0.05)
    np.testing.assert_allclose(one["share"] + other["share"] + one["ties"] / one["images"], 1)
    assert one["p"].tolist() == other["p"].tolist()


@pytest.mark.parametrize("shift", [-0.05, 0.004, 0.05])
def test_the_interval_decides_as_reliability_does(shift: float) -> None:
    rng = np.random.default_rng(0)
    found = {"A": list(0.5 + shift + rng.normal(size=30) / 50), "Sobel": list(0.5 + rng.normal(size=30) / 50)}
    table = reliability.from_arrays({"RCAP": found}, levels="metric")
    [low] = paired(table, "A", "Sobel")["low"]
    assert reliability.against_baselines(table)["beats_edges"].tolist() == [low > 0]


def test_the_images_at_either_end() -> None:
    found = extremes(scores(), "A", "B", n=2)
    named = found.groupby(["metric", "ahead"], sort=False)["image"].agg(list).to_dict()
    assert named[("RCAP", "A")] == ["d", "c"]
    assert named[("RCAP", "B")] == ["b"]
    assert named[("DAUC", "A")] == ["f", "e"]
    assert ("DAUC", "B") not in named


def test_few_images_are_said(tmp_path: Path) -> None:
    table = scores()
    few = table[table["image"].isin(["a", "b", "c"])]
    rows = paired(few, "A", "B")
    assert "RCAP: 3 images: too few to conclude." in notes(rows)
    names = [path.name for path in save_pair(rows, extremes(few, "A", "B"), tmp_path)]
    assert names == ["pair.md", "pair.csv", "pair_images.csv"]
    markdown = (tmp_path / "pair.md").read_text()
    assert "| DAUC (lower is better)" in markdown
    assert "By RCAP B is ahead most on b." in markdown
    assert pd.read_csv(tmp_path / "pair.csv")["images"].tolist() == [3, 3, 3]
    # One image has no interval, and two without a difference no test.
    alone = paired(table[table["image"] == "e"], "A", "B").set_index("metric").loc["RCAP"]
    assert np.isnan(alone[["low", "high", "p", "effect"]].astype(float)).all()


def test_what_is_no_pair_is_refused() -> None:
    with pytest.raises(InputError, match="unknown method 'C'; expected A, B"):
        paired(scores(), "A", "C")
    with pytest.raises(InputError, match="A cannot be compared with itself"):
        extremes(scores(), "A", "A")
