"""Grouped statistics are those of the groups alone."""

from inspect import signature

import numpy as np
import pandas as pd
import pytest

from captum_gag import reliability
from captum_gag.errors import InputError

STATISTICS = [
    reliability.inter_rater,
    reliability.inter_method,
    reliability.internal_consistency,
    reliability.summary,
    reliability.against_baselines,
]


@pytest.fixture(scope="module")
def scores():
    rng = np.random.default_rng(0)
    names = ("good", "other", "Sobel", "Random")
    table = reliability.from_arrays(
        {metric: {name: rng.random(12) for name in names} for metric in ("RCAP", "Faithfulness")}
    )
    image = table["image"].astype(int)
    return table.assign(target=image % 3, probability=np.linspace(0.5, 1, 12)[image])


@pytest.mark.parametrize("statistic", STATISTICS, ids=lambda each: each.__name__)
def test_each_group_has_what_its_rows_alone_give(scores, statistic):
    options = {"n_bootstrap": 20} if "n_bootstrap" in signature(statistic).parameters else {}
    found = statistic(scores, **options, by="target")
    assert found.columns[0] == "target"
    assert list(found["target"].unique()) == [0, 1, 2]
    for target in range(3):
        alone = statistic(scores[scores["target"] == target], **options)
        plain = alone.reset_index() if alone.index.name else alone
        of_group = found[found["target"] == target].drop(columns="target").reset_index(drop=True)
        pd.testing.assert_frame_equal(of_group, plain, check_dtype=False)


def test_stability_and_tricks_are_grouped_too(scores):
    tricked = scores[scores["method"] == "good"].assign(method="sharp", base="good", transform="sharpen")
    found = reliability.tricks(pd.concat([scores, tricked]), n_bootstrap=20, by="target")
    assert found.groupby("target").size().tolist() == [2, 2, 2]
    sizes = reliability.stability(scores, sizes=[2], n_resamples=5, by="target")
    assert sizes.groupby("target").size().tolist() == [2, 2, 2]


def test_the_papers_ranges_of_confidence_hold_their_edges():
    confidences = [0.1, 0.8, 0.85, 0.99, 0.995, np.nan]
    table = reliability.from_arrays({"RCAP": {"x": np.arange(6.0)}})
    table["probability"] = np.array(confidences)[table["image"].astype(int)]
    found = {name: list(rows["score"]) for name, rows in reliability.groups(table, "probability", [0.8, 0.99])}
    assert found == {"<= 0.8": [0, 1], "0.8 to 0.99": [2], ">= 0.99": [3, 4]}
    halves = {name: list(rows["score"]) for name, rows in reliability.groups(table, "probability", [0.85])}
    assert halves == {"<= 0.85": [0, 1, 2], "> 0.85": [3, 4]}


def test_a_range_without_images_is_left_out(scores):
    assert [name for name, _ in reliability.groups(scores, "probability", [0.1, 0.75])] == ["0.1 to 0.75", ">= 0.75"]


def test_a_report_has_the_whole_and_every_group(scores):
    found = reliability.report(scores, n_bootstrap=20, by="probability", edges=[0.75])
    assert set(found.by_group) == set(found.tables)
    pd.testing.assert_frame_equal(found.tables["summary"], reliability.report(scores, n_bootstrap=20).tables["summary"])
    low = scores[scores["probability"] <= 0.75]
    expected = reliability.report(low, n_bootstrap=20).tables["inter_rater"]
    of_low = found.by_group["inter_rater"].query("probability == '<= 0.75'").drop(columns="probability")
    pd.testing.assert_frame_equal(of_low.reset_index(drop=True), expected)


@pytest.mark.parametrize(
    ("by", "edges", "said"),
    [
        ("colour", (), "have no column 'colour' to group by"),
        ("method", (), "the column method differs within image"),
        ("target", (2, 1), "the edges are .*; expected ascending numbers"),
        ("name", (0.5,), "edges are for numbers"),
        (None, (0.5,), "which cut nothing without by"),
        ("nothing", (), "no image has a value in the column nothing"),
        ("mean", (), "the table has a column mean of its own"),
    ],
)
def test_what_cannot_be_grouped_is_refused(scores, by, edges, said):
    table = scores.assign(name="a", nothing=np.nan, mean=1)
    with pytest.raises(InputError, match=said):
        reliability.summary(table, n_bootstrap=5, by=by, edges=edges)
