"""The situations of Quantus's own tests of metrics, with every metric of this package.

Its LeNet on digits, a network of photographs, 1-D convolutions on signals in both layouts, a table of passengers with a
softmax in the model; maps given, or explained by Quantus; every option that its metrics share; and its ``evaluate``.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pytest
import quantus
import torch
from numpy.typing import NDArray
from quantus.helpers.model.models import ConvNet1D, LeNet
from torch import Tensor, nn

from captum_gag import AOPC, RCAP, Deletion, Faithfulness, Insertion, LogCoshDice, SegmentationMAE
from captum_gag.metrics import aopc, deletion, faithfulness, insertion, log_cosh_dice, rcap, segmentation_mae

N, CLASSES = 6, 10
# Faithfulness correlates small differences of probabilities, which batches round differently.
ATOL = 2e-4

Options = dict[str, Any]


class Judge(NamedTuple):
    """A metric in both of its forms, and the range of its scores."""

    of_quantus: Callable[..., Any]
    function: Callable[..., Tensor]
    options: Options
    lowest: float
    highest: float
    masks: bool = False

    def expected(self, situation: Situation, maps: NDArray[Any]) -> NDArray[Any]:
        given = torch.from_numpy(maps)
        if self.masks:
            return self.function(given, torch.from_numpy(situation.masks())).numpy()
        x, y = torch.from_numpy(situation.first()), torch.from_numpy(situation.y_batch)
        return self.function(situation.model, x, given, y, **self.options).numpy()


class Situation(NamedTuple):
    """A model and data, as one of Quantus's tests has them."""

    model: nn.Module
    x_batch: NDArray[Any]
    y_batch: NDArray[Any]
    channel_first: bool | None

    def first(self) -> NDArray[Any]:
        """Return the data with channels first."""
        last = self.channel_first is False and self.x_batch.ndim > 2
        return np.ascontiguousarray(np.moveaxis(self.x_batch, -1, 1)) if last else self.x_batch

    def maps(self) -> NDArray[Any]:
        return np.random.default_rng(3).normal(size=self.first().shape).astype(np.float32)

    def masks(self) -> NDArray[Any]:
        shape = self.first().shape
        shape = shape if len(shape) == 2 else (N, 1, *shape[2:])
        return (np.random.default_rng(4).random(shape) > 0.5).astype(int)


METRICS = {
    "RCAP": Judge(RCAP, rcap, {"lower_bound": 60, "interval": 20}, 0, 1),
    "Deletion": Judge(Deletion, deletion, {"n_steps": 4}, 0, 1),
    "Insertion": Judge(Insertion, insertion, {"n_steps": 4, "perturb_baseline": "black"}, 0, 1),
    "MoRF": Judge(AOPC, aopc, {"n_steps": 5}, -1, 1),
    "LeRF": Judge(AOPC, aopc, {"order": "lerf", "n_steps": 5}, -1, 1),
    "Faithfulness": Judge(Faithfulness, faithfulness, {"n_pixels": 9}, -1, 1),
    "Dice": Judge(LogCoshDice, log_cosh_dice, {}, 0, np.log(np.cosh(1)), masks=True),
    "MAE": Judge(SegmentationMAE, segmentation_mae, {}, 0, 1, masks=True),
}
MASKING = [name for name, metric in METRICS.items() if not metric.masks]


def situation(name: str) -> Situation:
    torch.manual_seed(0)
    numbers = np.random.default_rng(0)

    def data(*shape: int, classes: int = CLASSES) -> tuple[NDArray[Any], NDArray[Any]]:
        return numbers.random((N, *shape)).astype(np.float32), numbers.integers(0, classes, N)

    if name == "digits":
        return Situation(LeNet().eval(), *data(1, 28, 28), True)
    if name == "photographs":
        layers = nn.Conv2d(3, 4, 5), nn.ReLU(), nn.MaxPool2d(4), nn.Flatten(), nn.Linear(4 * 36, CLASSES)
        return Situation(nn.Sequential(*layers).eval(), *data(3, 28, 28), None)
    if name == "photographs, channels last":
        there = situation("photographs")
        return there._replace(x_batch=np.moveaxis(there.x_batch, 1, -1), channel_first=False)
    if name == "signals":
        return Situation(ConvNet1D(3, CLASSES).eval(), *data(3, 100), True)
    if name == "signals of one channel":
        return Situation(ConvNet1D(1, CLASSES).eval(), *data(1, 28), None)
    if name == "signals, channels last":
        there = situation("signals")
        return there._replace(x_batch=np.moveaxis(there.x_batch, 1, -1), channel_first=False)
    layers = nn.Linear(12, 12), nn.Sigmoid(), nn.Linear(12, 8), nn.Sigmoid(), nn.Linear(8, 2), nn.Softmax(dim=1)
    x_batch, y_batch = data(12, classes=2)
    return Situation(nn.Sequential(*layers).eval(), x_batch, y_batch, None)


SITUATIONS = [
    "digits",
    "photographs",
    "photographs, channels last",
    "signals",
    "signals of one channel",
    "signals, channels last",
    "passengers",
]
EVERYWHERE = pytest.mark.parametrize("name", SITUATIONS)
EVERY_METRIC = pytest.mark.parametrize("metric", METRICS)
BY_SOFTMAX = "ignore:The model gives numbers in"


def score(metric: str, name: str, call: Options | None = None, **options: Any) -> list[float]:
    """Return the scores of a Quantus metric in a situation; ``call`` holds further arguments of its call."""
    there, judge = situation(name), METRICS[metric]
    given: Options = {"a_batch": there.maps(), "s_batch": there.masks() if judge.masks else None, **(call or {})}
    found = judge.of_quantus(**judge.options, disable_warnings=True, **options)(
        there.model, there.x_batch, there.y_batch, channel_first=there.channel_first, device="cpu", **given
    )
    assert isinstance(found, list)
    return found


@pytest.mark.filterwarnings(BY_SOFTMAX)
@EVERYWHERE
@EVERY_METRIC
def test_maps_that_are_given(metric: str, name: str) -> None:
    found, judge = score(metric, name), METRICS[metric]
    assert len(found) == N
    assert all(judge.lowest <= each <= judge.highest for each in found)
    there = situation(name)
    np.testing.assert_allclose(found, judge.expected(there, there.maps()), rtol=1e-4, atol=ATOL)


# With channels last Quantus explains no model of torch.
@pytest.mark.filterwarnings(BY_SOFTMAX)
@pytest.mark.parametrize("name", [each for each in SITUATIONS if "last" not in each])
@EVERY_METRIC
@pytest.mark.parametrize("explaining", ["Saliency", "IntegratedGradients"])
def test_maps_that_quantus_makes(metric: str, name: str, explaining: str) -> None:
    there, arguments = situation(name), {"method": explaining, "device": "cpu"}
    call = {"a_batch": None, "explain_func": quantus.explain, "explain_func_kwargs": dict(arguments)}
    maps = quantus.explain(there.model, there.x_batch, there.y_batch, **arguments)
    expected = METRICS[metric].expected(there, maps)
    np.testing.assert_allclose(score(metric, name, call), expected, rtol=1e-4, atol=ATOL)


@pytest.mark.filterwarnings(BY_SOFTMAX)
@EVERY_METRIC
@pytest.mark.parametrize("name", ["digits", "signals, channels last", "passengers"])
class TestOptionsOfEveryQuantusMetric:
    @pytest.mark.parametrize("batch_size", [1, 4, 64])
    def test_batches(self, metric: str, name: str, batch_size: int) -> None:
        np.testing.assert_allclose(
            score(metric, name, {"batch_size": batch_size}), score(metric, name), rtol=1e-4, atol=ATOL
        )

    def test_abs(self, metric: str, name: str) -> None:
        there = situation(name)
        found = score(metric, name, abs=True)
        np.testing.assert_allclose(found, METRICS[metric].expected(there, np.abs(there.maps())), rtol=1e-4, atol=ATOL)

    def test_normalise(self, metric: str, name: str) -> None:
        halves = {"normalise_func": lambda a, **options: a / 2, "normalise_func_kwargs": {}}
        there = situation(name)
        found = score(metric, name, normalise=True, **halves)
        np.testing.assert_allclose(found, METRICS[metric].expected(there, there.maps() / 2), rtol=1e-4, atol=ATOL)

    @pytest.mark.parametrize("function", [None, np.median])
    def test_aggregate(self, metric: str, name: str, function: Callable[..., Any] | None) -> None:
        found = score(metric, name, return_aggregate=True, aggregate_func=function)
        assert found == [pytest.approx((function or np.mean)(score(metric, name)))]

    def test_progress_bar_and_plot(
        self, metric: str, name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        assert score(metric, name, display_progressbar=True) == score(metric, name)
        matplotlib.use("Agg")
        there, judge = situation(name), METRICS[metric]
        drawn = judge.of_quantus(**judge.options, disable_warnings=True)
        masks = there.masks() if judge.masks else None
        drawn(there.model, there.x_batch, there.y_batch, there.maps(), masks, there.channel_first)
        drawn.plot(show=False)
        assert plt.gcf().axes
        plt.close("all")


@pytest.mark.filterwarnings(BY_SOFTMAX)
@EVERYWHERE
def test_evaluate_of_quantus(name: str) -> None:
    there = situation(name)
    judges = {metric: METRICS[metric] for metric in MASKING}
    results = quantus.evaluate(
        metrics={metric: each.of_quantus(**each.options, disable_warnings=True) for metric, each in judges.items()},
        xai_methods={"given": there.maps(), "Saliency": {"method": "Saliency"}},
        model=there.model,
        x_batch=there.first(),
        y_batch=there.y_batch,
        agg_func=np.mean,
        call_kwargs={"one": {"channel_first": True, "device": "cpu"}},
    )
    for metric in judges:
        assert results["given"][metric] == pytest.approx(np.mean(score(metric, name)), rel=1e-4)
        assert np.isfinite(results["Saliency"][metric])


class AsImages(nn.Module):
    """A model of signals or of tables, for images of height 1."""

    def __init__(self, model: nn.Module, table: bool) -> None:
        super().__init__()
        self.model, self.table = model, table

    def forward(self, x: Tensor) -> Tensor:
        return self.model(x.flatten(1) if self.table else x.squeeze(2))


@pytest.mark.filterwarnings(BY_SOFTMAX)
@pytest.mark.parametrize("metric", MASKING)
@pytest.mark.parametrize("name", ["signals", "signals of one channel", "passengers"])
def test_a_position_is_what_a_pixel_of_an_image_of_height_1_is(metric: str, name: str) -> None:
    there, judge = situation(name), METRICS[metric]
    table = there.x_batch.ndim == 2
    x, maps = (
        torch.from_numpy(each[:, None, None] if table else each[:, :, None]) for each in (there.x_batch, there.maps())
    )
    found = judge.function(
        AsImages(there.model, table).eval(), x, maps, torch.from_numpy(there.y_batch), **judge.options
    )
    np.testing.assert_allclose(found, score(metric, name), rtol=1e-4, atol=ATOL)


@pytest.mark.parametrize("metric", METRICS)
def test_images_tables_and_signals_are_declared(metric: str) -> None:
    kinds = METRICS[metric].of_quantus.data_applicability
    assert {kind.value for kind in kinds} >= {"image", "time-series", "tabular"}


def test_nothing_is_warned_of_when_nothing_is_wrong() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for metric in METRICS:
            score(metric, "digits")
