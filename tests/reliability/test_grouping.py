"""Grouped statistics are those of the groups alone; images of one group count as one, by their means."""

from inspect import signature
from typing import Any

import numpy as np
import pandas as pd
import pytest

from captum_gag import reliability
from captum_gag.errors import InputError
from captum_gag.reliability.scores import checked, collapsed

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


N, SIZE = 12, 3


def table(seed: int = 0) -> pd.DataFrame:
    """Return scores of 36 images, three of a group, whose group is their column."""
    rng = np.random.default_rng(seed)
    names = ["a", "b", "a sharpened", "Sobel"]
    scores = {metric: {name: rng.random(N * SIZE) for name in names} for metric in ("RCAP", "Deletion")}
    made = reliability.from_arrays(scores, levels="metric", transforms={"a sharpened": ("a", "sharpen")})
    random = made[made["method"] == "Sobel"].assign(method="Random orderings", control="random")
    lists = rng.random((len(random), 5))
    lists[0, 0] = np.nan
    random = random.assign(score=np.nanmean(lists, axis=1), curve_y=list(lists), curve_x_label="random ordering")
    both = pd.concat([made, random], ignore_index=True)
    both.loc[both.index[5], "score"] = np.nan
    return both.assign(group="patient " + (both["image"] // SIZE).map("{:02}".format), uses=1)


def averaged(scores: pd.DataFrame) -> pd.DataFrame:
    """Return the table of the means of each group over the images that have all scores, by a plain loop."""
    rows = []
    gaps = scores[scores["score"].isna()]
    lacking = set(zip(gaps["metric"], gaps["image"], strict=True))
    for (_, _, metric), cell in scores.groupby(["group", "method", "metric"]):
        whole = cell[[(metric, image) not in lacking for image in cell["image"]]]
        row = cell.iloc[0].to_dict() | {"image": cell["group"].iloc[0], "score": whole["score"].mean()}
        if isinstance(row.get("curve_y"), np.ndarray):
            row["curve_y"] = np.nanmean(np.stack(whole["curve_y"].tolist()), axis=0)
        rows.append(row | {"group": ""})
    return pd.DataFrame(rows)


CALLS: dict[str, dict[str, Any]] = {
    "inter_rater": {},
    "inter_method": {},
    "internal_consistency": {},
    "summary": {"n_bootstrap": 50},
    "against_baselines": {},
    "tricks": {"n_bootstrap": 50},
    "stability": {"n_resamples": 20},
    "validity": {"truth": ["Deletion"]},
    "sequential": {},
    "pairwise": {"n_bootstrap": 50},
    "verdict": {"n_bootstrap": 50},
}


@pytest.mark.parametrize("name", CALLS)
def test_every_statistic_is_that_of_the_means(name: str) -> None:
    found, expected = (getattr(reliability, name)(each, **CALLS[name]) for each in (table(), averaged(table())))
    found, expected = (each.reset_index() if each.index.name else each for each in (found, expected))
    order = [key for key in ("metric", "method", "other", "rival", "maps", "images") if key in found]
    found, expected = (each.sort_values(order, ignore_index=True) if order else each for each in (found, expected))
    pd.testing.assert_frame_equal(found, expected)
    whole = getattr(reliability, name)(table().drop(columns="group"), **CALLS[name])
    assert not found.equals(whole)


def test_a_report_is_of_the_means_and_says_so() -> None:
    found, expected = (reliability.report(each, n_bootstrap=50) for each in (table(), averaged(table())))
    assert found.tables["summary"]["images"].unique().tolist() == [N]
    assert found.verdicts == expected.verdicts
    assert found.assumption == "Images of one group count as one (12 groups); groups are taken as independent draws."
    assert expected.assumption.startswith("Images are taken as independent draws")
    assert len(found.scores) == len(table()), "what is drawn is every image"
    halves = table().assign(half=lambda each: each["image"] % 2)
    by_half = reliability.report(halves, n_bootstrap=50, by="half").by_group["summary"]
    assert by_half["images"].unique().tolist() == [N], "each group has images in both halves"


def test_images_without_a_group_stay_and_missing_groups_are_none() -> None:
    scores = checked(table().assign(group=lambda each: each["group"].where(each["image"] < 2 * SIZE, None)))
    found = collapsed(scores)
    assert sorted(found["image"].unique()) == sorted(["patient 00", "patient 01", *map(str, range(2 * SIZE, N * SIZE))])
    plain = scores.drop(columns="group")
    assert collapsed(plain) is plain
    empty = checked(table().assign(group=None))
    assert collapsed(empty) is empty
    steering = collapsed(checked(table().assign(group="a\x1b[2J")))
    assert steering["image"].unique().tolist() == ["a\\x1b[2J"]


def test_a_group_called_as_an_image_is_refused() -> None:
    scores = table().assign(group=lambda each: np.where(each["image"] < SIZE, "7", ""))
    with pytest.raises(InputError, match="'7' is a group and an image without a group; rename one of them"):
        reliability.summary(scores)


def test_dependent_images_decide_no_more_than_their_groups() -> None:
    rng = np.random.default_rng(0)
    wrong = np.zeros(2)
    for _ in range(60):
        gain, scores = np.repeat(rng.normal(size=20), 10) + 0.3 * rng.normal(size=200), rng.random(200)
        plain = reliability.from_arrays({"RCAP": {"a": scores, "Sobel": scores + gain}}, levels="metric")
        grouped = plain.assign(group="g" + (plain["image"] // 10).astype(str))
        wrong += [(reliability.sequential(each)["decision"] != "open").any() for each in (plain, grouped)]
    assert wrong[0] > 15
    # Of 60 at 5 %, more than 7 come up once in a hundred times.
    assert wrong[1] <= 7
