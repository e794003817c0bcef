import tracemalloc

import numpy as np
import pandas as pd
import pytest

from captum_gag import reliability
from captum_gag.reliability import bootstrap

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


@pytest.mark.parametrize("direction", [1, -1])
def test_a_method_beats_the_baselines_by_its_metrics_direction(direction):
    rng = np.random.default_rng(0)
    methods = {f"Random:{seed}": rng.normal(size=50) for seed in range(100)}
    methods |= {"good": rng.normal(3, 1, 50), "poor": rng.normal(0, 0.01, 50), "Sobel": rng.normal(1, 1, 50)}
    signed = {name: direction * values for name, values in methods.items()}
    controls = {name: "random" for name in methods if name.startswith("Random")}
    table = arrays({"A": signed}, higher_is_better={"A": direction > 0}, controls=controls)
    found = reliability.against_baselines(table, **QUICK).set_index("method")
    assert found["beats_random"].to_dict() == {"good": True, "poor": False}
    assert found["beats_edges"].to_dict() == {"good": True, "poor": False}
    means = [signed[f"Random:{seed}"].mean() for seed in range(100)]
    assert found.loc["good", ["random_low", "random_high"]].tolist() == pytest.approx(
        np.quantile(means, [0.025, 0.975])
    )


def test_a_metric_is_judged_alike_beside_one_that_scored_more_methods():
    rng = np.random.default_rng(0)
    few = {"good": rng.normal(3, 1, 50), "Sobel": rng.normal(1, 1, 50)}
    more = few | {f"Random:{seed}": rng.normal(size=50) for seed in range(3)}
    told = {"controls": {name: "random" for name in more if name.startswith("Random")}}
    both = reliability.against_baselines(
        arrays({"A": more, "B": few}, higher_is_better={"A": True, "B": True}, **told), **QUICK
    )
    alone = reliability.against_baselines(arrays({"B": few}, higher_is_better={"B": True}), **QUICK)
    assert both.loc[both["metric"] == "A", "beats_random"].tolist() == [True]
    of_b = both[both["metric"] == "B"].to_dict("records")
    assert [each["beats_random"] for each in of_b] == [None]
    assert [each["beats_edges"] for each in of_b] == alone["beats_edges"].tolist() == [True]


def test_without_baselines_nothing_is_claimed():
    found = reliability.against_baselines(arrays({"RCAP": {"x": [1, 2, 3]}}), **QUICK)
    assert found.loc[0, ["beats_random", "beats_edges"]].tolist() == [None, None]


def test_a_manipulated_map_that_gains_on_every_image_fools_and_one_that_loses_does_not():
    base = np.random.default_rng(1).random(30)
    scores = {"GAG-85": base, "brighter": base + 0.1, "GAG-85^R": base - 0.1, "orphan": base, "X^sharp": base}
    transforms = {"brighter": ("GAG-85", "sharpen"), "GAG-85^R": ("GAG-85", "reverse"), "orphan": ("SG", "reverse")}
    table = arrays({"RCAP": scores, "Deletion": scores}, transforms=transforms)
    found = reliability.tricks(table, **QUICK).set_index(["metric", "method"])
    assert found["fooled"].to_dict() == {
        ("RCAP", "brighter"): True,
        ("RCAP", "GAG-85^R"): False,
        ("Deletion", "brighter"): False,
        ("Deletion", "GAG-85^R"): True,
    }
    assert found.loc[("RCAP", "brighter"), ["gain", "low", "high"]].tolist() == pytest.approx([0.1] * 3)
    assert set(reliability.against_baselines(table, **QUICK)["method"]) == {"GAG-85", "X^sharp"}, "no name is read"


def test_more_images_are_more_stable():
    rng = np.random.default_rng(2)
    scores = arrays({"A": {f"m{k}": rng.normal(k, 3, 400) for k in range(4)}}, higher_is_better={"A": True})
    found = reliability.stability(scores, sizes=[5, 20, 100, 400, 999], n_resamples=200)
    assert found["images"].tolist() == [5, 20, 100, 400]
    assert found["flips"].is_monotonic_decreasing
    assert found["flips"].iloc[0] > 0.1
    # All images drawn without replacement are all images.
    assert found[["flips", "best_changes"]].iloc[-1].tolist() == [0, 0]
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
    assert found.loc[0, "best_changes"] == pytest.approx(0.25, abs=0.03)


def test_the_stability_of_several_hundred_methods_takes_no_table_of_them_for_each_draw(monkeypatch):
    rng = np.random.default_rng(0)
    small = arrays({"A": {f"x{each}": rng.normal(each, 9, 40) for each in range(5)}}, higher_is_better={"A": True})
    whole = reliability.stability(small, n_resamples=60)
    monkeypatch.setattr(bootstrap, "BLOCK", 500)
    pd.testing.assert_frame_equal(reliability.stability(small, n_resamples=60), whole, check_exact=True)

    monkeypatch.undo()
    many = arrays({"A": {f"x{each}": rng.normal(size=20) for each in range(300)}}, higher_is_better={"A": True})
    tracemalloc.start()
    reliability.stability(many, sizes=[10], n_resamples=1000)
    # Tallies of 300 methods by 300 values are 0.7 MB for each of 1,000 draws, differences of pairs 0.4 MB.
    assert tracemalloc.get_traced_memory()[1] < 300e6
    tracemalloc.stop()
