import numpy as np
import pandas as pd
import pytest

from captum_gag import reliability

QUICK = {"n_bootstrap": 300}


def test_summary_of_known_scores():
    scores = reliability.from_arrays({"A": {"x": [1, 2, 3, 4, 5], "y": [0, 0, 0, 0, np.nan]}})
    found = reliability.summary(scores, **QUICK).set_index("method")
    assert found.loc["x", ["mean", "min", "q1", "median", "q3", "max"]].tolist() == [3, 1, 2, 3, 4, 5]
    assert found.loc["x", "std"] == pytest.approx(np.sqrt(2.5))
    assert found.loc["x", "low"] < 3 < found.loc["x", "high"]
    assert found.loc["y", ["mean", "images", "undefined"]].tolist() == [0, 4, 1]


@pytest.mark.parametrize("direction", [1, -1])
def test_a_method_beats_the_baselines_by_its_metrics_direction(direction):
    rng = np.random.default_rng(0)
    methods = {f"Random:{seed}": rng.normal(size=50) for seed in range(100)}
    methods |= {"good": rng.normal(3, 1, 50), "poor": rng.normal(0, 0.01, 50), "Sobel": rng.normal(1, 1, 50)}
    signed = {name: direction * values for name, values in methods.items()}
    metric = "A" if direction > 0 else "Deletion"
    found = reliability.against_baselines(reliability.from_arrays({metric: signed}), **QUICK).set_index("method")
    assert found["beats_random"].to_dict() == {"good": True, "poor": False}
    assert found["beats_edges"].to_dict() == {"good": True, "poor": False}
    means = [signed[f"Random:{seed}"].mean() for seed in range(100)]
    assert found.loc["good", ["random_low", "random_high"]].tolist() == pytest.approx(
        np.quantile(means, [0.025, 0.975])
    )


def test_without_baselines_nothing_is_claimed():
    found = reliability.against_baselines(reliability.from_arrays({"A": {"x": [1, 2, 3]}}), **QUICK)
    assert found.loc[0, ["beats_random", "beats_edges"]].tolist() == [None, None]


def test_a_trick_that_gains_on_every_image_fools_and_one_that_loses_does_not():
    rng = np.random.default_rng(1)
    base = rng.random(30)
    scores = {"GAG-85": base, "GAG-85^sharp": base + 0.1, "GAG-85^R": base - 0.1, "orphan^R": base}
    found = reliability.tricks(reliability.from_arrays({"RCAP": scores, "Deletion": scores}), **QUICK)
    found = found.set_index(["metric", "method"])
    assert found["fooled"].to_dict() == {
        ("RCAP", "GAG-85^sharp"): True,
        ("RCAP", "GAG-85^R"): False,
        ("Deletion", "GAG-85^sharp"): False,
        ("Deletion", "GAG-85^R"): True,
    }
    assert found.loc[("RCAP", "GAG-85^sharp"), ["gain", "low", "high"]].tolist() == pytest.approx([0.1] * 3)


def test_more_images_are_more_stable():
    rng = np.random.default_rng(2)
    scores = reliability.from_arrays({"A": {f"m{k}": rng.normal(k, 3, 400) for k in range(4)}})
    found = reliability.stability(scores, sizes=[5, 20, 100, 400, 999], n_resamples=200)
    assert found["images"].tolist() == [5, 20, 100, 400]
    assert found["flips"].is_monotonic_decreasing
    assert found["flips"].iloc[0] > 0.1
    # All images drawn without replacement are all images.
    assert found[["flips", "best_changes"]].iloc[-1].tolist() == [0, 0]
    whole = reliability.inter_rater(scores, n_bootstrap=10)["alpha"]["A"]
    assert found[["alpha", "alpha_low", "alpha_high"]].iloc[-1].tolist() == pytest.approx([whole] * 3)
    width = found["alpha_high"] - found["alpha_low"]
    assert width.is_monotonic_decreasing
    assert reliability.stability(scores.query("image < 100"), n_resamples=5)["images"].tolist() == [5, 10, 20, 50]


def test_flips_of_two_methods_are_the_share_of_draws_in_the_other_order():
    # One image in four says otherwise, by enough to turn a single image but never two.
    scores = pd.concat([reliability.from_arrays({"A": {"x": [1, 1, 1, 0], "y": [0, 0, 0, 1]}})] * 1)
    found = reliability.stability(scores, sizes=[1], n_resamples=4000)
    assert found.loc[0, "flips"] == pytest.approx(0.25, abs=0.03)
    assert found.loc[0, "best_changes"] == pytest.approx(0.25, abs=0.03)
