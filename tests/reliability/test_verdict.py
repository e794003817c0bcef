"""The verdict of each metric, by tables whose right answer is known."""

from itertools import permutations

import numpy as np
import pandas as pd
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from captum_gag import reliability
from captum_gag.errors import InputError
from captum_gag.reliability.pairwise import sign_test
from captum_gag.reliability.verdict import consensus, enumerated

BIRDS, DOGS = 30, 30


def table(scores, metric="RCAP", **columns):
    """A score table of one metric, by method."""
    parts = [
        pd.DataFrame({"image": np.arange(len(values)), "method": method, "score": values})
        for method, values in scores.items()
    ]
    return pd.concat(parts, ignore_index=True).assign(metric=metric, **columns)


def two_classes(birds=BIRDS, dogs=DOGS, blind=True):
    """Scores of a network that gives a black image 90 % as a dog, as RCAP has them."""
    rng = np.random.default_rng(0)
    is_dog = np.arange(birds + dogs) >= birds
    moved = np.where(is_dog & blind, 0.914, 0.02)
    means = {"GAG-85": np.where(is_dog, 0.918, 0.5), "IG": np.where(is_dog, 0.7, 0.2), "GAG-85 displaced": moved}
    scores = table({name: mean + rng.normal(0, 0.01, len(is_dog)) for name, mean in means.items()})
    displaced = scores["method"].eq("GAG-85 displaced")
    scores["control"] = displaced.map({True: "displaced", False: ""})
    scores["transform"], scores["base"] = scores["control"], displaced.map({True: "GAG-85", False: ""})
    scores["label"] = np.where(scores["image"] >= birds, "dog", "bird")
    scores["target"] = (scores["image"] >= birds).astype(int)
    return scores.assign(baseline_probability=np.where(scores["image"] >= birds, 0.9, 0.1))


def only(verdicts):
    [row] = verdicts.to_dict("records")
    return row


@pytest.mark.parametrize(("birds", "dogs"), [(30, 30), (12, 12), (20, 3)])
def test_a_metric_that_is_blind_for_a_class_cannot_tell_and_names_it(birds, dogs):
    row = only(reliability.verdict(two_classes(birds, dogs)))
    assert (row["state"], row["best"]) == ("cannot tell", "")
    assert row["reason"].startswith("For dog the map of GAG-85 scores 0.9")
    assert "gives the class 90%" in row["reason"]
    assert "bird" not in row["reason"]


def test_a_class_of_few_images_is_named_and_silences_no_metric():
    row = only(reliability.verdict(two_classes(58, 2)))
    assert (row["state"], row["best"]) == ("decided", "GAG-85")
    assert "For dog the map of GAG-85 scores 0.9" in row["reason"]


def test_a_metric_that_sees_all_classes_decides():
    row = only(reliability.verdict(two_classes(blind=False)))
    assert (row["state"], row["best"], row["tied"]) == ("decided", "GAG-85", ["GAG-85"])
    assert "displaced" not in row["reason"]
    unmeasured = two_classes().query("control == ''")
    assert "not measured" in only(reliability.verdict(unmeasured))["reason"]


def test_a_loss_on_too_few_images_tells_nothing():
    scores = two_classes(24, 4, blind=False)
    rows = reliability.displacement(scores)
    assert dict(zip(rows["classes"].str[0], rows["sees"], strict=True)) == {"bird": True, "dog": None}
    assert only(reliability.verdict(scores))["state"] == "decided"
    # Worse on 13 of 20 images: p is 0.13.
    scores = two_classes(20, 0, blind=False)
    moved, own = (scores["method"].eq(name) for name in ("GAG-85 displaced", "GAG-85"))
    better = moved & scores["image"].lt(7)
    scores.loc[better, "score"] = scores.loc[own & scores["image"].lt(7), "score"].to_numpy() + 0.01
    row = only(reliability.verdict(scores))
    assert (row["state"], row["best"]) == ("open", "GAG-85")
    assert "not shown that the metric sees" in row["reason"]


def test_a_metric_of_the_map_alone_sees_nothing():
    scores = two_classes(blind=False)
    own = scores.loc[scores["method"] == "GAG-85", "score"].to_numpy()
    scores.loc[scores["control"] == "displaced", "score"] = own
    assert only(reliability.verdict(scores))["state"] == "cannot tell"


def test_a_metric_sees_where_all_explanations_score_alike():
    scores = two_classes(blind=False)
    scores.loc[scores["method"] == "IG", "score"] = scores.loc[scores["method"] == "GAG-85", "score"].to_numpy()
    assert reliability.displacement(scores)["sees"].tolist() == [True, True]


def test_a_small_loss_is_none_though_explanations_differ_by_less():
    scores = two_classes()
    scores.loc[scores["method"] == "IG", "score"] = scores.loc[scores["method"] == "GAG-85", "score"].to_numpy() - 0.001
    scores.loc[(scores["control"] == "displaced") & (scores["label"] == "dog"), "score"] -= 0.02
    rows = reliability.displacement(scores)
    assert dict(zip(rows["classes"].str[0], rows["sees"], strict=True)) == {"bird": True, "dog": False}


def test_displacement_is_judged_by_class_and_classes_of_few_images_together():
    rows = reliability.displacement(two_classes(30, 12))
    assert rows["classes"].tolist() == [["dog"], ["bird"]]
    assert rows["images"].tolist() == [12, 30]
    assert rows["sees"].tolist() == [False, True]
    few = two_classes(12, 3).assign(baseline_probability=0.01)
    assert reliability.displacement(few)["classes"].tolist() == [["bird", "dog"]]


def test_means_over_unlike_images_are_not_compared():
    easy = np.arange(60) < 30
    scores = table({"A": np.where(easy, 0.9, np.nan), "B": np.where(easy, 0.95, 0.1)})
    row = only(reliability.verdict(scores))
    assert (row["state"], row["images"]) == ("cannot tell", 30)
    assert row["reason"] == "Scores are missing of 60 images: A of 30."
    few = table({"A": np.where(np.arange(60) < 57, 0.9, np.nan), "B": np.where(np.arange(60) < 57, 0.95, 0.1)})
    row = only(reliability.verdict(few))
    assert (row["state"], row["best"], row["images"]) == ("decided", "B", 57)
    assert "Over 57 of 60 images" in row["reason"]


def test_gaps_within_groups_are_counted_and_compared_over_the_same_images():
    rng = np.random.default_rng(0)
    level = np.tile([0.8, 0.2], 40) + 0.02 * rng.normal(size=80)
    # A fails on the hard image of each group, and loses all others.
    own = np.where(np.arange(80) % 2, np.nan, level - 0.05)
    scores = table({"A": own, "B": level})
    scores["group"] = "patient " + (scores["image"] // 2).astype(str)
    row = only(reliability.verdict(scores))
    assert (row["state"], row["reason"]) == ("cannot tell", "Scores are missing of 80 images: A of 40.")
    assert set(reliability.sequential(scores)["method"]) == {"B"}
    assert set(reliability.pairwise(scores).query("method == 'B'")["decision"]) == {"better"}


def test_equal_scores_and_practical_equality_are_said():
    same = {"A": np.linspace(0.1, 0.9, 40), "B": np.linspace(0.1, 0.9, 40)}
    assert only(reliability.verdict(table(same)))["reason"] == "A and B have the same scores."
    close = table({"A": same["A"] + 0.01 + 0.001 * np.arange(40) % 3, "B": same["A"]})
    assert set(reliability.pairwise(close)["decision"]) == {"better", "worse"}
    assert set(reliability.pairwise(close, margin=2.0)["decision"]) == {"same"}


def test_classes_may_be_named_by_text():
    scores = two_classes().assign(label="")
    scores["target"] = scores["target"].map({0: "bird", 1: "dog"})
    assert reliability.displacement(scores)["classes"].tolist() == [["class bird"], ["class dog"]]


def test_a_mean_that_most_images_contradict_decides_nothing():
    # A is far better on a fifth of the images, and a little worse on the others.
    gain = np.where(np.arange(121) % 5 == 0, 0.5, -0.05)
    row = only(reliability.verdict(table({"A": 0.4 + gain, "B": np.full(121, 0.4)})))
    assert (row["best"], row["state"]) == ("A", "open")
    assert row["reason"] == "A has the best mean, but B is better on most images."


def test_only_the_best_is_decided_by_the_questions_of_one_method():
    for seed in range(5):
        rng = np.random.default_rng(seed)
        scores = table({name: rng.normal(mean, 0.1, 60) for name, mean in {"A": 0.6, "B": 0.6, "X": 0.2}.items()})
        asked = reliability.sequential(scores, "X")
        for verdicts in (reliability.verdict(scores, "X"), reliability.verdict(scores, "X", asked)):
            row = only(verdicts)
            assert row["state"] == "open"
            assert sorted(row["tied"]) == ["A", "B"]
    best = scores.assign(score=scores["score"] + scores["method"].eq("A"))
    row = only(reliability.verdict(best, "A", reliability.sequential(best, "A")))
    assert row["state"] == "decided"
    assert "decided after" in row["reason"]


@pytest.mark.parametrize("control", ["random", "edges"])
def test_where_no_explanation_beats_a_control_nothing_is_told(control):
    rng = np.random.default_rng(0)
    scores = table({name: rng.normal(mean, 0.1, 60) for name, mean in {"A": 0.6, "B": 0.3, "C": 0.7}.items()})
    scores["control"] = np.where(scores["method"] == "C", control, "")
    row = only(reliability.verdict(scores))
    assert (row["state"], row["reason"]) == ("cannot tell", "No explanation beats C.")
    worse = scores.assign(score=scores["score"] - scores["method"].eq("C") * 0.6)
    assert only(reliability.verdict(worse))["state"] == "decided"
    close = scores.assign(score=scores["score"] - scores["method"].eq("C") * 0.11)
    assert only(reliability.verdict(close))["reason"] == "It is not decided whether it beats C."


@pytest.mark.parametrize("n", [1, 3, 19])
def test_too_few_images_decide_nothing(n):
    row = only(reliability.verdict(table({"A": np.linspace(0.8, 0.9, n), "B": np.linspace(0.1, 0.2, n)})))
    assert (row["state"], row["tied"]) == ("open", ["A", "B"])
    assert row["reason"].startswith("Too few to decide")


def test_what_cannot_be_compared_is_said():
    alone = only(reliability.verdict(table({"A": np.arange(9.0)})))
    assert (alone["state"], alone["reason"]) == ("open", "There is no other explanation to compare with.")
    undirected = only(reliability.verdict(table({"A": np.arange(9.0), "B": np.arange(9.0)}, "own")))
    assert undirected["reason"] == "It is not known whether higher is better."
    nothing = only(reliability.verdict(table({"A": np.full(9, np.nan), "B": np.full(9, np.nan)})))
    assert nothing["reason"] == "No explanation has a score."
    with pytest.raises(InputError, match="unknown method"):
        reliability.verdict(table({"A": np.arange(9.0), "B": np.arange(9.0)}), "C")


@pytest.mark.parametrize("skew", ["normal", "lognormal", "85 % zeros"])
def test_methods_that_are_alike_are_seldom_decided(skew):
    draw = {
        "normal": lambda rng, size: rng.normal(size=size),
        "lognormal": lambda rng, size: rng.lognormal(size=size),
        "85 % zeros": lambda rng, size: (rng.random(size) < 0.15) * rng.random(size),
    }[skew]
    decided = 0
    for seed in range(100):
        rng = np.random.default_rng(seed)
        scores = table({name: draw(rng, 24) for name in "AB"})
        decided += only(reliability.verdict(scores, n_bootstrap=500))["state"] == "decided"
    # Above this with a probability of 0.4 %, were the rate 5 %.
    assert decided <= 11


def test_pairwise_counts_as_a_plain_loop_does():
    rng = np.random.default_rng(1)
    values = {name: rng.normal(mean, 1, 30).round(1) for name, mean in {"A": 2.0, "B": 0.5, "C": 0.4}.items()}
    rows = reliability.pairwise(table(values, "DAUC"), margin=1.0).set_index(["method", "rival"])
    for method, rival in permutations("ABC", 2):
        gains = values[rival] - values[method]
        wins, losses = (gains > 0).sum(), (gains < 0).sum()
        row = rows.loc[(method, rival)]
        assert row[["images", "wins", "losses", "ties"]].tolist() == [30, wins, losses, 30 - wins - losses]
        assert row["difference"] == pytest.approx(gains.mean())
        assert row["low"] < row["difference"] < row["high"]
        assert row["p"] >= scipy.stats.binomtest(wins, wins + losses).pvalue
        # Lower is better by DAUC, and both tests ask it.
        assert (row["decision"] == "better") == (row["low"] > 0 and row["p"] < 0.05)
    assert set(rows["decision"]) == {"better", "worse", "same"}


@pytest.mark.parametrize("n", [60, 3000])
def test_the_interval_of_a_single_pair_of_normal_scores_is_that_of_student(n):
    gains = np.random.default_rng(0).normal(0.3, 1, n)
    row = reliability.pairwise(table({"A": gains, "B": np.zeros(n)})).iloc[0]
    ends = scipy.stats.t.interval(0.975, n - 1, gains.mean(), scipy.stats.sem(gains))
    assert row[["low", "high"]].to_numpy(float) == pytest.approx(ends, abs=0.05 * (ends[1] - ends[0]))


def test_intervals_hold_for_all_pairs_together():
    missed = 0
    for seed in range(100):
        scores = np.random.default_rng(seed).normal(size=(40, 5))
        rows = reliability.pairwise(table(dict(zip("ABCDE", scores.T, strict=True))), n_bootstrap=500, alpha=0.4)
        missed += bool(((rows["low"] > 0) | (rows["high"] < 0)).any())
    # Half of alpha, which is 20 of 100: within three standard deviations.
    assert 8 <= missed <= 32


def test_scores_equal_but_for_rounding_are_ties():
    rows = reliability.pairwise(table({"A": np.full(40, 0.1 + 0.2), "B": np.full(40, 0.3)}))
    assert rows[["wins", "losses", "ties"]].to_numpy().tolist() == [[0, 0, 40]] * 2
    assert not rows["testable"].any()


def test_a_test_of_few_untied_images_is_no_test():
    gains = np.where(np.arange(40) < 3, 0.1, 0.0)
    row = reliability.pairwise(table({"A": 0.5 + gains, "B": np.full(40, 0.5)})).iloc[0]
    assert (row["wins"], row["ties"], row["testable"], row["decision"]) == (3, 37, False, "open")


@given(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40)), min_size=1, max_size=8))
def test_sign_test_is_that_of_scipy(counts):
    wins, losses = np.array(counts).T
    expected = [scipy.stats.binomtest(won, won + lost).pvalue if won + lost else 1.0 for won, lost in counts]
    assert sign_test(wins, losses) == pytest.approx(expected)


@settings(max_examples=20, deadline=None)
@given(
    st.integers(2, 30).flatmap(
        lambda n: st.lists(st.lists(st.integers(0, 4), min_size=n, max_size=n), min_size=2, max_size=5)
    ),
    st.randoms(use_true_random=False),
)
def test_verdicts_are_consistent_whatever_the_scores(rows, random):
    scores = table({f"m{place}": np.array(row) / 4 for place, row in enumerate(rows)})
    row = only(reliability.verdict(scores, n_bootstrap=100))
    assert row["best"] in row["tied"]
    assert (row["state"] == "decided") <= (row["tied"] == [row["best"]])
    shuffled = scores.sample(frac=1, random_state=random.randrange(1000))
    assert only(reliability.verdict(shuffled, n_bootstrap=100))["state"] == row["state"]
    # Lower is better by DAUC.
    turned = only(reliability.verdict(scores.assign(score=1 - scores["score"], metric="DAUC"), n_bootstrap=100))
    assert (turned["state"], sorted(turned["tied"])) == (row["state"], sorted(row["tied"]))
    pairs = reliability.pairwise(scores, n_bootstrap=50)
    other = pairs.rename(columns={"method": "rival", "rival": "method", "wins": "losses", "losses": "wins"})
    both = pairs.merge(other, on=["metric", "method", "rival"], suffixes=("", "_other"))
    assert (both["wins"] == both["wins_other"]).all()
    assert both["difference"].to_numpy() == pytest.approx(-both["difference_other"].to_numpy())


def test_metrics_that_cannot_tell_have_no_vote():
    row = {"best": "A", "state": "decided", "tied": ["A"], "images": 60, "reason": ""}
    told = [{"metric": "RCAP", **row}, {"metric": "IAUC", **row}]
    blind = {"metric": "DAUC", **row, "best": "", "state": "cannot tell"}
    sparse = {"metric": "Sparseness", **row, "best": "B", "tied": ["B"]}
    assert consensus(pd.DataFrame([*told, blind, sparse])) == (
        "A is best by RCAP and IAUC (no vote: DAUC and Sparseness)."
    )
    open_ = {"metric": "IAUC", **row, "state": "open", "tied": ["B", "A"]}
    assert consensus(pd.DataFrame([told[0], open_])) == "A is best by RCAP, and may be by IAUC."
    other = {"metric": "IAUC", **row, "best": "B", "tied": ["B"]}
    assert consensus(pd.DataFrame([told[0], other])) == "The metrics disagree: A by RCAP, B by IAUC."
    marks = pd.DataFrame({"metric": ["RCAP", "IAUC"], "reliable": ["no", "yes"], "valid": ["", "no"]})
    assert consensus(pd.DataFrame(told), marks).startswith("No metric can tell")


def test_names_are_enumerated_as_in_a_sentence():
    assert [enumerated(list("abcd")[:n]) for n in (0, 1, 2, 3)] == ["", "a", "a and b", "a, b and c"]
    assert enumerated(list("abcd"), "or", most=2) == "a, b or 2 more"


def test_what_the_resamples_cannot_resolve_is_refused_and_pairs_of_another_alpha():
    rng = np.random.default_rng(0)
    scores = reliability.from_arrays({"RCAP": {name: rng.random(30) + (name == "a") for name in "abc"}})
    for function in (reliability.verdict, reliability.pairwise):
        with pytest.raises(InputError, match="alpha is 1e-06, of which 10000 resamples cannot be sure"):
            function(scores, alpha=1e-6)
    assert reliability.verdict(scores, alpha=1e-3).loc[0, "state"] == "decided"
    with pytest.raises(InputError, match=r"pairs are at alpha = 0\.5, must be at the same as here, 0\.01"):
        reliability.verdict(scores, alpha=0.01, pairs=reliability.pairwise(scores, alpha=0.5))
    with pytest.raises(InputError, match=r"margin is -1\.0, must be a difference of scores, at least 0"):
        reliability.pairwise(scores, margin=-1)


def test_methods_may_be_called_by_numbers():
    rng = np.random.default_rng(0)
    by_number = {"RCAP": {1: rng.random(30) + 1, 2: rng.random(30), 3: rng.random(30)}}
    table = reliability.from_arrays(by_number, controls={3: "random"})
    assert set(table.loc[table["control"] == "random", "method"]) == {"3"}
    assert reliability.verdict(table).loc[0, "tied"] == ["1"]
