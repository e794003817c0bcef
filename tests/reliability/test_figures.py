import numpy as np
import pytest

from captum_gag import reliability
from captum_gag.reliability import figures


@pytest.fixture
def stepped():
    rng = np.random.default_rng(0)
    methods = {"good": 2.0, "Random:0": 0.5, "Random:1": 0.7}
    return reliability.from_arrays(
        {f"AOPC L={n}": {name: value * n + 0.1 * rng.random(9) for name, value in methods.items()} for n in (20, 40)}
    )


def test_curves_are_means_relative_to_the_random_orderings(stepped):
    [axes] = figures.curves(stepped).axes
    line = next(line for line in axes.lines if line.get_label() == "good")
    assert line.get_xdata().tolist() == [20, 40]
    means = stepped.groupby(["metric", "method"])["score"].mean().unstack()
    expected = means["good"] - means[["Random:0", "Random:1"]].mean(axis=1)
    np.testing.assert_allclose(line.get_ydata(), expected)
    assert axes.get_xlabel() == "pixels replaced, L"


def test_distributions_show_mean_median_and_quartiles_of_each_method(stepped):
    first, second = figures.distributions(stepped).axes
    assert [axes.get_title() for axes in (first, second)] == ["AOPC L=20", "AOPC L=40"]
    good = stepped.query("metric == 'AOPC L=20' and method == 'good'")["score"]
    drawn = {line.get_label(): line.get_ydata() for line in first.lines}
    assert drawn["median"][0] == pytest.approx(good.median())
    assert drawn["mean"][0] == pytest.approx(good.mean())


def test_alphas_have_their_intervals_and_the_threshold(stepped):
    table = reliability.inter_rater(stepped, n_bootstrap=50).reset_index()
    [axes] = figures.alphas(table, 0.65).axes
    assert [tick.get_text() for tick in axes.get_yticklabels()] == table["metric"].tolist()
    assert any(line.get_xdata()[0] == 0.65 for line in axes.lines if len(line.get_xdata()) == 2)


def test_the_consistency_matrix_has_its_numbers_written_in_it(stepped):
    consistency = reliability.internal_consistency(stepped, n_bootstrap=50)
    axes = figures.consistency(consistency).axes[0]
    written = [text.get_text() for text in axes.texts]
    assert written[0] == written[3] == "1.00"
    assert written[1] == written[2] == f"{consistency['rho'].mean():.2f}"
