"""Two methods beside each other, and the best beside the runner-up, by hand and by SciPy and reliability."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from captum_gag import reliability
from captum_gag.errors import InputError
from captum_gag.reliability.scores import checked
from captum_gag.report.paired_tests import holm, rank_biserial, wilcoxon
from captum_gag.report.pair_table import extremes, notes, paired, save_pair
from captum_gag.report.runner_up import duels
from captum_gag.report.tables import comparison

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


SCORES = {"best": [0.9, 0.8, 0.7, 0.6, 0.2], "second": [0.5, 0.9, 0.3, 0.3, 0.2], "third": [0.1, 0.1, 0.2, 0.1, 0.1]}


@pytest.fixture
def table():
    control = {"Random": [0.95, 0.95, 0.95, 0.95, 0.95]}
    found = reliability.from_arrays({"RCAP": {**SCORES, **control}}, images=list("abcde"), levels="metric")
    return checked(found)


def test_controls_are_neither_and_the_images_are_those_furthest_apart(table):
    [duel] = duels(table, comparison(table, n_bootstrap=100), 100, 0)
    assert (duel.metric, duel.methods) == ("RCAP", ["best", "second"])
    assert [(each["image"], each["ahead"]) for each in duel.images] == [
        ("a", "best"),
        ("c", "best"),
        ("d", "best"),
        ("b", "second"),
    ]
    row = paired(table, "best", "second", 100, 0).iloc[0]
    assert duel.words.startswith("best is better on 60% of 5 images, equal on 1; the mean difference is +0.200 [")
    assert f"effect size {row['effect']:+.2f}; p = {row['p']:.2g} " in duel.words


def test_without_two_explanations_there_is_none(table):
    alone = table[table["method"].isin(["best", "Random"])]
    assert duels(alone, comparison(alone, n_bootstrap=50), 50, 0) == []
    unscored = table.assign(score=table["score"].where(table["method"] == "best", np.nan))
    assert duels(unscored, comparison(unscored, n_bootstrap=50), 50, 0) == []
