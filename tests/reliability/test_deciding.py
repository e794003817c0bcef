"""Decisions after each image: wrong ones at most at the nominal rate, and the same whatever the form of the table."""

from __future__ import annotations

import re
from itertools import chain, combinations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pandas.testing import assert_frame_equal
from scipy.stats import binom

from captum_gag import reliability
from captum_gag.errors import InputError
from captum_gag.reliability.betting import log_better
from captum_gag.reliability.deciding import BOUNDS, Decider, adjusted
from captum_gag.reliability.directions import KNOWN

RUNS = 10_000


def table_of(scores, **options):
    return reliability.from_arrays(scores, levels="metric", **options)


def drawn(n=60, methods=4, gap=0.1, seed=0):
    rng = np.random.default_rng(seed)
    return {
        "RCAP": {f"m{each}": rng.uniform(0, 0.5, n) + gap * each for each in range(methods)},
        "DAUC": {f"m{each}": rng.uniform(0, 0.5, n) - gap * each + 0.5 for each in range(methods)},
    }


@settings(deadline=None)
@given(st.lists(st.floats(0, 50), min_size=1, max_size=8))
def test_adjusted_is_the_smallest_mean_of_all_sets(values):
    places = range(len(values))
    sets = list(chain.from_iterable(combinations(places, size) for size in range(1, len(values) + 1)))
    expected = [min(np.mean([values[each] for each in one]) for one in sets if place in one) for place in places]
    np.testing.assert_allclose(adjusted(np.array(values)), expected, atol=1e-12)


@pytest.mark.parametrize("better", [0, 3])
def test_wrong_decisions_with_optional_stopping_are_at_most_alpha(better):
    """10,000 runs of 100 images: 5 rivals of which some truly are better; any other decision at any look is wrong."""
    rng, images, rivals, alpha = np.random.default_rng(better), 100, 5, 0.05
    known = np.array([[log_better(wins, losses) for losses in range(images + 1)] for wins in range(images + 1)])
    wins, wrong = np.zeros((RUNS, rivals), dtype=int), np.zeros(RUNS, dtype=bool)
    truly = np.arange(2 * rivals) - rivals
    truly_better = (truly >= 0) & (truly < better)
    for image in range(1, images + 1):
        # All rivals are compared with the same method, so that the questions depend on one another.
        gap = np.where(np.arange(rivals) < better, 2.0, 0.0)
        wins += rng.normal(size=(RUNS, 1)) > rng.normal(size=(RUNS, rivals)) + gap
        losses = image - wins
        log_e = np.concatenate([known[wins, losses], known[losses, wins]], axis=1)
        # Adjusted, an e-value is no larger than alone.
        for run in np.flatnonzero(log_e[:, ~truly_better].max(axis=1) >= np.log(1 / alpha)):
            wrong[run] |= (adjusted(np.exp(log_e[run]))[~truly_better] >= 1 / alpha).any()
    assert wrong.sum() <= binom.ppf(0.99, RUNS, alpha)
    decided = np.array([adjusted(np.exp(each)) >= 1 / alpha for each in log_e[:500]])
    assert (decided[:, truly_better]).mean() > 0.99 if better else decided.mean() < alpha


def test_ten_rivals_are_decided_after_eleven_wins():
    """By hand: with all ten alike, the worst set is one direction won and the ten lost, (E + 10 small) / 11 >= 20."""
    scores = {"RCAP": {"GAG": np.full(15, 0.9), **{f"r{each}": np.zeros(15) for each in range(10)}}}
    found = reliability.sequential(table_of(scores), "GAG")
    # 2^n (1 - 1/2) (1 - 1/4) ... (1 - 1/(2n)) * 2, of which nearly all is above 1/2: 189.9 for n = 9, 360.9 for n = 10.
    won = [2 * 2.0**n * np.prod(1 - 0.5 / np.arange(1, n + 1)) for n in range(1, 16)]
    assert set(found["decided_at"]) == {1 + next(n for n, each in enumerate(won) if each / 11 >= 20)}


def test_against_one_method_every_question_is_about_it():
    found = reliability.sequential(table_of(drawn(150, gap=0.15)), "m1").set_index(["metric", "rival"])
    assert set(found["method"]) == {"m1"}
    assert found["decision"].to_dict() == {
        (metric, rival): decision
        for metric in ("RCAP", "DAUC")
        for rival, decision in {"m0": "better", "m2": "worse", "m3": "worse"}.items()
    }
    assert (found["n"] == 150).all()
    better = found["decision"] == "better"
    assert ((found["low"] > 0.5) == better).all()
    assert ((found["high"] < 0.5) == ~better).all()


@pytest.mark.parametrize("test", ["sign", "mean"])
def test_the_best_is_shown_as_it_is_against_by_all_pairs(test):
    table = table_of(drawn(n=150, gap=0.15))
    table["score"] = table["score"].clip(0, 1)
    best = reliability.sequential(table, test=test)
    assert best[["metric", "method"]].drop_duplicates().to_numpy().tolist() == [["RCAP", "m3"], ["DAUC", "m3"]]
    one = reliability.sequential(table, "m3", test=test)
    alike = ["metric", "method", "rival", "n", "wins", "losses", "ties", "e_value", "low", "high"]
    assert_frame_equal(best[alike], one[alike])
    # More questions cost more images.
    assert (best["e_adjusted"] <= one["e_adjusted"]).all()
    assert (best["decided_at"] >= one["decided_at"]).all()
    assert set(best["decision"]) == {"better"}


@pytest.mark.parametrize("role", [{"control": "random"}, {"control": "edges"}])
def test_what_is_no_explanation_is_never_the_best(role):
    table = table_of(drawn(n=150, gap=0.15))
    table.loc[table["method"] == "m3", list(role)] = list(role.values())
    best = reliability.sequential(table)
    assert set(best["method"]) == {"m2"}
    assert best.loc[best["rival"] == "m3", "decision"].tolist() == ["worse", "worse"]
    # A pair of two that are none is no question, so that the others need fewer images.
    table.loc[table["method"] == "m1", list(role)] = list(role.values())
    fewer = reliability.sequential(table).set_index(["metric", "rival"])["decided_at"]
    assert (fewer <= best.set_index(["metric", "rival"])["decided_at"]).all()
    assert (fewer < best.set_index(["metric", "rival"])["decided_at"]).any()


def test_maps_that_test_the_metric_are_not_asked_about():
    table = table_of(drawn(n=150, gap=0.15))
    without = reliability.sequential(table[table["method"] != "m3"])
    for role in ({"base": "m0", "transform": "reverse"}, {"base": "m0", "transform": "d", "control": "displaced"}):
        table.loc[table["method"] == "m3", list(role)] = list(role.values())
        assert_frame_equal(reliability.sequential(table), without)


def test_the_best_is_so_over_the_images_that_all_explanations_have():
    scores = drawn(n=150, gap=0.15)
    table = table_of(scores)
    lowest = table["image"].isin(table.loc[table["method"] == "m0"].nsmallest(100, "score")["image"])
    easy = table.assign(score=table["score"].mask((table["method"] == "m0") & lowest & (table["metric"] == "RCAP")))
    assert set(reliability.sequential(easy).query("metric == 'RCAP'")["method"]) == {"m3"}


def test_controls_alone_are_still_compared():
    table = table_of(drawn(n=150, gap=0.15)).assign(control="random")
    assert set(reliability.sequential(table)["method"]) == {"m3"}


def test_the_order_of_the_rows_changes_nothing_and_the_order_of_the_images_counts():
    table = table_of(drawn())
    found = reliability.sequential(table, seed=1)
    shuffled = table.sample(frac=1, random_state=0)
    # The methods and metrics of a table come in the order of their first rows.
    shuffled = pd.concat([table[table["image"] == 0], shuffled[shuffled["image"] != 0]])
    assert_frame_equal(reliability.sequential(shuffled, seed=1), found)
    images = list(range(60))
    forward, backward = (reliability.sequential(table, order=each) for each in (images, images[::-1]))
    assert (forward["decided_at"] != backward["decided_at"]).any()
    assert_frame_equal(forward[["wins", "losses", "low"]], backward[["wins", "losses", "low"]])


def test_a_decision_stays_when_later_images_speak_against_it():
    first, second = np.r_[np.ones(12), np.zeros(40)], np.r_[np.zeros(12), np.ones(40)]
    found = reliability.sequential(table_of({"RCAP": {"a": first, "b": second}}), "a", order=list(range(52))).iloc[0]
    assert found["decision"] == "better"
    assert found["decided_at"] < 12
    assert found["e_adjusted"] >= 20
    assert (found["wins"], found["losses"]) == (12, 40)


def test_ties_and_gaps_say_nothing():
    scores = {"RCAP": {"a": [0.5, np.nan, 0.7, 0.5], "b": [0.5, 0.1, 0.1, np.nan], "c": [np.nan] * 4}}
    found = reliability.sequential(table_of(scores), "a").set_index("rival")
    assert found.loc["b", ["n", "wins", "losses", "ties"]].tolist() == [2, 1, 0, 1]
    assert found.loc["c", ["n", "e_value", "low", "high"]].tolist() == pytest.approx([0, 1, 0, 1])
    decider = Decider(["a", "b", "c"], ["RCAP"], "a")
    decider.update(np.array([scores["RCAP"][each] for each in "abc"]).T[:, :, None])
    assert decider.counts() == (0, 1)


def test_e_values_beyond_double_precision_are_large_and_decide():
    scores = {"RCAP": {"a": np.ones(3000), "b": np.zeros(3000), "c": np.zeros(3000)}}
    found = reliability.sequential(table_of(scores), "a")
    assert (found["e_value"] > 1e200).all()
    assert np.isfinite(found["e_adjusted"]).all()
    assert set(found["decision"]) == {"better"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"against": "m9"}, "unknown method to compare with 'm9'; did you mean m0?"),
        ({"alpha": 1.0}, "alpha is 1.0, expected a probability between 0 and 1"),
        ({"test": "median"}, "unknown test 'median'"),
        ({"order": [0, 1]}, "the order has 2 images, the scores 60, and they differ in"),
        ({"order": [*range(59), 0]}, "the order has 60 images, the scores 60, and they differ in 59"),
        ({"test": "mean", "bounds": {"RCAP": (1, 0)}}, r"the bounds of RCAP are \(1.0, 0.0\); expected two"),
        (
            {"test": "mean", "bounds": {"RCAP": (0, 0.1)}},
            "RCAP of image .* is .*, expected 0 to 0.1; give its range by bounds",
        ),
    ],
)
def test_what_cannot_be_asked_is_refused(options, message):
    with pytest.raises(InputError, match=message):
        reliability.sequential(table_of(drawn()), **options)


def test_a_mean_of_unknown_range_is_refused_and_a_single_method():
    table = table_of({"own": {"a": [1.0, 2.0], "b": [2.0, 3.0]}}, higher_is_better={"own": True})
    with pytest.raises(InputError, match=re.escape("give bounds={'own': (lowest, highest)}, or test='sign'")):
        reliability.sequential(table, test="mean")
    assert len(reliability.sequential(table, test="mean", bounds={"own": (0, 5)})) == 1
    with pytest.raises(InputError, match="a has no other method to be compared with; expected two at least"):
        reliability.sequential(table_of({"RCAP": {"a": [1.0]}}))


def test_every_metric_of_known_direction_has_a_range():
    assert set(BOUNDS) == set(KNOWN)
