"""The best explanation beside the runner-up, as the comparison of any two says it."""

import numpy as np
import pytest

from captum_gag import reliability
from captum_gag.reliability.scores import checked
from captum_gag.report.pairs import paired
from captum_gag.report.runner_up import duels
from captum_gag.report.tables import comparison

SCORES = {"best": [0.9, 0.8, 0.7, 0.6, 0.2], "second": [0.5, 0.9, 0.3, 0.3, 0.2], "third": [0.1, 0.1, 0.2, 0.1, 0.1]}


@pytest.fixture
def table():
    control = {"Random": [0.95, 0.95, 0.95, 0.95, 0.95]}
    found = reliability.from_arrays({"RCAP": {**SCORES, **control}}, images=list("abcde"), levels="metric")
    return checked(found)


def test_controls_are_neither_and_the_images_are_those_furthest_apart(table):
    [duel] = duels(table, comparison(table, n_bootstrap=100), 100, 0)
    assert (duel.metric, duel.methods) == ("RCAP", ["best", "second"])
    assert [(each["image"], each["ahead"]) for each in duel.images] == [
        ("a", "best"),
        ("c", "best"),
        ("d", "best"),
        ("b", "second"),
    ]
    row = paired(table, "best", "second", 100, 0).iloc[0]
    assert duel.words.startswith("best is better on 60% of 5 images, equal on 1; the mean difference is +0.200 [")
    assert f"effect size {row['effect']:+.2f}; p = {row['p']:.2g} " in duel.words


def test_without_two_explanations_there_is_none(table):
    alone = table[table["method"].isin(["best", "Random"])]
    assert duels(alone, comparison(alone, n_bootstrap=50), 50, 0) == []
    unscored = table.assign(score=table["score"].where(table["method"] == "best", np.nan))
    assert duels(unscored, comparison(unscored, n_bootstrap=50), 50, 0) == []
