"""Figures of a run show the numbers of the run."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import scipy.stats

from captum_gag import reliability
from captum_gag.attr.catalogue import method
from captum_gag.papers.published import huang_liu, means
from captum_gag.reliability.scores import checked
from captum_gag.report.reliability_figures import critical_differences, heat_map
from captum_gag.report.run_figures import ablation, curves, curves_of, percentiles_of
from captum_gag.report.summary import summarised
from captum_gag.report.tables import comparison
from captum_gag.runs.spec import SuiteFile, make_suite, read_suite


def _row(image: str, method: str, metric: str, x=None, y=None, labels=("share", "probability"), **columns):
    found = {"image": image, "method": method, "metric": metric, "score": 0.0, "variant": "", "steps": None} | columns
    arrays = {"curve_x": None, "curve_y": None}
    if y is not None:
        arrays = {"curve_x": np.array(x, dtype=float), "curve_y": np.array(y, dtype=float)}
    return found | arrays | dict(zip(("curve_x_label", "curve_y_label"), labels if y else (None, None), strict=True))


SCORES = checked(
    pd.DataFrame(
        [
            _row("a", "GAG-85", "RCAP", [1, 2], [0.2, 0.8], ("step k", "product")),
            _row("b", "GAG-85", "RCAP", [1, 2], [0.14, 0.6], ("step k", "product")),
            _row("a", "GAG-85", "DAUC", [0, 0.5, 1], [0.9, 0.3, 0.1], variant="black"),
            _row("a", "SG", "DAUC", [0, 0.5, 1], [float("nan")] * 3, variant="black"),
            _row("a", "GAG-85", "AOPC", [0, 0.5, 1], [0.1, 0.2, 0.3], ("share of the steps", "AOPC")),
            _row("a", "GAG-85", "Sparseness"),
        ]
    )
)


def test_curves_are_means_with_their_interval() -> None:
    rcap, dauc, aopc = curves(SCORES).axes
    assert [axes.get_title() for axes in (rcap, dauc, aopc)] == ["RCAP", "DAUC (black)", "AOPC"]
    np.testing.assert_allclose(rcap.lines[0].get_ydata(), [(0.2 + 0.14) / 2, (0.8 + 0.6) / 2])
    band = rcap.collections[0].get_paths()[0].vertices[:, 1]
    # Two images tell so little that the interval is the range of the scores.
    assert (band.min(), band.max()) == (0, 1)
    assert [line.get_label() for line in dauc.lines] == ["GAG-85"]
    assert dauc.lines[0].get_xdata().tolist() == [0.0, 0.5, 1.0]
    assert (aopc.get_xlabel(), aopc.get_ylabel()) == ("share of the steps", "AOPC")
    assert all(float(tick).is_integer() for tick in rcap.get_xticks())


def test_bands_are_students_intervals() -> None:
    values = [0.5, 0.52, 0.57]
    rows = [_row(f"{value}", "SG", "RCAP", [1, 2], [value, 0.5]) for value in values]
    [axes] = curves(checked(pd.DataFrame(rows))).axes
    band = axes.collections[0].get_paths()[0].vertices
    expected = scipy.stats.t.interval(0.95, 2, np.mean(values), scipy.stats.sem(values))
    assert sorted(set(band[band[:, 0] == 1, 1])) == pytest.approx(expected)
    assert set(band[band[:, 0] == 2, 1]) == {0.5}


def test_bars_join_what_the_tests_leave_together_and_bold_may_be_best() -> None:
    rng = np.random.default_rng(0)
    base = rng.random(40) / 2
    scores = {"A": base + 0.3, "B": base + 0.3 + rng.normal(size=40) / 100, "C": base, "Sobel": base - 0.1}
    table = reliability.from_arrays(
        {"RCAP": scores, "DAUC": {name: 1 - values for name, values in scores.items()}}, levels="metric"
    )
    pairs = reliability.pairwise(table)
    rows = comparison(table, pairs=pairs, verdicts=reliability.verdict(table, pairs=pairs))
    summary = summarised(table)
    figure = critical_differences(summary.ranks, pairs)
    assert [axes.get_title(loc="left") for axes in figure.axes] == [
        f"{name}: mean rank (1 is best)" for name in summary.ranks.index
    ]
    for axes in figure.axes:
        # A and B are not told apart, C is; no control has a rank.
        assert [line.get_linewidth() for line in axes.lines].count(3) == 1
        [bar] = [line.get_xdata() for line in axes.lines if line.get_linewidth() == 3]
        assert bar == pytest.approx([1.47, 1.53], abs=0.2)
        assert sorted(text.get_text().split()[0] for text in axes.texts) == ["A", "B", "C"]
        assert "C 3.00" in [text.get_text() for text in axes.texts]
    heat = heat_map(rows).axes[0]
    bold = [text.get_position()[1] for text in heat.texts if text.get_weight() == "bold"]
    assert [heat.get_yticklabels()[row].get_text() for row in bold] == ["A", "A", "B", "B"]
    blind = heat_map(rows.assign(tied=rows["tied"] & rows["metric"].eq("RCAP"))).axes[0]
    assert np.isnan(blind.images[0].get_array()[:, 1].filled(np.nan)).all()


def test_a_run_without_curves_has_none() -> None:
    assert len(curves_of(SCORES.drop(columns="curve_y"))) == 0
    assert len(curves_of(SCORES.assign(curve_y=None))) == 0
    assert len(curves(SCORES.assign(curve_y=None)).axes[0].lines) == 0


def test_the_ablation_runs_over_p_in_order_with_published_values_beside() -> None:
    rows = pd.DataFrame(
        [
            {
                "metric": "RCAP",
                "higher_is_better": True,
                "method": name,
                "mean": mean,
                "low": mean - 0.1,
                "high": mean + 0.2,
                "published": known,
            }
            for name, mean, known in [("ours", 0.4, 0.438), ("GAG-0", 0.3, 0.309), ("SG", 0.1, np.nan)]
        ]
    )
    [axes] = ablation(rows, {"ours": 85.0, "GAG-0": 0.0}).axes
    drawn = {line.get_label(): line for line in axes.lines}
    [[gag, *_]] = axes.containers
    assert gag.get_xdata().tolist() == [0.0, 85.0]
    assert gag.get_ydata().tolist() == [0.3, 0.4]
    assert drawn["published"].get_ydata().tolist() == [0.309, 0.438]
    assert list(drawn["SG"].get_ydata()) == [0.1, 0.1]


def test_the_papers_ablation_has_a_panel_per_metric_with_its_published_values_and_direction() -> None:
    suite = make_suite(read_suite("gag-ablation"))
    scores = checked(
        pd.DataFrame(
            [
                _row(image, method, entry.label, score=number / 100, higher_is_better=entry.metric.higher_is_better)
                for image in "ab"
                for number, method in enumerate(suite.methods)
                for entry in suite.metrics
            ]
        )
    )
    published = means(SuiteFile(**read_suite("gag-ablation")))
    figure = ablation(comparison(scores, published), percentiles_of(suite.methods))
    up, down = "higher is better", "lower is better"
    better = {"RCAP": up, "DAUC": down, "IAUC": up, "Log-Cosh Dice": down, "MAE": down}
    assert [axes.get_title() for axes in figure.axes] == [f"{metric} ({said})" for metric, said in better.items()]
    for axes, metric in zip(figure.axes, better, strict=True):
        drawn = {line.get_label(): line for line in axes.lines}
        printed = huang_liu(1, "imagenet-s").set_index("metric").loc[metric]
        assert drawn["published"].get_xdata().tolist() == [0, 15, 25, 35, 45, 55, 65, 75, 85]
        assert drawn["published"].get_ydata().tolist() == printed["value"].tolist()
        assert {"VarGrad", "SG"} <= set(drawn)


def test_percentiles_are_those_of_gag_that_differ_in_nothing_else() -> None:
    methods = {
        "ours": method({"type": "GAG", "percentile": 85.0}),
        "GAG-0": method("GAG-0"),
        "GAG-2.5": method("GAG-2.5"),
        "relative": method({"type": "GAG", "percentile": 70.0, "guide": "relative"}),
        "GAG-85^R": method("GAG-85^R"),
        "IG-GA70": method("IG-GA70"),
        "SG": method("SG"),
    }
    assert percentiles_of(methods) == {"ours": 85.0, "GAG-0": 0.0, "GAG-2.5": 2.5}
    assert percentiles_of({"SG": methods["SG"]}) == {}
