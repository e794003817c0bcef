"""Images of one group count as one: every statistic is that of a table of their means."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest

from captum_gag import reliability
from captum_gag.errors import InputError
from captum_gag.reliability.scores import checked, collapsed, independence

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
    """Return the table of the means of each group, by a plain loop."""
    rows = []
    for _, cell in scores.groupby(["group", "method", "metric"]):
        row = cell.iloc[0].to_dict() | {"image": cell["group"].iloc[0], "score": cell["score"].mean()}
        if isinstance(row.get("curve_y"), np.ndarray):
            row["curve_y"] = np.nanmean(np.stack(cell["curve_y"].tolist()), axis=0)
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


def test_what_is_assumed_is_said_with_the_number_of_groups() -> None:
    assert "(12 groups)" in independence(checked(table()))


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
