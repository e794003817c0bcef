"""Validity against SciPy's correlations, and faults against tables worked out by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import stdtrit
from scipy.stats import kendalltau, ttest_1samp, ttest_rel

from captum_gag import reliability
from captum_gag.errors import InputError
from captum_gag.reliability.truth import SEEN, share_interval


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


def row(found: pd.DataFrame, metric: str = "m", truth: str = "truth") -> dict[str, object]:
    [only] = found[(found["metric"] == metric) & (found["truth"] == truth)].to_dict("records")
    return only


def test_is_scipys() -> None:
    random = np.random.default_rng(0)
    right, scores = random.random((2, 9, 6))
    found = row(reliability.validity(table({"truth": right, "m": scores}), ["truth"]))
    taus = [kendalltau(one, other).statistic for one, other in zip(scores, right, strict=True)]
    assert found["wrong"] == pytest.approx((1 - np.mean(taus)) / 2)
    assert found["wrong_low"] < found["wrong"] < found["wrong_high"]
    pick, best = scores.mean(0).argmax(), right.mean(0).argmax()
    assert (found["pick"], found["best"]) == ("abcdef"[pick], "abcdef"[best])
    assert found["regret"] == pytest.approx(np.ptp(right.mean(0)[[pick, best]]))
    assert found["rank"] == (right.mean(0) > right.mean(0)[pick]).sum() + 1
    assert found["regret_by_chance"] == pytest.approx(right.mean(0).max() - right.mean())
    ends = [
        ttest_rel(other, right[:, pick]).confidence_interval(1 - 0.05 / 5) for other in right.T[np.arange(6) != pick]
    ]
    expected = [max(0, max(getattr(each, side) for each in ends)) for side in ("low", "high")]
    assert [found["regret_low"], found["regret_high"]] == pytest.approx(expected)
    assert (found["methods"], found["images"], found["networks"]) == (6, 9, 1)


def test_ties_count_a_half_and_what_the_truth_does_not_tell_apart_not_at_all() -> None:
    right = np.array([[1.0, 1.0, 0.0]] * 4)
    # a and b are alike by the truth; a is before c rightly, b and c are tied.
    scores = np.array([[3.0, 1.0, 1.0]] * 4)
    assert row(reliability.validity(table({"truth": right, "m": scores}), ["truth"]))["wrong"] == 0.25


def test_of_methods_that_a_metric_does_not_tell_apart_the_worst_is_what_it_may_pick() -> None:
    right = np.array([[0.9, 0.5, 0.1]] * 4)
    found = row(reliability.validity(table({"truth": right, "m": np.full((4, 3), 0.3)}), ["truth"]))
    assert (found["pick"], found["rank"], found["regret"]) == ("c", 3, pytest.approx(0.8))


def test_where_lower_is_better_the_order_is_turned() -> None:
    right = np.random.default_rng(0).random((5, 4))
    scores = table({"truth": right, "loss": -right}).assign(higher_is_better=lambda each: each["metric"] == "truth")
    found = row(reliability.validity(scores, ["truth"]), "loss")
    assert (found["wrong"], found["regret"], found["rank"]) == (0, 0, 1)


def test_controls_and_manipulated_maps_are_no_explanations() -> None:
    scores = np.random.default_rng(0).random((5, 4))
    both = table({"truth": scores, "m": scores}, controls={"a": "random"}, transforms={"b": ("c", "sharpen")})
    assert row(reliability.validity(both, ["truth"]))["methods"] == 2
    controls = table({"truth": scores, "m": scores}, controls={"a": "random", "b": "random"})
    part = controls[(controls["metric"] != "truth") | controls["method"].isin(["a", "b"])]
    found = row(reliability.validity(part, ["truth"]))
    assert found["images"] == 0
    assert np.isnan([found["wrong"], found["regret"]]).all()


def test_an_image_without_a_score_is_left_out() -> None:
    right, scores = np.random.default_rng(0).random((2, 6, 4))
    scores[0, 0] = np.nan
    found = row(reliability.validity(table({"truth": right, "m": scores}), ["truth"]))
    assert found["images"] == 5
    taus = [kendalltau(one, other).statistic for one, other in zip(scores[1:], right[1:], strict=True)]
    assert found["wrong"] == pytest.approx((1 - np.mean(taus)) / 2)


def networks(means: list[list[float]], picks: list[list[float]], images: int = 40) -> pd.DataFrame:
    """Return the scores of several networks: the mean truth of each method, and the mean score by a metric."""
    random = np.random.default_rng(0)
    parts = []
    for number, (quality, score) in enumerate(zip(means, picks, strict=True)):
        noise = random.normal(0, 0.01, (2, images, len(quality)))
        part = table({"truth": np.array(quality) + noise[0], "m": np.array(score) + noise[1]})
        parts.append(part.assign(image=f"{number}/" + part["image"].astype(str), network=f"texture {number}"))
    return pd.concat(parts)


def test_the_regret_of_three_networks_is_the_mean_of_theirs() -> None:
    """On the first the metric picks the best, on the others the 4th and the 6th of six."""
    truths = [[0.9, 0.8, 0.7, 0.6, 0.5, 0.4]] * 3
    scores = [[6.0, 5, 4, 3, 2, 1], [4.0, 3, 2, 9, 1, 0], [4.0, 3, 2, 1, 0, 9]]
    found = row(reliability.validity(networks(truths, scores), ["truth"]))
    assert (found["networks"], found["images"], found["methods"]) == (3, 120, 6)
    assert (found["pick"], found["best"]) == ("a, d, f", "a")
    assert found["rank"] == pytest.approx((1 + 4 + 6) / 3)
    assert found["regret"] == pytest.approx((0 + 0.3 + 0.5) / 3, abs=0.01)
    reach = stdtrit(2, 0.975) * np.std([0, 0.3, 0.5], ddof=1) / np.sqrt(3)
    assert (found["regret_low"], found["regret_high"]) == (0, pytest.approx(found["regret"] + reach, abs=0.03))


def test_a_regret_is_never_certain() -> None:
    """Three networks without regret do not say that others have none."""
    even = networks([[0.9, 0.8]] * 3, [[2.0, 1.0]] * 3)
    found = row(reliability.validity(even, ["truth"]))
    assert (found["regret"], found["regret_low"]) == (0, 0)
    wide = networks([[0.51, 0.5]] * 3, [[2.0, 1.0]] * 3, images=3)
    assert row(reliability.validity(wide, ["truth"]))["regret_high"] > 0


def test_intervals_are_of_further_networks() -> None:
    """Simulated: each network has a share of its own; of 3 networks the interval contains the mean of all."""
    random = np.random.default_rng(0)
    hits = {"networks": 0, "images": 0}
    for _ in range(1000):
        own = random.normal(0.3, 0.06, 3).repeat(60)
        shares = random.binomial(10, own.clip(0, 1)) / 10
        for name, of in (("networks", np.arange(3).repeat(60)), ("images", ())):
            low, high = share_interval(shares, 0.95, of)
            hits[name] += low <= 0.3 <= high
    assert hits["networks"] >= 935
    assert hits["images"] < 700


def test_three_networks_that_are_alike_do_not_say_that_all_are() -> None:
    shares, of = np.zeros(180), np.arange(3).repeat(60)
    assert share_interval(shares, 0.95, of) == share_interval(shares, 0.95)
    assert share_interval(shares, 0.95, of)[1] > 0


def test_a_metric_that_shares_the_error_of_one_truth_is_not_valid() -> None:
    """Two truths err each in its own way; a metric that has the first one's error is near to that one alone."""
    random = np.random.default_rng(0)
    quality = np.linspace(0, 1, 6)
    first, second = random.normal(0, 0.5, (2, 80, 6))
    scores = {
        "first": quality + first,
        "second": quality + 0.1 * second,
        "shares the error": quality + first + random.normal(0, 0.02, (80, 6)),
        "has its own": quality + random.normal(0, 0.05, (80, 6)),
    }
    report = reliability.report(table(scores), n_bootstrap=50, truth=("first", "second"))
    marks = report.marks.set_index("metric")
    near = row(report.tables["validity"], "shares the error", "first")
    assert near["wrong_high"] < SEEN
    far = row(report.tables["validity"], "shares the error", "second")
    assert marks.loc["shares the error", ["valid", "wrong"]].tolist() == ["no", far["wrong"]]
    assert "take shares the error" not in report.advice
    # By both truths, and therefore by the worse of the two.
    alone = reliability.report(table(scores), n_bootstrap=50, truth=("second",)).marks.set_index("metric")
    assert alone.loc["has its own", "valid"] == "yes"


@pytest.mark.parametrize("truth", [[], ["other"]])
def test_a_truth_that_is_not_there_is_refused(truth: list[str]) -> None:
    with pytest.raises(InputError, match="must be metrics of the scores, of m"):
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
