"""Two methods beside each other, and the two best means, by hand, by SciPy and by ``reliability.pairwise``."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from captum_gag import reliability
from captum_gag.errors import InputError
from captum_gag.reliability.scores import checked
from captum_gag.report.pair_table import extremes, nearest_pairs, notes, paired, save_pair
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
    assert list(rows.index) == ["RCAP", "DAUC"], "of other the direction is unknown"
    # The differences are 0.1, -0.2, 0.3, 0.4 and 0.
    assert rows.loc["RCAP", ["images", "wins", "losses", "ties"]].tolist() == [5, 3, 1, 1]
    assert rows.loc["RCAP", ["mean", "rival_mean", "difference", "share"]].tolist() == pytest.approx(
        [0.52, 0.4, 0.12, 0.6]
    )
    assert rows.loc["DAUC", ["difference", "share"]].tolist() == pytest.approx([1.7 / 6, 1])
    # So few images decide nothing.
    assert rows["p"].isna().all()
    assert rows["decision"].to_dict() == {"RCAP": "open", "DAUC": "open"}


def many() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    means = {"RCAP": 0.05, "DAUC": -0.01, "IAUC": 0.0}
    noise = {metric: rng.normal(size=40) / 20 for metric in means}
    found = {metric: {"A": 0.5 + mean + noise[metric], "B": np.full(40, 0.5)} for metric, mean in means.items()}
    return reliability.from_arrays(found, levels="metric")


def test_p_is_that_of_pairwise_with_holms_correction_over_the_metrics() -> None:
    rows = paired(many(), "A", "B").set_index("metric")
    raw = reliability.pairwise(many(), ["A", "B"]).query("method == 'A'").set_index("metric")
    pd.testing.assert_frame_equal(rows[["difference", "low", "high"]], raw[["difference", "low", "high"]])
    first, second, third = raw["p"].sort_values()
    expected = [min(1, 3 * first), min(1, max(3 * first, 2 * second)), min(1, max(3 * first, 2 * second, third))]
    assert rows["p"].sort_values().tolist() == pytest.approx(expected)
    assert (rows["decision"] == "better").equals(rows["p"] < 0.05)
    assert "Holm's correction over the metrics" in notes(rows.reset_index())[0]


def test_of_a_run_until_decided_neither_p_nor_interval_is_shown(tmp_path: Path) -> None:
    rows = paired(scores(), "A", "B", tested=False)
    assert rows[["p", "low", "high"]].isna().all(axis=None)
    save_pair(rows, extremes(scores(), "A", "B"), tmp_path)
    text = (tmp_path / "pair.md").read_text()
    assert "looked at until decided" in text
    assert "[" not in text


def test_the_images_at_either_end() -> None:
    rows = extremes(scores(), "A", "B", n=2)
    images = rows.groupby(["metric", "ahead"], sort=False)["image"].agg(list).to_dict()
    assert images == {("RCAP", "A"): ["d", "c"], ("RCAP", "B"): ["b"], ("DAUC", "A"): ["f", "e"]}


def test_files_say_how_to_read_them(tmp_path: Path) -> None:
    table = scores()
    rows, ends = paired(table, "A", "B"), extremes(table, "A", "B")
    names = [path.name for path in save_pair(rows, ends, tmp_path)]
    assert names == ["pair.md", "pair.csv", "pair_images.csv"]
    markdown = (tmp_path / "pair.md").read_text()
    assert "| DAUC (lower is better)" in markdown
    assert "By RCAP B is ahead most on b." in markdown
    assert pd.read_csv(tmp_path / "pair.csv")["images"].tolist() == [5, 6]
    # One image has no interval, and two without a difference decide nothing.
    alone = paired(table[table["image"] == "e"], "A", "B").set_index("metric").loc["RCAP"]
    assert np.isnan(alone[["low", "high"]].astype(float)).all()
    assert alone["decision"] == "open"


def test_what_is_no_pair_is_refused() -> None:
    table = scores()
    with pytest.raises(InputError, match="unknown method 'C'; expected A, B"):
        paired(table, "A", "C")
    with pytest.raises(InputError, match="A cannot be compared with itself"):
        extremes(table, "A", "A")
    with pytest.raises(InputError, match="not known whether higher is better by other"):
        paired(table[table["metric"] == "other"], "A", "B")


SCORES = {"best": [0.9, 0.8, 0.7, 0.6, 0.2], "second": [0.5, 0.9, 0.3, 0.3, 0.2], "third": [0.1, 0.1, 0.2, 0.1, 0.1]}


@pytest.fixture
def table() -> pd.DataFrame:
    control = {"Random": [0.95, 0.95, 0.95, 0.95, 0.95]}
    return checked(reliability.from_arrays({"RCAP": {**SCORES, **control}}, images=list("abcde"), levels="metric"))


def test_the_two_best_means_and_the_images_on_which_they_are_furthest_apart(table: pd.DataFrame) -> None:
    rows = comparison(table, pairs=reliability.pairwise(table, n_bootstrap=100))
    [pair] = nearest_pairs(table, rows)
    assert (pair["metric"], pair["methods"]) == ("RCAP", ["best", "second"])
    ahead = [(image["image"], image["ahead"]) for image in pair["images"]]
    assert ahead == [("a", "best"), ("c", "best"), ("d", "best"), ("b", "second")]
    words = "best has mean 0.640 and second 0.440."
    assert pair["words"].startswith(f"{words} Mean difference +0.200 [")
    assert pair["words"].endswith("; better on 3 of 5 images, equal on 1; too few images to test.")
    [untested] = nearest_pairs(table, comparison(table, n_bootstrap=100))
    assert untested["words"] == words


def test_without_two_explanations_there_is_no_pair(table: pd.DataFrame) -> None:
    alone = table[table["method"].isin(["best", "Random"])]
    unscored = table.assign(score=table["score"].where(table["method"] == "best", np.nan))
    for scores in (alone, unscored):
        assert nearest_pairs(scores, comparison(scores, n_bootstrap=50)) == []
