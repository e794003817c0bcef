"""From type and options to a metric: ours, Quantus's, and a user's own."""

from __future__ import annotations

import subprocess
import sys
import types

import numpy as np
import pytest
import quantus
import torch
from torch import nn

from captum_gag.errors import InputError
from captum_gag.metrics import metric, rcap
from captum_gag.metrics.base import MaskingMetric
from captum_gag.metrics.deletion_insertion import InsertionMetric
from captum_gag.metrics.external_metric import ExternalMetric
from captum_gag.metrics.map_batch import MapBatch
from captum_gag.metrics.masking import Plan
from captum_gag.names import METRICS
from captum_gag.options import declared, options_of

NORMALIZATION = ((0.4, 0.5, 0.6), (0.2, 0.3, 0.25))


@pytest.fixture
def case() -> tuple[nn.Module, torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 3)).eval()
    images, maps = (torch.randn(2, 3, 8, 8, generator=generator) for _ in range(2))
    return model, images, maps, torch.tensor([0, 2])


def test_options_and_the_models_normalization_reach_the_metric(case) -> None:
    expected = rcap(*case, lower_bound=60, normalization=NORMALIZATION)
    assert torch.equal(metric("RCAP", {"lower_bound": 60}, NORMALIZATION).evaluate(*case).score, expected)
    assert metric("RCAP").higher_is_better
    given = metric("RCAP", {"normalization": NORMALIZATION}, ((0.0,), (1.0,)))
    assert torch.equal(given.evaluate(*case).score, rcap(*case, normalization=NORMALIZATION))
    assert metric("LogCoshDice", {}, NORMALIZATION).needs_segmentation


@pytest.mark.parametrize(
    ("type", "options", "message"),
    [
        ("RCPA", {}, "unknown metric 'RCPA'; did you mean RCAP"),
        ("RCAP", {"lower_bond": 3}, "RCAPMetric: unknown option 'lower_bond'"),
        ("RCAP", {"lower_bound": "50"}, "lower_bound is '50', expected a valid number"),
        ("AOPC", {"order": "best"}, "order is 'best'"),
        ("quantus:Sparsity", {}, "metric 'quantus:Sparsity' cannot be imported"),
        ("quantus:Sparseness", {"sparse": 1}, "quantus:Sparseness: .*sparse"),
        ("no_such_module:Metric", {}, "'no_such_module:Metric' cannot be imported"),
    ],
)
def test_what_cannot_be_built_is_one_line(type: str, options: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        metric(type, options)
    assert "\n" not in str(caught.value)


def test_a_metric_of_ones_own_is_used_as_it_is(monkeypatch: pytest.MonkeyPatch, case) -> None:
    @declared
    class Whole(MaskingMetric):
        """What the model says of the image."""

        def plan(self, batch: MapBatch) -> Plan:
            return InsertionMetric(n_steps=1).plan(batch)

    module = types.ModuleType("of_a_users_own")
    module.Whole = Whole
    monkeypatch.setitem(sys.modules, "of_a_users_own", module)
    made = metric("of_a_users_own:Whole", {}, NORMALIZATION)
    assert type(made) is Whole
    assert made.higher_is_better is None
    assert made.evaluate(*case).score.shape == (2,)


class TestQuantusOwn:
    @pytest.mark.parametrize("magnitudes", [True, False])
    @pytest.mark.parametrize(
        ("name", "options"),
        [
            *(("Sparseness", {}), ("RelevanceMassAccuracy", {}), ("AUC", {}), ("PointingGame", {})),
            ("FaithfulnessCorrelation", {"subset_size": 16}),
        ],
    )
    def test_judges_the_sum_of_magnitudes_as_rcap_does_or_the_signed_sum(self, name, options, magnitudes, case) -> None:
        model, images, maps, target = case
        mask = torch.zeros(2, 1, 8, 8)
        mask[:, :, 2:6, 2:6] = 1
        options = {"abs": magnitudes, "disable_warnings": True, "return_aggregate": False, **options}
        summed = (maps.abs() if magnitudes else maps).sum(1, keepdim=True)
        np.random.seed(0)
        scores = metric(f"quantus:{name}", options).evaluate(model, images, maps, target, mask).score
        np.random.seed(0)
        by_hand = getattr(quantus, name)(**options)(
            model, images.numpy(), target.numpy(), summed.numpy(), mask.numpy(), softmax=True, batch_size=1
        )
        np.testing.assert_allclose(scores.numpy(), by_hand, rtol=1e-6)
        if magnitudes:
            torch.testing.assert_close(rcap(*case), rcap(model, images, summed, target))

    def test_channels_of_opposite_sign_do_not_cancel(self, case) -> None:
        """Two channels say that the class is at one pixel, with opposite signs: the truth sees them there."""
        model, images, _, target = case
        maps = torch.full((2, 3, 8, 8), 0.01)
        maps[:, 0, 3, 3], maps[:, 1, 3, 3] = 1.0, -1.0
        mask = torch.zeros(2, 1, 8, 8)
        mask[:, :, 3, 3] = 1
        mass = metric("quantus:RelevanceMassAccuracy", {"abs": True}).evaluate(model, images, maps, target, mask).score
        assert mass.tolist() == pytest.approx([2.01 / (2.01 + 63 * 0.03)] * 2, rel=1e-5)

    def test_direction_and_segmentation_are_what_quantus_says(self) -> None:
        higher = {"SensitivityN": True, "PixelFlipping": False, "PointingGame": True, "MaxSensitivity": False}
        for name, expected in higher.items():
            assert metric(f"quantus:{name}", {}).higher_is_better is expected
        assert metric("quantus:PointingGame", {}).needs_segmentation
        assert not metric("quantus:PixelFlipping", {}).needs_segmentation

    def test_one_score_for_several_images_is_refused(self, case) -> None:
        with pytest.raises(InputError, match="quantus:Sparseness returned 1 scores for 2 images"):
            metric("quantus:Sparseness", {"return_aggregate": True}).evaluate(*case)

    def test_masks_reach_it(self, case) -> None:
        model, images, maps, target = case
        mask = torch.zeros(2, 1, 8, 8)
        relevance = maps.sum(1).flatten(1)
        mask[0].view(-1)[relevance[0].argmax()] = 1
        mask[1].view(-1)[relevance[1].argmin()] = 1
        scores = metric("quantus:PointingGame", {"abs": False}).evaluate(model, images, maps, target, mask).score
        assert scores.tolist() == [1, 0]

    def test_what_numpy_no_longer_has_is_one_line_that_says_what_to_install(
        self, case, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delattr(np, "trapz", raising=False)
        flipping = metric("quantus:PixelFlipping", {"return_auc_per_sample": True, "features_in_step": 16})
        with pytest.raises(InputError, match=r"quantus:PixelFlipping calls numpy.trapz.*pip install 'numpy<2.4'"):
            flipping.evaluate(*case)

    def test_a_class_that_is_called_like_one_gets_the_normalization_it_takes(
        self, case, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        class Called:
            def __init__(self, normalization: object) -> None:
                self.normalization = normalization

            def __call__(self, y_batch: np.ndarray, a_batch: np.ndarray, **arguments: object) -> list[float]:
                assert self.normalization == NORMALIZATION
                assert a_batch.shape == (2, 1, 8, 8)
                return y_batch.astype(float).tolist()

        module = types.ModuleType("of_a_users_own")
        module.Called = Called
        monkeypatch.setitem(sys.modules, "of_a_users_own", module)
        made = metric("of_a_users_own:Called", {}, NORMALIZATION)
        assert made.higher_is_better is None
        assert made.evaluate(*case).score.tolist() == [0, 2]


def test_names_say_what_a_user_can_set() -> None:
    assert {name: row.higher_is_better for name, row in METRICS.items()} == {
        **dict.fromkeys(("RCAP", "Insertion", "AOPC", "Faithfulness"), True),
        **dict.fromkeys(("Deletion", "LogCoshDice", "SegmentationMAE"), False),
    }
    options = {option.name: option for option in options_of(METRICS["AOPC"].load())}
    assert (options["n_steps"].default, options["n_steps"].range) == (None, ">= 1")
    assert all(option.help and option.type for option in options.values())


def test_torch_users_need_no_quantus() -> None:
    code = (
        "import sys; sys.modules['quantus'] = None\n"
        "import torch\n"
        "from captum_gag.metrics.rcap import rcap as of_module\n"
        "from captum_gag.metrics import evaluate, metric, rcap\n"
        "assert of_module is rcap\n"
        "x, m = torch.randn(1, 3, 4, 4), torch.rand(1, 4, 4)\n"
        "made = {name: metric(name, {}) for name in ('RCAP', 'Deletion', 'Insertion')}\n"
        "scores = evaluate(torch.nn.Flatten().eval(), x, {'m': m}, 0, made)['m']\n"
        "assert torch.equal(scores['RCAP'], rcap(torch.nn.Flatten().eval(), x, m, 0))\n"
        "try: from captum_gag.metrics import RCAP\n"
        "except ImportError as error: print(error)\n"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "quantus" in result.stdout


@pytest.mark.parametrize(
    ("name", "options", "times"),
    [("MaxSensitivity", {"nr_samples": 3}, 3), ("RandomLogit", {}, 1), ("Complexity", {}, 0), ("Sparseness", {}, 0)],
)
def test_quantus_explains_again_as_often_as_is_said(name: str, options: dict[str, int], times: int) -> None:
    asked = 0

    def explain(model: torch.nn.Module, images: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        nonlocal asked
        asked += 1
        return images.abs()

    judged = metric(f"quantus:{name}", options)
    assert isinstance(judged, ExternalMetric)
    net = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 8 * 8, 4)).eval()
    images = torch.rand(1, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    judged.evaluate(net, images, images.abs(), 0, output="logits", explain=explain)
    assert (asked, judged.explains_again) == (times, times)
