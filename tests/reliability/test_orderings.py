"""Random orderings give the same band whether each is a method of its own or all of them are one with a list."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import t

from captum_gag import reliability
from captum_gag.reliability.orderings import ordering_scores
from captum_gag.reliability.scores import checked, is_random, lean

IMAGES, ORDERINGS = 8, 5


def base(rng):
    return reliability.from_arrays({"AOPC MoRF": {"good": rng.random(IMAGES) + 1, "Sobel": rng.random(IMAGES)}})


@pytest.fixture(scope="module")
def drawn():
    return np.random.default_rng(1).random((2, IMAGES, ORDERINGS))


@pytest.fixture(scope="module")
def methods(drawn):
    """Each ordering is a method."""
    parts = []
    for steps, values in zip((20, 40), drawn, strict=True):
        names = {f"Random:{number}": values[:, number] for number in range(ORDERINGS)}
        random = reliability.from_arrays({"AOPC MoRF": names}, controls=dict.fromkeys(names, "random"))
        parts.append(pd.concat([base(np.random.default_rng(steps)), random]).assign(steps=steps, variant="mean"))
    return pd.concat(parts, ignore_index=True)


@pytest.fixture(scope="module")
def listed(drawn):
    """All orderings are one method, as a run keeps them."""
    parts = []
    for steps, values in zip((20, 40), drawn, strict=True):
        name = "Random orderings"
        random = reliability.from_arrays({"AOPC MoRF": {name: values.mean(1)}}, controls={name: "random"})
        random["curve_y"] = [list(each) for each in values]
        random["curve_x"] = [list(range(ORDERINGS)) for _ in values]
        random["curve_x_label"], random["curve_y_label"] = "random ordering", "score"
        parts.append(pd.concat([base(np.random.default_rng(steps)), random]).assign(steps=steps, variant="mean"))
    return pd.concat(parts, ignore_index=True)


@pytest.mark.parametrize("form", ["methods", "listed"])
def test_means_are_over_the_images_of_each_ordering(form, drawn, request):
    found = reliability.ordering_means(checked(request.getfixturevalue(form)))
    assert len(found) == 2 * ORDERINGS
    for steps, values in zip((20, 40), drawn, strict=True):
        np.testing.assert_allclose(sorted(found.loc[found["steps"] == steps, "score"]), sorted(values.mean(0)))
    assert set(found["metric_label"]) == {"AOPC MoRF (mean) L=20", "AOPC MoRF (mean) L=40"}


def test_an_image_without_a_score_is_left_out_of_the_means(listed, drawn):
    broken = listed.copy()
    place = broken.index[is_random(checked(broken)) & (broken["steps"] == 20)][0]
    broken.at[place, "curve_y"] = [np.nan] * ORDERINGS
    broken.loc[place, "score"] = np.nan
    found = reliability.ordering_means(checked(broken)).query("steps == 20").sort_values("ordering")
    np.testing.assert_allclose(found["score"], drawn[0][1:].mean(0))


@pytest.mark.parametrize("form", ["methods", "listed"])
def test_scores_are_those_of_every_image_and_ordering(form, drawn, request):
    table = checked(request.getfixturevalue(form))
    np.testing.assert_allclose(ordering_scores(table[table["steps"] == 40]), drawn[1])


def test_both_forms_give_the_same_band_and_verdicts(methods, listed, drawn):
    first, second = (reliability.report(each, n_bootstrap=50) for each in (methods, listed))
    pd.testing.assert_frame_equal(first.tables["baselines"], second.tables["baselines"])
    assert first.verdicts == second.verdicts
    means = drawn[0].mean(0)
    low, high = t.interval(0.95, ORDERINGS - 1, means.mean(), means.std(ddof=1) * np.sqrt(1 + 1 / ORDERINGS))
    row = second.tables["baselines"].iloc[0]
    assert (row["random_low"], row["random_high"]) == (pytest.approx(low), pytest.approx(high))
    assert set(second.tables["summary"]["method"]) == {"good", "Sobel"}


def test_a_single_ordering_cannot_tell(listed):
    plain = listed.drop(columns=["curve_x", "curve_y", "curve_x_label", "curve_y_label"])
    found = reliability.against_baselines(plain)
    assert found[["random_orderings", "beats_random"]].drop_duplicates().to_numpy().tolist() == [[1, None]]
    below = reliability.against_baselines(plain.assign(score=plain["score"].mask(plain["method"] == "good", -1.0)))
    assert below["beats_random"].eq(False).all(), "what is not ahead beats nothing"
    assert found[["random_low", "random_high", "random_p"]].isna().all(axis=None)
    verdict = reliability.report(plain, n_bootstrap=50).verdicts["AOPC MoRF (mean) L=20"]
    assert "A single random ordering cannot tell whether a method beats chance: set random_orderings = 39." in verdict


@pytest.mark.parametrize("form", ["methods", "listed"])
def test_the_columns_that_are_left_are_all_that_the_checks_read(form, request):
    whole = checked(request.getfixturevalue(form)).assign(seconds=1.0, seed=0, error="")
    few, all_of_them = (reliability.report(table, 50) for table in (lean(whole), whole))
    assert {"seconds", "seed", "error"}.isdisjoint(lean(whole))
    assert few.verdicts == all_of_them.verdicts
    assert list(few.tables) == list(all_of_them.tables)
    for name, table in few.tables.items():
        pd.testing.assert_frame_equal(table, all_of_them.tables[name])
