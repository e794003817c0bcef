import tracemalloc

import numpy as np
import pandas as pd
import pytest
import scipy.stats

from captum_gag import reliability
from captum_gag.reliability import resampling
from captum_gag.reliability.pairwise import mean_test

QUICK = {"n_bootstrap": 300}


def arrays(scores, **options):
    return reliability.from_arrays(scores, levels="metric", **options)


def test_summary_of_known_scores():
    scores = arrays({"A": {"x": [1, 2, 3, 4, 5], "y": [0, 0, 0, 0, np.nan], "z": [2, *[np.nan] * 4]}})
    found = reliability.summary(scores, **QUICK).set_index("method")
    assert found.loc["x", ["mean", "min", "q1", "median", "q3", "max"]].tolist() == [3, 1, 2, 3, 4, 5]
    assert found.loc["x", "std"] == pytest.approx(np.sqrt(2.5))
    assert found.loc["x", "low"] < 3 < found.loc["x", "high"]
    assert found.loc["y", ["mean", "images", "undefined"]].tolist() == [0, 4, 1]
    assert found.loc["z", ["mean", "images"]].tolist() == [2, 1]
    assert found.loc["z", ["low", "high", "std"]].isna().all(), "one image has no interval"


def test_a_manipulated_map_that_gains_on_every_image_fools_and_one_that_loses_does_not():
    base, gain = np.random.default_rng(1).random((2, 30))
    scores = {"GAG-85": base, "brighter": base + gain, "GAG-85^R": base - gain, "orphan": base, "X^sharp": base}
    transforms = {"brighter": ("GAG-85", "sharpen"), "GAG-85^R": ("GAG-85", "reverse"), "orphan": ("SG", "reverse")}
    table = arrays({"RCAP": scores, "Deletion": scores}, transforms=transforms)
    found = reliability.tricks(table, **QUICK).set_index(["metric", "method"])
    assert found["fooled"].to_dict() == {
        ("RCAP", "brighter"): True,
        ("RCAP", "GAG-85^R"): False,
        ("Deletion", "brighter"): False,
        ("Deletion", "GAG-85^R"): True,
    }
    assert found.loc[("RCAP", "brighter"), "gain"] == pytest.approx(gain.mean())
    assert found.loc[("RCAP", "brighter"), "p"] == pytest.approx(4 * mean_test(gain))
    assert set(reliability.against_baselines(table)["method"]) == {"GAG-85", "X^sharp"}, "no name is read"


def tricked(gains, control=""):
    base = np.random.default_rng(1).random(len(gains[0]))
    scores = {"x": base} | {f"trick {place}": base + gain for place, gain in enumerate(gains)}
    transforms = {name: ("x", "sharpen") for name in scores if name != "x"}
    return arrays({"RCAP": scores}, transforms=transforms).assign(control=control)


def test_gains_within_rounding_are_none_and_the_number_of_tricks_counts():
    rng = np.random.default_rng(0)
    assert reliability.tricks(tricked([np.full(40, 3.9e-7)]), **QUICK)["fooled"].tolist() == [False]
    gain = rng.normal(size=40)
    # Of mean 2.3 standard errors: significant alone, but not among ten.
    gain = gain - gain.mean() + 2.3 * scipy.stats.sem(gain)
    assert reliability.tricks(tricked([gain]), **QUICK)["fooled"].tolist() == [True]
    others = [rng.normal(size=40) for _ in range(9)]
    assert reliability.tricks(tricked([gain, *others]), **QUICK)["fooled"].tolist()[0] is None
    # Three untied images of forty.
    assert reliability.tricks(tricked([np.r_[np.zeros(37), 1, 2, 3]]), **QUICK)["fooled"].tolist() == [None]


def test_displaced_maps_are_no_tricks():
    table = tricked([np.full(9, 0.5)])
    table["control"] = np.where(table["method"] == "x", "", "displaced")
    assert not len(reliability.tricks(table, **QUICK))


def test_more_images_are_more_stable():
    rng = np.random.default_rng(2)
    scores = arrays({"A": {f"m{k}": rng.normal(k, 3, 400) for k in range(4)}}, higher_is_better={"A": True})
    found = reliability.stability(scores, sizes=[5, 20, 100, 400, 999], n_resamples=200)
    assert found["images"].tolist() == [5, 20, 100, 400]
    assert found["flips"].is_monotonic_decreasing
    assert found["flips"].iloc[0] > 0.1
    # All images drawn without replacement are all images.
    assert found[["flips", "best_changes", "pair_flips"]].iloc[-1].tolist() == [0, 0, 0]
    assert found[["best", "runner_up"]].drop_duplicates().to_numpy().tolist() == [["m3", "m2"]]
    whole = reliability.inter_rater(scores)["alpha"]["A"]
    assert found[["alpha", "alpha_low", "alpha_high"]].iloc[-1].tolist() == pytest.approx([whole] * 3)
    width = found["alpha_high"] - found["alpha_low"]
    assert width.is_monotonic_decreasing
    assert reliability.stability(scores.query("image < 100"), n_resamples=5)["images"].tolist() == [5, 10, 20, 50]


def test_flips_of_two_methods_are_the_share_of_draws_in_the_other_order():
    # One image in four says otherwise, by enough to turn a single image but never two.
    scores = arrays({"A": {"x": [1, 1, 1, 0], "y": [0, 0, 0, 1]}}, higher_is_better={"A": True})
    found = reliability.stability(scores, sizes=[1], n_resamples=4000)
    assert found.loc[0, "flips"] == pytest.approx(0.25, abs=0.03)
    assert found.loc[0, "best_changes"] == found.loc[0, "pair_flips"] == pytest.approx(0.25, abs=0.03)


def test_the_stability_of_several_hundred_methods_takes_no_table_of_them_for_each_draw(monkeypatch):
    rng = np.random.default_rng(0)
    small = arrays({"A": {f"x{each}": rng.normal(each, 9, 40) for each in range(5)}}, higher_is_better={"A": True})
    whole = reliability.stability(small, n_resamples=60)
    monkeypatch.setattr(resampling, "BLOCK", 500)
    pd.testing.assert_frame_equal(reliability.stability(small, n_resamples=60), whole, check_exact=True)

    monkeypatch.undo()
    many = arrays({"A": {f"x{each}": rng.normal(size=20) for each in range(300)}}, higher_is_better={"A": True})
    tracemalloc.start()
    reliability.stability(many, sizes=[10], n_resamples=1000)
    # Tallies of 300 methods by 300 values are 0.7 MB for each of 1,000 draws, differences of pairs 0.4 MB.
    assert tracemalloc.get_traced_memory()[1] < 300e6
    tracemalloc.stop()
