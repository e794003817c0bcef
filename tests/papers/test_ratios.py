"""Ratios are of means, of the same images, averaged over originals; an original that may be 0 divides nothing."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from captum_gag import reliability
from captum_gag.papers.huang_liu import ratios

VARIANTS = {"A": {"SG": "SG-A", "IG": "IG-A"}, "G": {"SG": "SG-G", "IG": "IG-G"}}


def table(scores: dict[str, list[float]], metric: str = "RCAP") -> pd.DataFrame:
    return reliability.from_arrays({metric: scores}, levels="metric")


def by_variant(found: pd.DataFrame) -> pd.DataFrame:
    return found.set_index(["metric", "variant"])


def test_a_worked_example() -> None:
    scores = {"SG": [0.1, 0.3], "SG-A": [0.2, 0.6], "IG": [0.2, 0.2], "IG-A": [0.1, 0.3], "SG-G": [0.4, 0.4]}
    found = by_variant(ratios(table(scores), VARIANTS))
    # A: SG 0.4 / 0.2 = 2, IG 0.2 / 0.2 = 1. G: SG 0.4 / 0.2 = 2 alone. (A mean of the images' ratios for G would be
    # (4 + 4 / 3) / 2.)
    assert found.loc[("RCAP", "A"), ["ratio", "images", "over", "left_out"]].tolist() == [1.5, 2, ("SG", "IG"), ()]
    assert found.loc[("RCAP", "G"), ["ratio", "images", "over", "left_out"]].tolist() == [2.0, 2, ("SG",), ()]
    assert found[["low", "high"]].isna().all(axis=None), "two images are too few to tell"


def test_the_interval_is_the_jackknifes_on_the_logarithm() -> None:
    rng = np.random.default_rng(0)
    scores = {name: rng.exponential(size=8) for name in ("SG", "SG-A", "IG", "IG-A")}
    [row] = ratios(table(scores), {"A": VARIANTS["A"]}, 0.9).to_dict("records")

    def mean_ratio(images: list[int]) -> float:
        return float(
            np.mean([scores[f"{name}-A"][images].mean() / scores[name][images].mean() for name in ("SG", "IG")])
        )

    everything = list(range(8))
    logs = [np.log(mean_ratio([i for i in everything if i != out])) for out in everything]
    reach = np.exp(scipy.stats.t.ppf(0.95, 6) * np.sqrt(7) * np.std(logs))
    whole = mean_ratio(everything)
    assert (row["ratio"], row["low"], row["high"]) == pytest.approx((whole, whole / reach, whole * reach))


@pytest.mark.parametrize(
    "original", [[-0.1, 0.3, 0.0, -0.2], [0.0, 0.0, 0.0, 0.5], [-1.0, -2.0, -1.0, -3.0], [0.0] * 4]
)
def test_an_original_whose_mean_may_be_0_is_left_out_and_named(original: list[float]) -> None:
    scores = {"SG": [0.1, 0.2, 0.3, 0.2], "SG-A": [0.2, 0.4, 0.6, 0.4], "IG": original, "IG-A": [0.5] * 4}
    [row] = ratios(table(scores), VARIANTS).to_dict("records")
    assert (row["ratio"], row["over"], row["left_out"]) == (2, ("SG",), ("IG",))
    alone = {name: values for name, values in scores.items() if name.startswith("IG")}
    [row] = ratios(table(alone), VARIANTS).to_dict("records")
    assert (row["over"], row["left_out"], row["images"]) == ((), ("IG",), 0)
    assert np.isnan([row["ratio"], row["low"], row["high"]]).all()


def test_an_image_without_a_score_counts_for_no_method() -> None:
    scores = {"SG": [0.1, 0.3, 0.5], "SG-A": [0.2, 0.6, np.nan]}
    [row] = ratios(table(scores), VARIANTS).to_dict("records")
    assert (row["ratio"], row["images"]) == (pytest.approx(2), 2)
    [one] = ratios(table({"SG": [0.1], "SG-A": [0.3]}), VARIANTS).to_dict("records")
    assert (one["ratio"], one["images"], np.isnan(one["low"])) == (pytest.approx(3), 1, True)


def test_metrics_are_on_their_own_and_what_has_no_variant_has_no_row() -> None:
    scores = pd.concat([table({"SG": [1.0, 1.0], "SG-A": [2.0, 2.0]}, "DAUC"), table({"SG": [1.0, 1.0]}, "IAUC")])
    assert list(by_variant(ratios(scores, VARIANTS)).index) == [("DAUC", "A")]
    assert list(ratios(table({"other": [1.0, 2.0]}), VARIANTS).columns)[:3] == ["metric", "variant", "ratio"]


@settings(max_examples=25, deadline=None)
@given(
    values=st.lists(st.tuples(st.floats(0.1, 1), st.floats(0.1, 1)), min_size=4, max_size=6),
    factor=st.floats(0.01, 100),
)
def test_the_unit_of_a_metric_changes_nothing(values: list[tuple[float, float]], factor: float) -> None:
    original, variant = map(list, zip(*values, strict=True))
    columns = ["ratio", "low", "high"]
    [plain] = ratios(table({"SG": original, "SG-A": variant}), VARIANTS)[columns].to_numpy()
    scaled = {"SG": [factor * each for each in original], "SG-A": [factor * each for each in variant]}
    [other] = ratios(table(scaled), VARIANTS)[columns].to_numpy()
    np.testing.assert_allclose(plain, other, rtol=1e-9)
