"""Figures of a run show the numbers of the run."""

from __future__ import annotations

import json

import numpy as np
import pandas as pd
import pytest

from captum_gag.report.run_figures import ablation, curves, curves_of, percentile_of


def _row(image: str, method: str, metric: str, **details: list[float]) -> dict[str, object]:
    return {"image": image, "method": method, "metric": metric, "details": json.dumps(details) if details else ""}


SCORES = pd.DataFrame(
    [
        _row("a", "GAG-85", "RCAP", visual_noise=[0.5, 0.8], localization=[0.4, 1.0]),
        _row("b", "GAG-85", "RCAP", visual_noise=[0.7, 1.0], localization=[0.2, 0.6]),
        _row("a", "GAG-85", "DAUC", fractions=[0.0, 0.5, 1.0], probability=[0.9, 0.3, 0.1]),
        _row("a", "SG", "DAUC", fractions=[0.0, 0.5, 1.0], probability=[float("nan")] * 3),
        _row("a", "GAG-85", "AOPC", aopc=[0.1, 0.2, 0.3]),
        _row("a", "GAG-85", "F", relevance=[1.0, 2.0], loss=[1.0, 2.0]),
        _row("a", "GAG-85", "Sparseness"),
    ]
)


def test_curves_are_means_with_their_interval() -> None:
    rcap, dauc, aopc = curves(SCORES).axes
    assert [axes.get_title() for axes in (rcap, dauc, aopc)] == ["RCAP", "DAUC", "AOPC"]
    np.testing.assert_allclose(rcap.lines[0].get_ydata(), [(0.2 + 0.14) / 2, (0.8 + 0.6) / 2])
    band = rcap.collections[0].get_paths()[0].vertices[:, 1]
    # Two images: the standard error of their mean is half their difference.
    assert (band.min(), band.max()) == pytest.approx((0.17 - 1.96 * 0.03, 0.7 + 1.96 * 0.1))
    assert [line.get_label() for line in dauc.lines] == ["GAG-85"]
    assert dauc.lines[0].get_xdata().tolist() == [0.0, 0.5, 1.0]
    assert aopc.get_ylabel() == "AOPC"


def test_a_run_without_details_has_no_curves() -> None:
    assert len(curves_of(SCORES.drop(columns="details"))) == 0
    assert len(curves_of(SCORES.assign(details=np.nan))) == 0
    assert len(curves(SCORES.assign(details="")).axes[0].lines) == 0


def test_the_ablation_runs_over_p_in_order_with_published_values_beside() -> None:
    rows = pd.DataFrame(
        [
            {"metric": "RCAP", "method": name, "mean": mean, "low": mean - 0.1, "high": mean + 0.2, "published": known}
            for name, mean, known in [("GAG-85", 0.4, 0.438), ("GAG-0", 0.3, 0.309), ("SG", 0.1, np.nan)]
        ]
    )
    [axes] = ablation(rows).axes
    drawn = {line.get_label(): line for line in axes.lines}
    [[gag, *_]] = axes.containers
    assert gag.get_xdata().tolist() == [0.0, 85.0]
    assert gag.get_ydata().tolist() == [0.3, 0.4]
    assert drawn["published"].get_ydata().tolist() == [0.309, 0.438]
    assert list(drawn["SG"].get_ydata()) == [0.1, 0.1]


def test_only_gag_has_a_percentile() -> None:
    assert [percentile_of(name) for name in ("GAG-0", "GAG-2.5")] == [0.0, 2.5]
    assert np.isnan([percentile_of(name) for name in ("GAG-85^R", "SG", "IG-GA70")]).all()
