"""One image's records against the functions that a user would call, and what a failing part costs."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import quantus
import torch
from scoring import items, scorer_of
from torch import nn

from captum_gag import GuidedAbsoluteGrad
from captum_gag.attr import saliency_map
from captum_gag.attr.catalogue import method
from captum_gag.data import dataset
from captum_gag.errors import InputError
from captum_gag.metrics import aopc, rcap
from captum_gag.models import load_classifier
from captum_gag.runs.cells import Row
from captum_gag.runs.config import Config
from captum_gag.runs.scorer import Autocast, Scorer
from captum_gag.runs.spec import make_suite


def rows_of(scorer: Scorer, index: int = 2) -> list[Row]:
    data = dataset("tiny:photos")
    return scorer.score(data.names[index], lambda: data[index]).rows


def test_rows_hold_what_the_functions_give() -> None:
    scorer = scorer_of(
        {
            "methods": {
                "SG of 4": {"type": "SG", "n_samples": 4},
                "GAG, relative": {"type": "GAG", "guide": "relative"},
            },
            "metrics": {
                "RCAP": {"interval": 25},
                "AOPC": {
                    "variants": {"mean": {}, "black": {"perturb_baseline": "black"}},
                    "steps": [2, 5],
                    "n_steps": 5,
                },
                "MAE": {"type": "SegmentationMAE"},
            },
        }
    )
    rows = rows_of(scorer)
    found = {(row["method"], row["metric"], row["variant"], row["steps"]): row for row in rows}
    assert len(found) == len(rows) == 2 * (1 + 4 + 1)
    classifier, example = scorer.classifier, dataset("tiny:photos")[2]
    x = classifier.preprocess(example.photo())[None]
    attribution = method("SG", n_samples=4).attribute(classifier.model, x, 2)
    options: dict[str, Any] = {"normalization": classifier.normalization}
    expected = rcap(classifier.model, x, attribution, 2, interval=25, **options)
    assert found["SG of 4", "RCAP", "", None]["score"] == pytest.approx(expected.item(), abs=1e-6)
    for variant in ("mean", "black"):
        for steps in (2, 5):
            given = aopc(classifier.model, x, attribution, 2, n_steps=steps, perturb_baseline=variant, **options)
            assert found["SG of 4", "AOPC", variant, steps]["score"] == pytest.approx(given.item(), abs=1e-6)
    mask = torch.zeros(12, 12)
    mask[:, :6] = 1
    expected = (saliency_map(attribution)[0] - mask).abs().mean()
    assert found["SG of 4", "MAE", "", None]["score"] == pytest.approx(expected.item(), abs=1e-6)
    gag = GuidedAbsoluteGrad(classifier.model).attribute(x, 2, guide="relative", seed=0)
    expected = rcap(classifier.model, x, gag, 2, interval=25, **options)
    assert found["GAG, relative", "RCAP", "", None]["score"] == pytest.approx(expected.item(), abs=1e-6)


def test_maps_of_known_quality_are_judged_where_there_is_a_segmentation() -> None:
    half = {"label": "half", "type": "Truth", "transform": "misplaced", "strength": 0.5}
    scorer = scorer_of({"methods": ["Truth", half, "VG"], "metrics": {"MAE": {"type": "SegmentationMAE"}, "RCAP": {}}})
    rows = rows_of(scorer)
    known = {row["method"]: row for row in rows}
    assert {name: (row["base"], row["transform"], row["strength"]) for name, row in known.items()} == {
        "Truth": ("", "", None),
        "half": ("Truth", "misplaced", 0.5),
        "VG": ("", "", None),
    }
    of_masks = {row["method"]: row["score"] for row in rows if row["metric"] == "MAE"}
    # The left half of the image; moved by a quarter of the width, half of it lies beside.
    assert of_masks["Truth"] == pytest.approx(0, abs=0.001)
    assert of_masks["half"] == pytest.approx(0.5, abs=0.001)
    without = replace(dataset("tiny:photos")[2], mask=None)
    errors = {row["method"]: row["error"] for row in scorer.score("2", lambda: without).rows if row["metric"] == "RCAP"}
    assert "no segmentation" in errors["Truth"]
    assert errors["VG"] == ""


def test_columns_say_what_a_name_would_hide() -> None:
    suite = {
        "methods": {
            "mine": {"type": "GAG", "percentile": 70},
            "mine, reversed": {"of": "mine", "transform": "reverse", "retain": 0.1},
            "noise": {"type": "Random", "seed": 4},
            "Sobel": {},
        },
        "metrics": {"RCAP": {}, "MAE": {"type": "SegmentationMAE"}, "Lerf": {"type": "AOPC", "order": "lerf"}},
    }
    rows = rows_of(scorer_of(suite, seed=3))
    about = {row["method"]: (row["base"], row["transform"], row["control"]) for row in rows}
    assert about["mine"] == ("", "", "")
    assert about["mine, reversed"] == ("mine", "reverse", "")
    assert about["noise"] == ("", "", "random")
    assert about["Sobel"] == ("", "", "edges")
    directions = {row["metric"]: row["higher_is_better"] for row in rows}
    assert directions == {"RCAP": True, "MAE": False, "Lerf": False}
    assert {row["seed"] for row in rows} == {3}


def test_metrics_of_quantus_are_given_one_value_per_pixel() -> None:
    suite = {"methods": ["SG"], "metrics": {"Rank": {"type": "quantus:RelevanceRankAccuracy"}}, "n_samples": 3}
    scorer, example = scorer_of(suite), dataset("tiny:photos")[0]
    x = scorer.classifier.preprocess(example.photo())[None]
    attributions = method("SG", n_samples=3).attribute(scorer.model, x, example.target, 0).sum(1, keepdim=True)
    assert example.mask is not None
    expected = quantus.RelevanceRankAccuracy(disable_warnings=True)(
        model=scorer.model,
        x_batch=x.numpy(),
        y_batch=np.array([example.target]),
        a_batch=attributions.numpy(),
        s_batch=scorer.classifier.preprocess_mask(example.mask())[None].numpy(),
    )
    [row] = rows_of(scorer, 0)
    assert row["score"] == pytest.approx(expected[0], abs=1e-6)
    assert row["error"] == ""


def test_metrics_of_quantus_that_explain_again_or_draw_numbers_give_the_same_each_time() -> None:
    metrics = {
        "MaxSensitivity": {"type": "quantus:MaxSensitivity", "nr_samples": 3},
        "RandomLogit": {"type": "quantus:RandomLogit", "num_classes": 3, "normalise": False},
        "Correlation": {"type": "quantus:FaithfulnessCorrelation", "subset_size": 20, "nr_runs": 5},
    }
    suite = {"methods": ["VG", "GAG-85"], "metrics": metrics, "n_samples": 3}
    before = np.random.get_state()[1].tolist()
    first, second = (rows_of(scorer_of(suite), 1) for _ in range(2))
    assert [row["error"] for row in first] == [""] * 6
    assert [row["score"] for row in first] == [row["score"] for row in second]
    assert np.random.get_state()[1].tolist() == before
    scorer, example = scorer_of(suite), dataset("tiny:photos")[1]
    x = scorer.classifier.preprocess(example.photo())[None]
    maps = [
        method("VG").attribute(scorer.model, x, target).sum(1, keepdim=True).flatten().numpy() for target in range(3)
    ]
    # RandomLogit: the similarity of the map to that of another class.
    others = [quantus.ssim(maps[1], maps[each]) for each in (0, 2)]
    [found] = [row["score"] for row in first if (row["method"], row["metric"]) == ("VG", "RandomLogit")]
    assert any(found == pytest.approx(other, abs=1e-4) for other in others)


def test_gradients_that_fail_are_tried_once_for_all_methods_that_share_them(monkeypatch: pytest.MonkeyPatch) -> None:
    tried: list[int] = []

    def failing(methods: list[Any], *_: Any, **__: Any) -> None:
        tried.append(len(methods))
        raise RuntimeError("no gradients")

    monkeypatch.setattr("captum_gag.runs.attributing.shared_gradients", failing)
    rows = rows_of(scorer_of({"methods": ["GAG-85", "Random", "SG", "GAG-0"], "metrics": {"RCAP": {}}}))
    assert tried == [3]
    assert [row["error"] for row in rows] == ["RuntimeError: no gradients", "", *["RuntimeError: no gradients"] * 2]


def test_a_metric_that_fails_costs_its_own_cells() -> None:
    metrics = {"Correlation": {"type": "quantus:FaithfulnessCorrelation", "subset_size": 10_000}, "RCAP": {}}
    found = {(row["method"], row["metric"]): row for row in rows_of(scorer_of({"methods": ["VG"], "metrics": metrics}))}
    assert set(found) == {("VG", "Correlation"), ("VG", "RCAP")}
    assert np.isnan(found["VG", "Correlation"]["score"])
    assert found["VG", "Correlation"]["error"]
    assert found["VG", "RCAP"]["error"] == ""


def test_an_output_that_cannot_be_read_names_the_model() -> None:
    made: list[Scorer] = []

    def failing(outputs: torch.Tensor) -> torch.Tensor:
        if made:
            raise RuntimeError("not this one")
        return outputs.softmax(1)

    classifier = load_classifier("tiny:model", device="cpu")
    classifier.output = failing
    made.append(Scorer(classifier, make_suite({"methods": ["VG"], "metrics": {"RCAP": {}}}, classifier.normalization)))
    [row] = rows_of(made[0])
    assert row["error"] == "output cannot read what tiny returned: RuntimeError: not this one"


def test_methods_and_metrics_of_ones_own_run_beside_the_others() -> None:
    suite = {
        "methods": ["SG", "tiny:own_method", {"type": "tiny:own_method", "n_samples": 4, "label": "own of 4"}],
        "metrics": {
            "own": {"type": "tiny:OwnCurve"},
            "IAUC": {"type": "Insertion", "perturb_baseline": "mean", "n_steps": 4},
        },
        "n_samples": 2,
    }
    rows = rows_of(scorer_of(suite))
    assert list(dict.fromkeys(row["method"] for row in rows)) == ["SG", "tiny:own_method", "own of 4"]
    assert {row["error"] for row in rows} == {""}
    own, same = ([row["score"] for row in rows if row["metric"] == name] for name in ("own", "IAUC"))
    assert own == same


def test_references_are_the_training_split_and_differ_from_random_colours() -> None:
    data = dataset("tiny:photos_with_training")
    suite = {
        "methods": {
            "train": {"type": "DeepSHAP", "baselines": "train", "n_references": 4},
            "random": {"type": "DeepSHAP", "n_references": 4},
        },
        "metrics": {"RCAP": {}},
    }
    classifier = load_classifier("tiny:model", device="cpu")
    scorer = Scorer(classifier, make_suite(suite, classifier.normalization), data=data)
    outcome = scorer.score("0", lambda: data[0])
    assert {row["error"] for row in outcome.rows} == {""}
    assert not torch.allclose(outcome.attributions["train"], outcome.attributions["random"])
    references = scorer.references("train", 4)
    train = data.train()
    given = [classifier.preprocess(train[index].photo()) for index in range(len(train))]
    assert all(any(torch.equal(each, one) for one in given) for each in references)


@pytest.mark.parametrize(
    ("references", "message"), [("train", "tiny:photos: has no training images"), ("nowhere", "nowhere")]
)
def test_references_that_are_not_there_are_refused_before_anything_is_computed(references: str, message: str) -> None:
    suite = {"methods": {"of": {"type": "DeepSHAP", "baselines": references}, "SG": {}}, "metrics": {"RCAP": {}}}
    with pytest.raises(InputError, match=f"method 'of': .*{message}"):
        scorer_of(suite, data=dataset("tiny:photos"))


class Precisions(nn.Module):
    """Remembers in which dtype its layer computed, with gradients or without."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.layer, self.seen = nn.Linear(3 * 12 * 12, 3), set()

    def forward(self, x):
        found = self.layer(x.flatten(1))
        self.seen.add((found.dtype, x.requires_grad and torch.is_grad_enabled()))
        return found * 10


@pytest.mark.parametrize(
    ("autocast", "explaining", "judging"),
    [
        (Autocast(attribution=torch.bfloat16), torch.bfloat16, torch.float32),
        (Autocast(metrics=torch.bfloat16), torch.float32, torch.bfloat16),
    ],
)
def test_methods_and_metrics_compute_in_less_apart(autocast, explaining, judging):
    suite = {"methods": ["GAG-85", "VG"], "metrics": {"RCAP": {}, "quantus:MaxSensitivity": {"nr_samples": 2}}}
    model = Precisions()
    scorer = scorer_of(suite, model, autocast=autocast)
    model.seen.clear()
    [outcome] = scorer.score_many(items(1))
    assert not any(row["error"] for row in outcome.rows)
    assert {dtype for dtype, gradient in model.seen if gradient} == {explaining}
    # Classes are predicted in the model's own precision; before it explains, the model is asked in that of methods.
    assert {dtype for dtype, gradient in model.seen if not gradient} == {torch.float32, judging, explaining}
    assert not torch.is_autocast_enabled("cpu")


def test_autocast_of_less_than_single_precision_is_refused():
    with pytest.raises(InputError, match=r"autocast is for a model in float32, dtype is bfloat16"):
        Config(suite={}, model={}, data={}, dtype="bfloat16", metrics_autocast="bfloat16")
