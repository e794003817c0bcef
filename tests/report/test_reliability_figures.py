"""Figures of the reliability checks show their numbers."""

import numpy as np
import pandas as pd
import pytest

from captum_gag import reliability
from captum_gag.reliability.scores import checked
from captum_gag.report import reliability_figures as figures


@pytest.fixture
def stepped():
    rng = np.random.default_rng(0)
    methods = {"good": 2.0, "first": 0.5, "second": 0.7}
    parts = [
        reliability.from_arrays(
            {"AOPC MoRF": {name: value * steps + 0.1 * rng.random(9) for name, value in methods.items()}},
            controls={"first": "random", "second": "random"},
        ).assign(variant="mean", steps=steps)
        for steps in (20, 40)
    ]
    return checked(pd.concat([*parts, parts[0].assign(metric="RCAP", variant="", steps=None)], ignore_index=True))


def test_curves_are_means_relative_to_the_random_orderings(stepped):
    [axes] = figures.curves(stepped).axes
    line = next(line for line in axes.lines if line.get_label() == "good")
    assert line.get_xdata().tolist() == [20, 40]
    means = stepped.groupby(["steps", "method"])["score"].mean().unstack()
    expected = means["good"] - means[["first", "second"]].mean(axis=1)
    np.testing.assert_allclose(line.get_ydata(), expected)
    assert (axes.get_title(), axes.get_xlabel()) == ("AOPC MoRF (mean)", "pixels replaced, L")
    assert {line.get_label() for line in axes.lines if line.get_label()[0] != "_"} == {"good"}


def test_curves_of_orderings_in_one_list_are_those_of_orderings_that_are_methods(stepped):
    random = stepped["control"] == "random"
    pairs = stepped[random & stepped["steps"].notna()].groupby(["image", "steps"])["score"].agg(list)
    listed = stepped[stepped["method"] == "first"].dropna(subset="steps").assign(method="Random orderings")
    listed["curve_y"] = [pairs[image, steps] for image, steps in zip(listed["image"], listed["steps"], strict=True)]
    listed["curve_x_label"] = "random ordering"
    one = figures.curves(checked(pd.concat([stepped[~random], listed], ignore_index=True))).axes[0]
    several = figures.curves(stepped).axes[0]
    for first, second in zip(one.lines, several.lines, strict=True):
        np.testing.assert_allclose(first.get_ydata(), second.get_ydata())
    bands = [axes.collections[0].get_paths()[0].vertices for axes in (one, several)]
    np.testing.assert_allclose(*bands)


def test_distributions_show_mean_median_and_quartiles_of_each_method(stepped):
    first, last = figures.distributions(stepped).axes
    # Of the numbers of steps the highest.
    assert [axes.get_title() for axes in (first, last)] == ["AOPC MoRF (mean) L=40", "RCAP"]
    good, *random = (
        stepped.query(f"steps == 40 and method == '{name}'")["score"] for name in ("good", "first", "second")
    )
    drawn = {line.get_label(): line.get_ydata() for line in first.lines}
    assert drawn["median"][0] == pytest.approx(good.median())
    assert drawn["mean"][0] == pytest.approx(good.mean())
    assert [tick.get_text() for tick in first.get_xticklabels()] == ["good", "random orderings"]
    assert drawn["mean"][1] == pytest.approx(pd.concat(random).mean())


def test_alphas_have_their_intervals_and_the_threshold(stepped):
    table = reliability.inter_rater(stepped).reset_index()
    [axes] = figures.alphas(table, 0.65).axes
    assert [tick.get_text() for tick in axes.get_yticklabels()] == table["metric"].tolist()
    assert any(line.get_xdata()[0] == 0.65 for line in axes.lines if len(line.get_xdata()) == 2)


def test_the_consistency_matrix_has_its_numbers_written_in_it(stepped):
    consistency = reliability.internal_consistency(stepped)
    axes = figures.consistency(consistency).axes[0]
    written = [text.get_text() for text in axes.texts]
    assert [written[place] for place in (0, 4, 8)] == ["1.00"] * 3
    between = consistency.query("metric == 'AOPC MoRF (mean) L=20' and other == 'AOPC MoRF (mean) L=40'")
    assert written[1] == written[3] == f"{between['rho'].mean():.2f}"


def test_of_hundreds_of_metrics_as_many_are_drawn_as_have_room_and_the_figure_says_so():
    rng = np.random.default_rng(0)
    named = [(f"{image}", method, f"m{metric:03}") for image in range(5) for method in "ab" for metric in range(100)]
    scores = pd.DataFrame(named, columns=["image", "method", "metric"]).assign(score=rng.uniform(size=len(named)))
    scores = checked(scores.assign(higher_is_better=True))
    titles = [axes.get_title() for axes in figures.distributions(scores).axes]
    assert titles[:2] == ["m000", "m001"]
    assert (len(titles), titles[-1]) == (40, "m039; 60 more are in the tables alone")
    [matrix, _] = figures.consistency(reliability.internal_consistency(scores)).axes
    assert len(matrix.get_yticklabels()) == 100
    assert not matrix.texts
    assert max(figures.consistency(reliability.internal_consistency(scores)).get_size_inches()) < 30
