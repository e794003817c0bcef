"""The situations of Quantus's own tests of metrics, with every metric of this package.

Its LeNet on digits, a network of photographs, 1-D convolutions on signals in both layouts, a table of passengers with a
softmax in the model; maps given, or explained by Quantus; every option that its metrics share; and its ``evaluate``.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import partial
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

from captum_gag import AOPC, RCAP, Deletion, Faithfulness, Insertion, LogCoshDice, SegmentationMAE, explain
from captum_gag.errors import InputError
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
FEWER = {"small digits": 64, "signals": 100, "signals of one channel": 28, "passengers": 12}
"""Positions of the inputs, which are all that a default of 100 takes."""
TAKEN_BY_DEFAULT: dict[str, dict[str, Options]] = {
    "MoRF": {name: {"n_steps": positions} for name, positions in FEWER.items()},
    "LeRF": {name: {"n_steps": positions} for name, positions in FEWER.items()},
    "Faithfulness": {name: {"n_pixels": positions} for name, positions in FEWER.items()},
}
MASKING = [name for name, metric in METRICS.items() if not metric.masks]


def situation(name: str) -> Situation:
    torch.manual_seed(0)
    numbers = np.random.default_rng(0)

    def data(*shape: int, classes: int = CLASSES) -> tuple[NDArray[Any], NDArray[Any]]:
        return numbers.random((N, *shape)).astype(np.float32), numbers.integers(0, classes, N)

    if name == "digits":
        return Situation(LeNet().eval(), *data(1, 28, 28), True)
    if name == "small digits":
        return Situation(nn.Sequential(nn.Flatten(), nn.Linear(64, CLASSES)).eval(), *data(1, 8, 8), True)
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


@pytest.mark.filterwarnings(BY_SOFTMAX)
@pytest.mark.parametrize("name", ["small digits", "signals", "signals of one channel", "passengers"])
@EVERY_METRIC
def test_defaults_fit_what_they_are_declared_for(metric: str, name: str) -> None:
    there, judge = situation(name), METRICS[metric]
    options = {key: value for key, value in judge.options.items() if key == "order"}
    kind = {2: "tabular", 3: "time-series", 4: "image"}[there.x_batch.ndim]
    given = (there.model, there.x_batch, there.y_batch, there.maps(), there.masks() if judge.masks else None)
    metric_object = judge.of_quantus(**options)
    applies = kind in {each.value for each in metric_object.data_applicability}
    assert applies == (metric != "Insertion" or kind != "tabular")
    assert metric_object.data_applicability == judge.of_quantus.data_applicability
    if applies:
        assert np.isfinite(metric_object(*given, channel_first=True)).all()
        fits = judge.of_quantus(**options, **TAKEN_BY_DEFAULT.get(metric, {}).get(name, {}))
        assert fits(*given, channel_first=True) == metric_object(*given, channel_first=True)
    else:
        with pytest.raises(InputError, match=r"signals .* and images .*, not for inputs \(6, 12\); pass perturb_b"):
            metric_object(*given)
        assert "tabular" in {each.value for each in judge.of_quantus(perturb_baseline="mean").data_applicability}


@pytest.mark.parametrize("name", ["digits", "passengers"])
@EVERY_METRIC
@pytest.mark.filterwarnings(BY_SOFTMAX)
def test_tensors_are_taken_for_arrays(metric: str, name: str) -> None:
    there, judge = situation(name), METRICS[metric]
    call = {"a_batch": torch.from_numpy(there.maps()), "s_batch": torch.from_numpy(there.masks()), "batch_size": 4}
    found = judge.of_quantus(**judge.options)(
        there.model, torch.from_numpy(there.x_batch).requires_grad_(), torch.from_numpy(there.y_batch), **call
    )
    assert found == score(metric, name, {"batch_size": 4})


@EVERY_METRIC
def test_a_custom_batch_is_taken_as_quantus_metrics_take_it(metric: str) -> None:
    entries = [(1, 1, 0, 0)] * N
    for custom in (entries, np.array(entries), {"mosaics": 1}, None):
        assert score(metric, "digits", {"custom_batch": custom, "batch_size": 4}) == score(
            metric, "digits", {"batch_size": 4}
        )
    with pytest.raises(InputError, match=r"custom_batch. has incorrect length \(expected: 6, is: 5\)"):
        score(metric, "digits", {"custom_batch": entries[1:]})


@pytest.mark.parametrize("metric", ["Dice", "MAE"])
@pytest.mark.parametrize("model", [None, nn.Linear(1, 1), nn.Dropout()])
def test_a_segmentation_is_compared_without_the_model(metric: str, model: nn.Module | None) -> None:
    there = situation("photographs")._replace(model=model)
    found = METRICS[metric].of_quantus()(model, there.x_batch, there.y_batch, there.maps(), there.masks())
    assert found == score(metric, "photographs")


@pytest.mark.parametrize("metric", MASKING)
def test_a_model_is_needed_by_the_others(metric: str) -> None:
    there = situation("digits")
    with pytest.raises(InputError, match=r"^model is None, must be a torch module"):
        METRICS[metric].of_quantus()(None, there.x_batch, there.y_batch, there.maps())


@EVERY_METRIC
def test_an_empty_batch_is_refused_in_one_line(metric: str) -> None:
    there, judge = situation("digits"), METRICS[metric]
    empty = [each[:0] for each in (there.x_batch, there.y_batch, there.maps(), there.masks())]
    with pytest.raises(InputError, match=r"^x_batch is empty, \(0, 1, 28, 28\), must have one or more images"):
        judge.of_quantus()(there.model, *empty)
    if not judge.masks:
        x, y, maps = map(torch.from_numpy, empty[:3])
        with pytest.raises(InputError, match="with N >= 1"):
            judge.function(there.model, x, maps, y)


@pytest.mark.parametrize("label", ["mine", "Saliency", "IG"])
def test_a_partial_of_explain_is_evaluated_under_any_label(label: str) -> None:
    there = situation("digits")
    options = {"seed": 0, "n_samples": 3}
    metrics = {"RCAP": RCAP(), "again": quantus.MaxSensitivity(nr_samples=2, disable_warnings=True)}
    methods = {label: partial(explain, method="GAG-85"), "GAG-85": explain, "VG": explain}
    data = {"x_batch": there.x_batch[:2], "y_batch": there.y_batch[:2], "explain_func_kwargs": options}
    found = quantus.evaluate(metrics, methods, there.model, **data)
    assert found[label]["RCAP"] == found["GAG-85"]["RCAP"] != found["VG"]["RCAP"]
    assert all(len(scores["again"]) == 2 for scores in found.values())
    tensors = {name: torch.from_numpy(data[name]) for name in ("x_batch", "y_batch")}
    again = quantus.evaluate({"RCAP": RCAP()}, methods, there.model, **{**data, **tensors})
    assert all(again[name]["RCAP"] == found[name]["RCAP"] for name in methods)


def test_nothing_is_warned_of_when_nothing_is_wrong() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for metric in METRICS:
            score(metric, "digits")
