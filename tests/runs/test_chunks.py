"""Many examples at a time: the records of one by one, each fault where it belongs, fewer forward passes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pandas.testing import assert_frame_equal
from scoring import config_of, items, quiet, scorer_of
from tiny import image, net

from captum_gag.data import dataset
from captum_gag.data.datasets import Example
from captum_gag.models import load_classifier
from captum_gag.models.loading import Classifier
from captum_gag.names import METHODS
from captum_gag.runs.execution import begin, execute
from captum_gag.runs.executors import Bench
from captum_gag.runs.scorer import Item, Scorer
from captum_gag.runs.spec import make_suite

OWN = [
    "VG^R",
    "GAG-85^sharp",
    {"label": "GradientShap", "type": "captum:GradientShap", "baselines": "random"},
    {"label": "noise of the batch", "type": "captum_gag.papers.published_code:BatchNoise"},
    "captum:FeaturePermutation",
    "captum:DeepLift",
    "tiny:own_method",
]
METRICS = {
    "RCAP": {"interval": 25},
    "Insertion": {"n_steps": 3},
    "AOPC": {"steps": [2, 5], "variants": {"mean": {}, "black": {"perturb_baseline": "black"}}},
    "F": {"type": "Faithfulness", "n_pixels": 9},
    "MAE": {"type": "SegmentationMAE"},
    "Correlation": {"type": "quantus:FaithfulnessCorrelation", "subset_size": 20, "nr_runs": 5},
}


def without_seconds(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{name: value for name, value in row.items() if name != "seconds"} for row in rows]


def assert_same_rows(found: list[dict[str, Any]], expected: list[dict[str, Any]], tolerance: float = 1e-4) -> None:
    numbers = ("score", "probability", "curve_x", "curve_y")
    assert len(found) == len(expected)
    for one, other in zip(without_seconds(found), without_seconds(expected), strict=True):
        for name in numbers:
            if one.get(name) is not None or other.get(name) is not None:
                np.testing.assert_allclose(one.pop(name), other.pop(name), rtol=tolerance, atol=tolerance)
        assert one == other


@pytest.mark.parametrize("method", [*METHODS, *OWN], ids=str)
def test_maps_are_those_of_each_example_alone(method: Any) -> None:
    scorer = scorer_of({"methods": [method], "metrics": {"RCAP": {}}, "n_samples": 3}, dtype=torch.float64)
    together = scorer.score_many(items())
    for item, outcome in zip(items(), together, strict=True):
        alone = scorer.score_many([item])[0]
        assert [row["error"] for row in outcome.rows] == [row["error"] for row in alone.rows]
        assert outcome.attributions.keys() == alone.attributions.keys()
        for label, each in outcome.attributions.items():
            torch.testing.assert_close(each, alone.attributions[label], rtol=1e-5, atol=1e-7)


def test_records_are_those_of_one_by_one() -> None:
    methods = ["GAG-85", "SG", "SG^R", "Grad-CAM:nowhere", "Sobel", "Constant"]
    scorer = scorer_of({"methods": methods, "metrics": METRICS, "n_samples": 3, "random_orderings": 2})
    together = scorer.score_many(items(6))
    assert len(together) == 6
    for item, outcome in zip(items(6), together, strict=True):
        assert_same_rows(outcome.rows, scorer.score_many([item])[0].rows)


def test_a_fault_costs_its_own_cells_of_a_chunk() -> None:
    class Picky(torch.nn.Module):
        """Says NaN of a black image, and fails on a white one."""

        def __init__(self) -> None:
            super().__init__()
            self.net = net()

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            if (x.flatten(1).amin(1) > 0.99).any():
                raise RuntimeError("too bright")
            return self.net(x).masked_fill((x.flatten(1).amax(1) < -0.99).unsqueeze(1), torch.nan)

    def broken() -> Example:
        raise OSError("gone")

    black, white = (lambda value=value: Example("", lambda: image(1).point(lambda _: value), 1) for value in (0, 255))
    good = items()
    odd = [Item("broken", broken), Item("black", black), Item("white", white), Item("no class", good[0].load, 7)]
    scorer = scorer_of({"methods": ["SG", "Sobel"], "metrics": {"RCAP": {}, "AOPC": {"steps": [3]}}}, Picky())
    mixed = [good[0], odd[0], good[1], odd[1], odd[2], good[2], odd[3]]
    outcomes = dict(zip((item.name for item in mixed), scorer.score_many(mixed), strict=True))
    for item in mixed:
        assert_same_rows(outcomes[item.name].rows, scorer.score_many([item])[0].rows)
    said = {name: {row["error"] for row in outcome.rows} for name, outcome in outcomes.items()}
    assert said["broken"] == {"OSError: gone"}
    assert said["black"] == {"tiny returned a NaN or an infinity for black"}
    assert said["white"] == {"RuntimeError: too bright"}
    assert all("is of class 7, tiny has 0 to 2" in each for each in said["no class"])
    for item in good:
        assert all(np.isfinite(row["score"]) for row in outcomes[item.name].rows if row["metric"] == "RCAP")


def test_images_of_different_sizes_are_scored_alone() -> None:
    def sized(photo: Any) -> torch.Tensor:
        return torch.from_numpy(np.asarray(photo) / 255.0).permute(2, 0, 1)

    pooled = torch.nn.Sequential(torch.nn.AdaptiveAvgPool2d(6), net()[0], torch.nn.Flatten(), torch.nn.Linear(64, 3))
    classifier = Classifier("sized", pooled.eval(), (0.0,) * 3, (1.0,) * 3, transform=sized)
    scorer = Scorer(classifier, make_suite({"methods": ["VG"], "metrics": {"RCAP": {}}}, classifier.normalization))
    shown = [Item(str(side), lambda side=side: Example("", lambda: image(2, (side, 9)), 1)) for side in (8, 9, 8)]
    outcomes = scorer.score_many(shown)
    assert [outcome.attributions["VG"].shape[-1] for outcome in outcomes] == [8, 9, 8]
    for item, outcome in zip(shown, outcomes, strict=True):
        assert_same_rows(outcome.rows, scorer.score_many([item])[0].rows)


def test_a_half_done_chunk_is_resumed_to_the_same_numbers_bit_for_bit(tmp_path: Path) -> None:
    suite = {"methods": ["GAG-85", "Sobel"], "metrics": METRICS, "n_samples": 3, "random_orderings": 2}
    run, bench = begin(tmp_path / "run", config_of(suite, batch_size=4))
    assert bench.chunks(list("abcdef")) == [("a", "b", "c", "d"), ("e", "f")]
    assert execute(run, bench=bench, say=quiet) == 6
    before = run.scores()
    run._scores_of("000002").unlink()
    said: list[str] = []
    counted: list[int] = []
    handle = bench.scorer.model.register_forward_hook(lambda module, x, y: counted.append(len(y)))
    assert execute(run, bench=bench, say=said.append) == 1
    handle.remove()
    assert said == ["5 of 6 images are done already"]
    after = run.scores()
    assert_frame_equal(after.drop(columns="seconds"), before.drop(columns="seconds"), check_exact=True)
    again = before["seconds"] != after["seconds"]
    assert set(after.loc[again, "image"]) == {"000002"}
    assert counted[0] == 4


def test_what_size_of_chunk_is_taken_unless_it_is_said() -> None:
    sizes = {}
    for side in (12, 112, 224):
        made = load_classifier("tiny:model", device="cpu")
        object.__setattr__(made, "crop", side)
        config = config_of({"methods": ["VG"], "metrics": {"RCAP": {}}})
        scorer = scorer_of(config.suite)
        scorer.classifier = made
        sizes[side] = len(Bench(config, dataset("tiny:photos"), scorer).chunks([str(each) for each in range(64)])[0])
    assert sizes == {12: 32, 112: 4, 224: 1}
