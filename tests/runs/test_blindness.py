"""Where a metric is blind: displaced maps in every suite, and what the model says of the metrics' baselines."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scoring import call, items, scorer_of
from tiny import FailsOnDark, net, write_birds_and_dogs

from captum_gag.attr.catalogue import method
from captum_gag.baselines import resolve
from captum_gag.errors import InputError
from captum_gag.metrics import deletion, rcap, segmentation_mae
from captum_gag.model_probe import behaviour_of
from captum_gag.runs.spec import make_suite
from captum_gag.runs.store import Run
from captum_gag.runs.suite_file import SuiteFile, labels_of

RCAP: dict[str, Any] = {"metrics": {"RCAP": {}}}


def test_rcap_of_two_classes_sees_where_a_map_points_for_birds_and_not_for_dogs(tmp_path: Path) -> None:
    photographs = write_birds_and_dogs(tmp_path / "photographs", 3)
    (tmp_path / "suite.toml").write_text('methods = ["VG", "Sobel"]\n[metrics.RCAP]\n')
    asked = ["--model", "tiny:two_classes", "--data", photographs, "--device", "cpu", "--out", tmp_path / "run"]
    result = call("run", tmp_path / "suite.toml", *asked)
    assert result.exit_code == 0, result.output
    scores = Run.load(tmp_path / "run").scores()
    assert len(scores) == 6 * 3
    assert set(scores["base"].where(scores["control"] == "displaced").dropna()) == {"VG"}
    # All saliency is on the light pixels: RCAP is the probability that they alone give, or as many dark ones.
    logits = {(0, "VG"): 3.0, (0, "VG displaced"): -math.log(9), (1, "VG"): math.log(9) + 0.2}
    of_maps = {key: 1 / (1 + math.exp(-logit)) for key, logit in {**logits, (1, "VG displaced"): math.log(9)}.items()}
    for row in scores[scores["method"] != "Sobel"].to_dict("records"):
        assert row["score"] == pytest.approx(of_maps[row["target"], row["method"]], abs=1e-5)
    assert scores["baseline_probability"].tolist() == pytest.approx(scores["target"].map({0: 0.1, 1: 0.9}).tolist())


def test_a_displaced_map_is_its_original_moved_and_costs_no_attribution() -> None:
    metrics = {"RCAP": {}, "Deletion": {}, "MAE": {"type": "SegmentationMAE"}, "Again": AGAIN}
    suite = {"methods": ["Random", "SG", "GAG-85"], "metrics": metrics, "n_samples": 3, "displaced": "SG"}
    found, passes = [], []
    for displaced in ("SG", ""):
        scorer = scorer_of({**suite, "displaced": displaced})
        calls: list[int] = []
        scorer.model.register_full_backward_hook(lambda *_, calls=calls: calls.append(1))
        found += scorer.score_many(items(1))
        passes.append(len(calls))
    with_it, without = found
    assert passes[0] == passes[1]
    moved = with_it.attributions["SG displaced"]
    assert torch.equal(moved, with_it.attributions["SG"].roll((6, 6), (2, 3)))
    rows = {row["metric"]: row for row in with_it.rows if row["method"] == "SG displaced"}
    # One that explains again would explain what does not move.
    assert set(rows) == {"RCAP", "Deletion", "MAE"}
    assert {(row["base"], row["transform"], row["control"]) for row in rows.values()} == {("SG", *["displaced"] * 2)}
    others = [(row["method"], row["metric"], row["score"]) for row in with_it.rows if row["method"] != "SG displaced"]
    assert others == [(row["method"], row["metric"], row["score"]) for row in without.rows]
    black, mask = (
        {"normalization": scorer.classifier.normalization},
        (torch.arange(12) < 6).float().expand(1, 1, 12, 12),
    )
    expected = {
        "RCAP": rcap(scorer.model, with_it.inputs, moved, 0, **black),
        "Deletion": deletion(scorer.model, with_it.inputs, moved, 0, **black),
        "MAE": segmentation_mae(moved, mask),
    }
    for name, score in expected.items():
        assert rows[name]["score"] == pytest.approx(score.item(), abs=1e-6)


AGAIN: dict[str, Any] = {"type": "quantus:MaxSensitivity", "nr_samples": 2}
MOVED = {"of": "VG", "transform": "displaced"}
CONTROLS: list[Any] = [
    *("Random", "edge", "Random:7", "VG^R"),
    {"label": "half", "type": "Truth", "transform": "misplaced", "strength": 0.5},
    {"label": "VG, sharp", "of": "VG", "transform": "sharpen"},
]


@pytest.mark.parametrize(
    ("suite", "label"),
    [
        ({"methods": [*CONTROLS, "SG", "GAG-85"]}, "SG displaced"),
        ({"methods": {"noise": {"type": "Random"}, "mine": {"type": "GAG", "percentile": 7}}}, "mine displaced"),
        ({"methods": ["SG", "GAG-85"], "displaced": "GAG-85", "random_orderings": 2}, "GAG-85 displaced"),
        ({"methods": {"SG": {}, "VG": {}, "VG displaced": {"of": "VG", "transform": "displaced"}}}, "VG displaced"),
        (
            {"methods": {"SG": {}, "SG displaced": {"of": "SG", "transform": "displaced"}}, "displaced": "SG"},
            "SG displaced",
        ),
        ({"methods": ["SG", "GAG-85"], "displaced": ""}, ""),
        ({"methods": CONTROLS}, ""),
        ({"methods": [], "random_orderings": 2}, ""),
    ],
)
def test_every_suite_has_the_first_explanation_displaced_or_the_one_that_it_names(
    suite: dict[str, Any], label: str
) -> None:
    made = make_suite({**suite, **RCAP})
    assert list(made.methods) == labels_of(SuiteFile(**suite, **RCAP))[0]
    assert [name for name, each in made.methods.items() if each.control == "displaced"] == ([label] if label else [])
    if label:
        assert f"{made.bases[label]} displaced" == label
        assert made.methods[label].of is made.methods[made.bases[label]]


@pytest.mark.parametrize(
    ("suite", "message"),
    [
        ({"methods": ["SG"], "displaced": "sg"}, "unknown displaced 'sg'; expected SG"),
        ({"methods": ["SG", "Sobel"], "displaced": "Sobel"}, "displaced maps are of a control .edges"),
        ({"methods": ["SG", "SG^R"], "displaced": "SG^R"}, "must be of an explanation; name one"),
        ({"methods": {"SG": {}, "SG displaced": {"type": "VG"}}}, "method 'SG displaced' comes twice"),
    ],
)
def test_only_an_explanation_can_be_displaced(suite: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        make_suite({**suite, **RCAP})


@pytest.mark.parametrize("shape", [(3, 6, 9), (2, 7), (2, 4, 5, 6), (5,)])
def test_inputs_of_any_kind_are_displaced_along_their_positions(shape: tuple[int, ...]) -> None:
    attributions = torch.randn(2, *shape)
    made: Any = method({"of": "SG", "transform": "displaced"})
    moved = made.transformed(attributions, None)
    axes = len(shape) - (len(shape) > 1)
    for index in np.ndindex(shape):
        places = zip(index[-axes:], shape[-axes:], strict=True)
        to = (*index[:-axes], *((place + side // 2) % side for place, side in places))
        assert torch.equal(moved[(slice(None), *to)], attributions[(slice(None), *index)])


BASELINES: dict[str, Any] = {
    "RCAP": {"type": "RCAP"},
    "RCAP, white": {"type": "RCAP", "perturb_baseline": "white"},
    "road": {"type": "Deletion", "perturb_baseline": "road"},
    "blur": {"type": "Insertion"},
    "steps": {"type": "AOPC", "steps": [2, 5], "perturb_baseline": {"type": "uniform", "seed": 3}},
    "mean": {"type": "Faithfulness", "n_pixels": 9},
    "number": {"type": "AOPC", "order": "lerf", "perturb_baseline": 0.25},
}

DEFAULTS = {"RCAP": "black", "blur": "blur", "mean": "mean"}


def test_records_hold_what_the_model_gives_the_class_on_the_baseline() -> None:
    none = {"MAE": {"type": "SegmentationMAE"}, "Complexity": {"type": "quantus:Complexity"}}
    scorer = scorer_of({"methods": ["VG", "Constant"], "metrics": BASELINES | none, "random_orderings": 2})
    outcomes = scorer.score_many(items(4))
    for outcome in outcomes:
        assert len({(row["method"], row["metric"], row["steps"]) for row in outcome.rows}) == len(outcome.rows) == 30
        for row in outcome.rows:
            if row["metric"] in none:
                assert math.isnan(row["baseline_probability"])
                continue
            given = BASELINES[row["metric"]].get("perturb_baseline", DEFAULTS.get(row["metric"]))
            with torch.no_grad():
                hidden = resolve(given, scorer.classifier.normalization)(outcome.inputs)
                expected = scorer.model(hidden).softmax(1)[0, row["target"]]
            assert row["baseline_probability"] == pytest.approx(expected.item(), abs=1e-6)


def test_a_baseline_that_all_images_share_is_predicted_once_for_each_class() -> None:
    scorer = scorer_of({"methods": ["Sobel"], **RCAP})
    sizes: list[int] = []
    scorer.model.register_forward_pre_hook(lambda module, x: sizes.append(len(x[0])))
    behaviour_of(scorer.model, (torch.zeros(3, 3, 12, 12),))
    for passes in ([3, 3, 15], [3, 15]):
        sizes.clear()
        # One that predicts the images, one of black for each of three classes, and the five versions of each image.
        scorer.score_many(items(3))
        assert sizes == passes


def test_a_baseline_on_which_the_model_fails_costs_no_score() -> None:
    suite = {"methods": ["Sobel"], "metrics": {"RCAP": {}, "Insertion": {"perturb_baseline": "white"}}}
    for outcome, same in zip(
        scorer_of(suite, FailsOnDark(net())).score_many(items(2)), scorer_of(suite).score_many(items(2)), strict=True
    ):
        for row, plain in zip(outcome.rows, same.rows, strict=True):
            assert row["error"] == ""
            assert row["score"] == pytest.approx(plain["score"], abs=1e-6)
            assert math.isnan(row["baseline_probability"]) == (row["metric"] == "RCAP")
