"""Validity against SciPy's correlations, and faults against tables worked out by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import kendalltau, spearmanr, ttest_1samp

from captum_gag import reliability
from captum_gag.errors import InputError
from captum_gag.reliability.truth import share_interval


def table(metrics: dict[str, np.ndarray], **options: object) -> pd.DataFrame:
    """Return scores (images, methods) by metric as a table, higher is better."""
    named = {name: dict(zip("abcdefgh", values.T, strict=False)) for name, values in metrics.items()}
    return reliability.from_arrays(named, higher_is_better=dict.fromkeys(named, True), levels="metric", **options)


def graded(scores: dict[str, list[list[float]]], fault: str = "noisy") -> pd.DataFrame:
    """Return a table of the truth and two maps with a fault of strengths 0.5 and 1; by metric a row per image."""
    known = {"Truth": ("", "", np.nan), "half": ("Truth", fault, 0.5), "full": ("Truth", fault, 1.0)}
    rows = [
        {"image": image, "method": name, "metric": metric, "score": score, "control": "truth", "higher_is_better": True}
        | dict(zip(("base", "transform", "strength"), known[name], strict=True))
        for metric, images in scores.items()
        for image, values in enumerate(images)
        for name, score in zip(known, values, strict=True)
    ]
    return pd.DataFrame(rows)


def test_is_scipys() -> None:
    random = np.random.default_rng(0)
    right, scores = random.random((2, 9, 6))
    found = reliability.validity(table({"truth": right, "m": scores}), ["truth"], n_bootstrap=200)
    [row] = found[(found["metric"] == "m") & (found["maps"] == "all")].to_dict("records")
    per_image = [spearmanr(one, other).statistic for one, other in zip(scores, right, strict=True)]
    assert row["rho"] == pytest.approx(np.mean(per_image))
    taus = [kendalltau(one, other).statistic for one, other in zip(scores, right, strict=True)]
    assert row["wrong"] == pytest.approx((1 - np.mean(taus)) / 2)
    assert row["rho_means"] == pytest.approx(spearmanr(scores.mean(0), right.mean(0)).statistic)
    assert row["rho_low"] < row["rho"] < row["rho_high"]
    drawn = np.random.default_rng(0).integers(9, size=(200, 9))
    of_draws = [spearmanr(scores[images].mean(0), right[images].mean(0)).statistic for images in drawn]
    assert (row["means_low"], row["means_high"]) == pytest.approx(tuple(np.quantile(of_draws, [0.025, 0.975])))
    assert (row["methods"], row["images"]) == (6, 9)


def test_ties_count_a_half_and_what_the_truth_does_not_tell_apart_not_at_all() -> None:
    right = np.array([[1.0, 1.0, 0.0]] * 4)
    # a and b are alike by the truth; a is before c rightly, b and c are tied.
    scores = np.array([[3.0, 1.0, 1.0]] * 4)
    found = reliability.validity(table({"truth": right, "m": scores}), ["truth"], n_bootstrap=50)
    assert found.loc[found["metric"] == "m", "wrong"].tolist() == [0.25, 0.25]


def test_where_lower_is_better_the_order_is_turned() -> None:
    right = np.random.default_rng(0).random((5, 4))
    scores = table({"truth": right, "loss": -right}).assign(higher_is_better=lambda each: each["metric"] == "truth")
    found = reliability.validity(scores, ["truth"], n_bootstrap=50)
    assert found.loc[found["metric"] == "loss", ["rho", "wrong", "rho_means"]].to_numpy().tolist() == [[1, 0, 1]] * 2


def test_explanations_are_without_controls_and_manipulated_maps() -> None:
    scores = np.random.default_rng(0).random((5, 4))
    both = table({"truth": scores, "m": scores}, controls={"a": "random"}, transforms={"b": ("c", "sharpen")})
    found = reliability.validity(both, ["truth"], n_bootstrap=50)
    assert found.groupby("maps")["methods"].unique().map(list).to_dict() == {"all": [4], "explanations": [2]}


def test_a_truth_of_controls_alone_says_nothing_of_explanations() -> None:
    scores = np.random.default_rng(0).random((5, 4))
    both = table({"truth": scores, "m": scores}, controls={"a": "random", "b": "random"})
    part = both[(both["metric"] != "truth") | both["method"].isin(["a", "b"])]
    found = reliability.validity(part, ["truth"], n_bootstrap=50).set_index(["metric", "maps"])
    assert found.loc[("m", "all"), ["rho", "methods", "images"]].tolist() == [1, 2, 5]
    assert found.loc[("m", "explanations"), "images"] == 0
    assert np.isnan(found.loc[("m", "explanations"), ["rho", "wrong"]].astype(float)).all()


def test_an_image_without_a_score_is_left_out_and_a_constant_one_has_no_correlation() -> None:
    right, scores = np.random.default_rng(0).random((2, 6, 4))
    scores[0, 0] = np.nan
    scores[1] = 0.5
    found = reliability.validity(table({"truth": right, "m": scores}), ["truth"], n_bootstrap=50)
    [row] = found[(found["metric"] == "m") & (found["maps"] == "all")].to_dict("records")
    assert row["images"] == 5
    per_image = [spearmanr(one, other).statistic for one, other in zip(scores[2:], right[2:], strict=True)]
    assert row["rho"] == pytest.approx(np.mean(per_image))


@pytest.mark.parametrize("truth", [[], ["other"]])
def test_a_truth_that_is_not_there_is_refused(truth: list[str]) -> None:
    with pytest.raises(InputError, match="expected labels of metrics of the scores, of m"):
        reliability.validity(table({"m": np.ones((3, 3))}), truth)


def test_faults_worked_out_by_hand() -> None:
    images = 40
    found = reliability.faults(
        graded(
            {
                "sees": [[3.0, 2.0, 1.0]] * images,
                "rewards": [[1.0, 2.0, 3.0]] * images,
                "ties": [[1.0, 1.0, 1.0]] * images,
                # One of three pairs is wrong on all images: half against full.
                "sees some": [[3.0, 1.0, 2.0]] * images,
            }
        )
    )
    assert found["wrong"].tolist() == pytest.approx([0, 1, 0.5, 1 / 3])
    assert found["found"].tolist() == ["seen", "rewarded", "unseen", "partly"]
    assert found[["base", "fault", "strengths", "images"]].drop_duplicates().to_numpy().tolist() == [
        ["Truth", "noisy", 3, images]
    ]


def test_three_images_do_not_say_that_a_fault_is_seen() -> None:
    [row] = reliability.faults(graded({"m": [[3.0, 2.0, 1.0]] * 3})).to_dict("records")
    assert (row["wrong"], row["found"]) == (0, "unseen")
    assert row["high"] > 0.5


def test_faults_are_no_tricks_and_the_truth_is_no_method() -> None:
    scores = graded({"m": [[1.0, 2.0, 3.0], [1.0, 2.0, 4.0]]})
    both = pd.concat([scores, table({"m": np.array([[1.0, 2.0], [2.0, 1.0]])})])
    assert not len(reliability.tricks(both))
    assert reliability.report(both, n_bootstrap=50).tables["inter_rater"]["methods"].tolist() == [2]


@given(st.lists(st.floats(0, 1), min_size=0, max_size=30))
def test_the_interval_of_a_share_lies_in_0_to_1_and_holds_its_middle(shares: list[float]) -> None:
    low, high = share_interval(np.array(shares), 0.95)
    assert 0 <= low <= (sum(shares) + 1) / (len(shares) + 2) <= high <= 1


def test_the_interval_of_a_share_is_scipys_with_an_image_of_each_kind_more() -> None:
    shares = np.array([0.5, 0.4, 0.6, 0.55, 0.5, 0.35, 0.45, 0.7])
    low, high = ttest_1samp([*shares, 0, 1], 0).confidence_interval(0.95)
    assert share_interval(shares, 0.95) == pytest.approx((low, high))


def test_a_manipulated_map_of_no_strength_is_no_fault() -> None:
    scores = graded({"m": [[3.0, 2.0, 1.0]] * 40})
    none = scores.assign(strength=scores["strength"].where(scores["method"] != "half", 0.0))
    [row] = reliability.faults(none).to_dict("records")
    assert (row["strengths"], row["wrong"], row["found"]) == (2, 0, "seen")
    assert not len(reliability.faults(none[none["method"] != "full"]))
