"""Bands and tests of the baselines: by a loop, by simulation, and whichever form random orderings have."""

import numpy as np
import pandas as pd
import pytest
import scipy.stats

from captum_gag import reliability
from captum_gag.reliability.baselines import ordering_table
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
    np.testing.assert_allclose(ordering_table(table[table["steps"] == 40]), drawn[1])


def test_both_forms_give_the_same_band_and_verdicts(methods, listed, drawn):
    first, second = (reliability.report(each, n_bootstrap=50) for each in (methods, listed))
    pd.testing.assert_frame_equal(first.tables["baselines"], second.tables["baselines"])
    assert first.verdicts == second.verdicts
    means = drawn[0].mean(0)
    low, high = scipy.stats.t.interval(
        0.95, ORDERINGS - 1, means.mean(), means.std(ddof=1) * np.sqrt(1 + 1 / ORDERINGS)
    )
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


def controlled(methods, direction=1, metrics=("A",)):
    """Scores by method, of which those called Random:... are random orderings."""
    controls = {name: "random" for name in methods if name.startswith("Random")}
    signed = {name: direction * values for name, values in methods.items()}
    directions = dict.fromkeys(metrics, direction > 0)
    return reliability.from_arrays(
        dict.fromkeys(metrics, signed), levels="metric", higher_is_better=directions, controls=controls
    )


@pytest.mark.parametrize("direction", [1, -1])
def test_a_method_beats_the_baselines_by_its_metrics_direction(direction):
    rng = np.random.default_rng(0)
    methods = {f"Random:{seed}": rng.normal(size=50) for seed in range(100)}
    methods |= {"good": rng.normal(3, 1, 50), "poor": rng.normal(0, 0.01, 50), "Sobel": rng.normal(1, 1, 50)}
    found = reliability.against_baselines(controlled(methods, direction)).set_index("method")
    assert found["beats_random"].to_dict() == {"good": True, "poor": False}
    assert found["beats_edges"].to_dict() == {"good": True, "poor": False}
    assert found["random_orderings"].tolist() == [100, 100]


def test_p_against_random_orderings_is_that_of_a_loop():
    rng = np.random.default_rng(0)
    n, k = 12, 5
    orderings = rng.normal(size=(n, k)) + 0.5 * rng.normal(size=k) + rng.normal(size=(n, 1))
    explained = {"x": rng.normal(1, 1, n), "y": rng.normal(1.5, 1, n)}
    table = controlled({f"Random:{place}": column for place, column in enumerate(orderings.T)} | explained)
    found = reliability.against_baselines(table).set_index("method")
    residuals = orderings - orderings.mean(1, keepdims=True) - orderings.mean(0) + orderings.mean()
    left_open = (residuals**2).sum() / (n - 1) / (k - 1) / n
    spread = max(0, orderings.mean(0).var(ddof=1) - left_open) * (1 + 1 / k)
    p = {}
    for name, values in explained.items():
        differences = values - orderings.mean(1)
        ratio = differences.mean() / np.sqrt(differences.var(ddof=1) / n + spread)
        p[name] = 2 * scipy.stats.t.sf(abs(ratio), k - 1)
    assert p["y"] < p["x"]
    assert found["random_p"].to_dict() == pytest.approx({"y": 2 * p["y"], "x": max(p["x"], 2 * p["y"])})


@pytest.mark.parametrize("k", [2, 5, 10, 39])
@pytest.mark.parametrize("spread", [0.0, 0.4])
def test_random_methods_hardly_ever_beat_random_orderings(k, spread):
    rng = np.random.default_rng(k)
    wrong = 0
    for _ in range(100):
        drawn = rng.normal(size=(20, k + 10)) + spread * rng.normal(size=k + 10) + rng.normal(size=(20, 1))
        names = [f"Random:{place}" for place in range(k)] + [f"method {place}" for place in range(10)]
        found = reliability.against_baselines(controlled(dict(zip(names, drawn.T, strict=True))))
        wrong += found["beats_random"].eq(True).any()
    # Of 100 at 5 %, more than 11 come up once in a hundred times; by quantiles of the orderings' means it is 57 to 84.
    assert wrong <= 11


def test_a_metric_is_judged_alike_beside_one_that_scored_more_methods():
    rng = np.random.default_rng(0)
    few = {"good": rng.normal(3, 1, 50), "Sobel": rng.normal(1, 1, 50)}
    more = few | {f"Random:{seed}": rng.normal(size=50) for seed in range(5)}
    both = reliability.against_baselines(pd.concat([controlled(more), controlled(few, metrics=("B",))]))
    alone = reliability.against_baselines(controlled(few, metrics=("B",)))
    assert both["beats_random"].tolist() == [True, None]
    assert both.loc[1, "beats_edges"] == alone.loc[0, "beats_edges"] == True  # noqa: E712
    assert both.loc[1, "edges_p"] == alone.loc[0, "edges_p"]


@pytest.mark.parametrize("images", [3, 5])
def test_without_baselines_and_of_few_images_nothing_is_claimed(images):
    values = np.arange(images, dtype=float)
    found = reliability.against_baselines(controlled({"x": values}))
    assert found.loc[0, ["beats_random", "beats_edges"]].tolist() == [None, None]
    few = {"x": values + 9, "Sobel": values**2, "Random:0": -values, "Random:1": values % 2}
    found = reliability.against_baselines(controlled(few))
    assert found.loc[0, ["beats_random", "beats_edges"]].tolist() == [None, None]
