"""Verdicts say what the tables say, and the tables are the checks' own."""

import inspect
from typing import Any

import numpy as np
import pandas as pd
import pytest

from captum_gag import reliability
from captum_gag.errors import InputError


@pytest.fixture(scope="module")
def scores():
    rng = np.random.default_rng(0)
    qualities = {"GAG-85": 0.8, "sharpened": 0.9, "SG": 0.5, "poor": 0.3, "Sobel": 0.4}
    qualities |= {f"Random:{seed}": 0.1 for seed in range(20)}
    controls = {name: "random" for name in qualities if name.startswith("Random")}
    parts = []
    for noise, kind in [
        (0.01, {"metric": "RCAP"}),
        (5, {"metric": "AOPC MoRF", "variant": "mean", "steps": 20}),
        (5, {"metric": "AOPC MoRF", "variant": "blur", "steps": 20}),
        (3, {"metric": "AOPC MoRF", "variant": "mean", "steps": 40}),
    ]:
        drawn = {"RCAP": {name: rng.normal(quality, noise, 40) for name, quality in qualities.items()}}
        transforms = {"sharpened": ("GAG-85", "sharpen")}
        parts.append(reliability.from_arrays(drawn, controls=controls, transforms=transforms).assign(**kind))
    return pd.concat(parts)


@pytest.fixture(scope="module")
def report(scores):
    return reliability.report(scores, n_bootstrap=200)


def test_verdicts_say_what_the_tables_say(report):
    said = report.verdicts["RCAP"]
    assert said.startswith("higher is better. Alpha 1.00")
    assert "(99.9 %), reliable: the images agree" in said
    assert "do not significantly beat the edge detector: poor" in said
    assert "fooled by: sharpened" in said
    assert "Of 5 of these images, GAG-85 is ahead of SG, the runner-up, in more than 95% of draws." in said
    assert "unreliable" in report.verdicts["AOPC MoRF (mean) L=20"]


def test_few_images_decide_nothing():
    scores = {"GAG-85": [0.9, 0.8], "sharpened": [0.95, 0.9], "Sobel": [0.1, 0.2]}
    found = reliability.report(
        reliability.from_arrays({"RCAP": scores}, transforms={"sharpened": ("GAG-85", "sharpen")}), n_bootstrap=200
    )
    said = "higher is better. Alpha 1.00 (2 images, 2 methods), too few to tell whether it is reliable."
    assert found.verdicts["RCAP"] == said
    assert found.tables["baselines"]["beats_edges"].tolist() == found.tables["tricks"]["fooled"].tolist() == [None]


def test_the_direction_is_in_the_verdict_and_turns_it(scores):
    turned = scores[scores["metric"] == "RCAP"].assign(higher_is_better=False)
    said = reliability.report(turned, n_bootstrap=200).verdicts["RCAP"]
    assert said.startswith("lower is better.")
    assert "do not significantly beat the edge detector: GAG-85, SG" in said
    assert "do not significantly beat random orderings: GAG-85, SG, poor" in said
    assert "fooled" not in said


def test_tables_are_the_checks_own(scores, report):
    real = scores[scores["method"].isin(["GAG-85", "SG", "poor", "Sobel"])]
    expected = reliability.inter_rater(real).reset_index()
    pd.testing.assert_frame_equal(report.tables["inter_rater"], expected)
    assert report.tables["inter_rater"]["methods"].unique() == [4]
    assert report.tables["inter_rater_without_edges"]["methods"].unique() == [3]
    assert set(report.tables["implementation"]["other"]) == {"AOPC MoRF (mean) L=20"}
    assert not report.tables["summary"]["method"].str.startswith("Random").any()


def test_one_image_gives_a_report_without_claims():
    found = reliability.report(reliability.from_arrays({"RCAP": {"x": [1.0], "y": [2.0]}}), n_bootstrap=10)
    assert "undefined (1 images, 2 methods)" in found.verdicts["RCAP"]


def test_random_orderings_alone_are_nothing_to_judge():
    with pytest.raises(InputError, match="no method to judge: found Random alone"):
        reliability.report(reliability.from_arrays({"RCAP": {"Random": [1.0, 2.0]}}))


BAD = {
    "confidence": [0, 1, 2, -0.5, float("nan"), "high", None, [0.9, 0.95]],
    "n_bootstrap": [0, -1, 2.5, float("nan"), "many", None],
    "seed": [-1, 0.5, float("inf"), None],
}
CASES = [
    (statistic, name)
    for statistic in reliability.__all__
    if inspect.isfunction(getattr(reliability, statistic))
    for name in BAD
    if name in inspect.signature(getattr(reliability, statistic)).parameters
]


@pytest.fixture(scope="module")
def table() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    return reliability.from_arrays({name: {each: rng.random(6) for each in "abc"} for name in ("RCAP", "DAUC")})


@pytest.mark.parametrize(("statistic", "name"), CASES)
def test_it_is_refused(table: pd.DataFrame, statistic: str, name: str) -> None:
    first: dict[str, Any] = {"truth": ["DAUC"]} if statistic == "validity" else {}
    for value in BAD[name]:
        with pytest.raises(InputError, match=f"{statistic}: {name} is "):
            getattr(reliability, statistic)(table, **first, **{name: value})
