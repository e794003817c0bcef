"""Random orderings: one method whose records hold what each ordering scores, at the cost of its passes alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch
from scoring import items, scorer_of

from captum_gag.metrics.aopc import AOPCMetric
from captum_gag.metrics.rcap import RCAPMetric
from captum_gag.model_probe import behaviour_of
from captum_gag.runs.orderings import judging_orderings
from captum_gag.runs.suite_file import ORDERINGS

N_ORDERINGS, N_IMAGES, STEPS = 4, 3, 5
MORF: dict[str, Any] = {"type": "AOPC", "order": "morf", "steps": [2, STEPS]}
LERF: dict[str, Any] = {**MORF, "order": "lerf"}
BASELINES = {"variants": {"mean": {}, "black": {"perturb_baseline": "black"}}}
METRICS = {
    "MoRF": {**MORF, **BASELINES},
    "LeRF": {**LERF, **BASELINES},
    "Faithfulness": {"n_pixels": 20},
    "RCAP": {},
    "Insertion": {"n_steps": 4},
    "MAE": {"type": "SegmentationMAE"},
    "Complexity": {"type": "quantus:Complexity"},
    "MaxSensitivity": {"type": "quantus:MaxSensitivity", "nr_samples": 2},
}


def rows(suite: Mapping[str, Any]) -> list[list[dict[str, Any]]]:
    return [outcome.rows for outcome in scorer_of(suite, dtype=torch.float64).score_many(items(N_IMAGES))]


def cells(found: list[dict[str, Any]], method: str) -> dict[tuple[Any, ...], dict[str, Any]]:
    return {(row["metric"], row["variant"], row["steps"]): row for row in found if row["method"] == method}


def test_a_record_holds_what_the_methods_of_the_single_orderings_score() -> None:
    together = rows({"methods": [], "metrics": METRICS, "random_orderings": N_ORDERINGS})
    names = [f"Random:{number}" for number in range(N_ORDERINGS)]
    for found, expected in zip(together, rows({"methods": names, "metrics": METRICS}), strict=True):
        assert {row["method"] for row in found} == {ORDERINGS}
        assert {row["control"] for row in found} == {"random"}
        singles = [cells(expected, name) for name in names]
        for key, row in cells(found, ORDERINGS).items():
            # Of a random ordering MoRF is LeRF.
            metric = "MoRF" if key[0] == "LeRF" else key[0]
            scores = [single[(metric, *key[1:])]["score"] for single in singles]
            np.testing.assert_allclose(row["curve_y"], scores, rtol=1e-9, atol=1e-12, err_msg=str(key))
            assert row["score"] == pytest.approx(np.mean(row["curve_y"]), rel=1e-12)
            assert row["curve_x"] == [0, 1, 2, 3]
            assert (row["curve_x_label"], row["curve_y_label"]) == ("random ordering", "score")
            assert row["error"] == ""


def forwards(suite: Mapping[str, Any]) -> list[int]:
    """Return the sizes of the batches that the model sees, once it has been asked how it treats rows."""
    scorer = scorer_of(suite)
    sizes: list[int] = []
    handle = scorer.model.register_forward_pre_hook(lambda module, x: sizes.append(len(x[0])))
    behaviour_of(scorer.model, (torch.zeros(N_IMAGES, 3, 12, 12),))
    sizes.clear()
    scorer.score_many(items(N_IMAGES))
    handle.remove()
    return sizes


@pytest.mark.parametrize("metrics", [{"MoRF": MORF}, {"LeRF": LERF}, {"MoRF": MORF, "LeRF": LERF}], ids=list)
def test_each_ordering_is_evaluated_once_for_both_directions(metrics: dict[str, Any]) -> None:
    """One pass for the classes, one for the baselines; then per image itself, and of each ordering a version a step."""
    sizes = forwards({"methods": [], "metrics": metrics, "random_orderings": N_ORDERINGS})
    assert sizes == [N_IMAGES, N_IMAGES, N_IMAGES * (1 + N_ORDERINGS * STEPS)]


def test_orderings_share_passes_with_methods_and_what_does_not_depend_on_the_map() -> None:
    """Faithfulness changes the same pixels whatever the map."""
    metrics = {"MoRF": MORF, "Faithfulness": {"n_pixels": 7}}
    sizes = forwards({"methods": ["Sobel"], "metrics": metrics, "random_orderings": 1})
    assert sizes == [N_IMAGES, N_IMAGES, N_IMAGES * (1 + 2 * STEPS + 7)]


def test_metrics_stand_for_one_another_in_their_direction_alone() -> None:
    morf, lerf, black, rcap = AOPCMetric(), AOPCMetric(order="lerf"), AOPCMetric(perturb_baseline=0.0), RCAPMetric()
    assert judging_orderings([morf, rcap, lerf, black])[1] == [0, 1, 0, 2]
    baseline = torch.zeros(3, 12, 12)
    both = [AOPCMetric(order=each, perturb_baseline=baseline) for each in ("lerf", "morf")]
    assert judging_orderings([*both, AOPCMetric(perturb_baseline=baseline.clone())])[1] == [0, 0, 1]
    assert judging_orderings([AOPCMetric(order="random"), morf])[1] == [0, 1]
