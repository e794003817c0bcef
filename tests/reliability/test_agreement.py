import krippendorff
import numpy as np
import pandas as pd
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st
from pandas.testing import assert_frame_equal

from captum_gag import reliability


def arrays(scores, **options):
    return reliability.from_arrays(scores, levels="metric", **options)


def table(rng, images=40, noise=1.0, metrics=("A", "B"), methods=("m1", "m2", "m3", "m4")):
    """Scores whose methods are one apart, plus noise."""
    quality = {method: place for place, method in enumerate(methods)}
    scores = {
        metric: {method: quality[method] + noise * rng.normal(size=images) for method in methods} for metric in metrics
    }
    return arrays(scores, higher_is_better=dict.fromkeys(metrics, True))


def by_image(matrix):
    """A score table of scores, images x methods."""
    return arrays({"A": {f"m{place}": column for place, column in enumerate(np.asarray(matrix, dtype=float).T)}})


def test_alpha_of_a_worked_example():
    # Siegel (1956), "Nonparametric Statistics", Table 9.6: three executives rank six applicants, Kendall's W = .16.
    executives = [[1, 6, 3, 2, 5, 4], [1, 5, 6, 4, 2, 3], [6, 3, 2, 5, 4, 1]]
    w = 25.5 / 157.5
    mean_rho = (3 * w - 1) / 2
    # Krippendorff's alpha of m complete rankings of n is 1 - (1 - mean rho) (mn - 1) / mn.
    found = reliability.inter_rater(by_image(executives))
    assert found.loc["A", "alpha"] == pytest.approx(1 - (1 - mean_rho) * 17 / 18, abs=1e-12)
    # Turned round, they agree as much: no direction is needed.
    turned = reliability.inter_rater(by_image(-np.array(executives)))
    assert turned.loc["A", "alpha"] == pytest.approx(found.loc["A", "alpha"], abs=1e-12)


@given(st.integers(2, 6), st.integers(2, 12), st.integers(0, 10**6))
@settings(max_examples=50, deadline=None)
def test_alpha_with_ties_is_the_packages_own(methods, images, seed):
    scores = np.random.default_rng(seed).integers(0, 3, (images, methods))
    ranked = scipy.stats.rankdata(scores, axis=1)
    if len(np.unique(ranked)) < 2:
        return
    expected = krippendorff.alpha(reliability_data=ranked, level_of_measurement="ordinal")
    found = reliability.inter_rater(by_image(scores))
    assert found.loc["A", "alpha"] == pytest.approx(expected, abs=1e-12)


def test_identical_rankings_have_alpha_1_and_rankings_that_tie_all_have_none():
    same = arrays({"A": {"x": [3, 30, 9], "y": [2, 20, 8], "z": [1, 10, 7]}, "B": {"x": [1, 2, 3], "y": [1, 2, 3]}})
    found = reliability.inter_rater(same)
    assert found.loc["A", ["alpha", "high"]].tolist() == [1, 1]
    assert found.loc["A", "low"] < 0.5, "three images do not say that all others rank so"
    assert found.loc["B"].isna()[["alpha", "low", "high"]].all()
    assert found.loc["B", ["images", "methods"]].tolist() == [3, 2]


def test_inter_method_of_a_planted_table():
    image = np.arange(10.0)
    found = reliability.inter_method(arrays({"A": {"x": image, "y": image**3, "z": -image}}))
    assert found.loc["A", "rho"] == pytest.approx((1 - 1 - 1) / 3)
    assert found.loc["A", ["images", "methods"]].tolist() == [10, 3]


def test_internal_consistency_of_a_planted_table_knows_where_lower_is_better():
    score = np.random.default_rng(3).normal(size=12)
    scores = arrays({"RCAP": {"x": score}, "Deletion": {"x": -score}, "AOPC LeRF": {"x": score}})
    found = reliability.internal_consistency(scores).set_index(["metric", "other"])["rho"]
    assert found["Deletion", "RCAP"] == pytest.approx(1)
    assert found["AOPC LeRF", "RCAP"] == pytest.approx(-1)
    told = scores.assign(higher_is_better=True)
    assert reliability.internal_consistency(told)["rho"].tolist() == pytest.approx([-1, 1, -1])


def test_consistency_matrix_is_symmetric_with_ones():
    scores = table(np.random.default_rng(4), metrics=("A", "B", "C"))
    consistency = reliability.internal_consistency(scores)
    matrix = reliability.consistency_matrix(consistency)
    assert (matrix.to_numpy() == matrix.to_numpy().T).all()
    assert np.diag(matrix).tolist() == [1, 1, 1]
    expected = consistency.query("metric == 'A' and other == 'C'")["rho"].mean()
    assert matrix.loc["C", "A"] == pytest.approx(expected)


def test_implementation_sensitivity_compares_variants_of_one_metric_of_one_length():
    rng = np.random.default_rng(5)
    columns = ["metric", "variant", "steps"]
    kinds = [
        ("AOPC", "mean", 20),
        ("AOPC", "blur", 20),
        ("AOPC", "blur", 40),
        ("RCAP", "black", None),
        ("F (x)", "", 20),
    ]
    parts = [table(rng, metrics=("A",)).assign(**dict(zip(columns, kind, strict=True))) for kind in kinds]
    found = reliability.implementation_sensitivity(pd.concat(parts))
    assert set(zip(found["metric"], found["other"], strict=True)) == {("AOPC (blur) L=20", "AOPC (mean) L=20")}
    assert len(reliability.implementation_sensitivity(table(rng))) == 0


def test_an_image_with_a_gap_is_left_out_and_a_method_without_scores_too():
    scores = table(np.random.default_rng(7), metrics=("A",))
    gap = (scores["image"] == 3) & (scores["method"] == "m2")
    nothing = scores[scores["method"] == "m1"].assign(method="constant", score=np.nan)
    found = reliability.inter_rater(pd.concat([scores.assign(score=scores["score"].mask(gap)), nothing]))
    whole = reliability.inter_rater(scores[scores["image"] != 3])
    assert_frame_equal(found, whole)
    assert found.loc["A", ["images", "methods"]].tolist() == [39, 4]


def test_too_few_images_have_a_correlation_and_no_interval():
    scores = table(np.random.default_rng(8), images=4)
    for check in (reliability.inter_method, reliability.internal_consistency):
        for images in (3, 4):
            found = check(scores[scores["image"] < images])
            assert found["rho"].notna().all()
            assert (found[["low", "high"]].notna() == (images == 4)).all(axis=None)
