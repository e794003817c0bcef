"""The four marks, of tables made for each."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from captum_gag import reliability
from captum_gag.reliability.marks import advice, in_figures, meets
from captum_gag.reliability.scores import checked, lean


def scores(spread: float, images: int = 60, **columns: object) -> pd.DataFrame:
    """Return a table by which the truth and a metric agree but for noise, with a sharpened map and two variants."""
    random = np.random.default_rng(0)
    names = ["a", "b", "c", "d", "a sharpened"]
    level = {name: float(place) for place, name in enumerate(names)}
    level["a sharpened"] = 0.0
    rows = []
    for image in range(images):
        for name in names:
            for metric, variant, noise in (("truth", "", 0.01), ("m", "x", spread), ("m", "y", spread)):
                row = {"image": image, "method": name, "metric": metric, "variant": variant, "higher_is_better": True}
                row |= {"base": "a", "transform": "sharpen"} if name == "a sharpened" else {"base": "", "transform": ""}
                better = 0.5 if name == "a sharpened" and metric == "m" else 0.0
                rows.append(row | {"score": level[name] + better + noise * random.normal()})
    return pd.DataFrame(rows).assign(**columns)


def marks(table: pd.DataFrame, truth: tuple[str, ...] = ("truth",)) -> dict[str, object]:
    found = reliability.report(table, n_bootstrap=300, truth=truth).marks
    return dict(found[found["metric"] == "m (x)"].iloc[0])


def test_a_good_metric_that_sharpening_fools() -> None:
    found = marks(scores(spread=0.05))
    assert {name: found[name] for name in ("reliable", "valid", "fooled")} == {
        "reliable": "yes",
        "valid": "yes",
        "fooled": "yes",
    }
    assert found["alpha"] > 0.9
    assert found["wrong"] == 0
    assert found["gain"] == pytest.approx(0.5, abs=0.05)
    # Noise of its own in each variant: over images they have nothing in common.
    assert found["sensitive"] == "yes"
    assert abs(float(str(found["rho"]))) < 0.3


def test_a_metric_that_is_noise() -> None:
    found = marks(scores(spread=50.0))
    assert {name: found[name] for name in ("reliable", "valid")} == {"reliable": "no", "valid": "no"}
    assert found["fooled"] == "unsure", "a gain lost in noise is no proof that there is none"


def test_of_three_images_nothing_is_sure() -> None:
    found = marks(scores(spread=0.05, images=3))
    assert (found["valid"], found["sensitive"], found["fooled"]) == ("unsure", "unsure", "unsure")


@pytest.mark.parametrize(("images", "noise", "mark"), [(200, 0.1, "no"), (200, 2.0, "yes"), (8, 0.1, "unsure")])
def test_sensitive_is_told_by_the_intervals_of_the_correlations(images: int, noise: float, mark: str) -> None:
    table, random = scores(spread=0.05, images=images), np.random.default_rng(0)
    ease, own = random.normal(size=images), noise * random.normal(size=(2, len(table)))
    # Where an image is easy by one variant, it is so by the other, but for noise.
    variants = (table["metric"] == "m").to_numpy()
    table["score"] += np.where(variants, ease[table["image"]] + own[0], 0)
    found = marks(table)
    assert found["sensitive"] == mark
    assert (float(str(found["rho"])) >= 0.65) == (noise < 1)


def test_a_metric_that_sharpening_does_not_fool() -> None:
    table = scores(spread=0.05)
    worse = (table["method"] == "a sharpened") & (table["metric"] == "m")
    assert marks(table.assign(score=table["score"] - worse))["fooled"] == "no"
    # Sharpening changes no ranking, and a metric of ranks alone scores both maps alike but for rounding.
    original = table[table["method"] == "a"]
    same = original.assign(method="a sharpened", base="a", transform="sharpen", score=original["score"] + 3.9e-7)
    found = marks(pd.concat([table[table["method"] != "a sharpened"], same]))
    assert (found["fooled"], found["gain"]) == ("no", 0)


def test_what_was_not_run_has_no_mark() -> None:
    table = scores(spread=0.05)
    table = table[(table["transform"] == "") & (table["variant"] != "y")].assign(variant="")
    found = reliability.report(table, n_bootstrap=300).marks.set_index("metric").loc["m"]
    assert found[["valid", "sensitive", "fooled"]].tolist() == ["", "", ""]
    assert found[["wrong", "rho", "gain"]].isna().all()


def test_advice_names_the_metric_nearest_to_the_truth_and_what_it_sees() -> None:
    table = scores(spread=0.05)
    table = table[table["variant"] != "y"].assign(variant="")
    noise = table[table["metric"] == "m"].assign(metric="worse")
    noise["score"] = np.random.default_rng(1).random(len(noise))
    told = table[table["metric"] == "truth"].assign(metric="told", uses_segmentation=True)
    # First, so that it would be taken, were it not given the segmentation.
    both = pd.concat([told, table.assign(uses_segmentation=False), noise.assign(uses_segmentation=False)])
    said = reliability.report(both, n_bootstrap=200, truth=("truth",)).advice
    assert said.startswith(
        "To choose a method, take m: of the valid ones it is nearest to the truth, with 0% of the pairs of "
        "explanations in the wrong order by truth. Its pick, d, is rank 1 of 4 by truth, at most 0.00 below the best."
    )
    assert said.endswith("It rewards sharpened maps: compare maps of one scale only.")
    assert reliability.report(lean(checked(both)), n_bootstrap=200, truth=("truth",)).advice == said
    only_noise = pd.concat([table[table["metric"] == "truth"], noise])
    said = reliability.report(only_noise, n_bootstrap=200, truth=("truth",)).advice
    assert said == "No metric orders explanations as every truth does: choose no method by these alone."
    assert not reliability.report(only_noise, n_bootstrap=200).advice


@pytest.mark.parametrize(("images", "mark"), [(60, "no"), (3, "unsure")])
def test_a_metric_that_does_not_see_a_fault_is_not_valid(images: int, mark: str) -> None:
    table = scores(spread=0.05, images=images)
    told = table["method"] == "a sharpened"
    # The order of the explanations is right; a map of the truth is liked the better, the more of it is misplaced.
    faulty = {"Truth": ("", "", 0.0), "half": ("Truth", "misplaced", 0.5), "all": ("Truth", "misplaced", 1.0)}
    rows = [
        {"image": image, "method": name, "metric": metric, "variant": variant, "score": up * (strength or 0)}
        | {"base": base, "transform": transform, "strength": strength or None, "control": "truth"}
        | {"higher_is_better": True}
        for image in range(images)
        for name, (base, transform, strength) in faulty.items()
        for metric, variant, up in (("truth", "", -1), ("m", "x", 1), ("m", "y", -1))
    ]
    both = pd.concat([table[~told].assign(control=""), pd.DataFrame(rows)])
    found = reliability.report(both, n_bootstrap=200, truth=("truth",)).marks.set_index("metric")
    assert (found.loc["m (x)", "wrong"], found.loc["m (x)", "valid"]) == (0, mark)
    assert found.loc["m (y)", "valid"] == ("yes" if images == 60 else "unsure")


def test_a_metric_that_is_surely_valid_comes_before_one_that_is_only_nearer_to_the_truth() -> None:
    marked = pd.DataFrame({"metric": ["a", "b"], "valid": ["unsure", "yes"], "wrong": [0.1, 0.2], "fooled": ["", ""]})
    told = {"metric": ["a", "b", "b"], "truth": ["truth", "truth", "other"], "wrong": [0.1, 0.1, 0.2], "rank": 4}
    told |= {"pick": "d", "best": "e", "regret": 0.2, "regret_low": 0.1, "regret_high": 0.3, "methods": 6}
    said = advice(checked(scores(spread=0.05, images=2)), {"validity": pd.DataFrame(told)}, marked)
    assert said == (
        "To choose a method, take b: of the valid ones it is nearest to the truth, with 20% of the pairs of "
        "explanations in the wrong order by other. Its pick, d, is rank 4 of 6 by truth, 0.20 [0.10, 0.30] below e; "
        "rank 4 of 6 by other, 0.20 [0.10, 0.30] below e."
    )


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (0.6497, "0.6497"),
        (0.6449, "0.64"),
        (0.6499999999999999, "0.65"),
        (0.654, "0.65"),
        (1, "1.00"),
        (0.649999997, "0.649999997"),
    ],
)
def test_a_value_is_shown_on_its_side_of_the_threshold(value: float, shown: str) -> None:
    assert in_figures(value, 0.65) == shown


def test_a_threshold_that_is_met_up_to_rounding_is_met() -> None:
    assert meets(0.1 + 0.2 + 0.35, 0.65)
    assert meets(0.65 - 1e-15, 0.65)
    assert not meets(0.6497, 0.65)
