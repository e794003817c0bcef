"""RCAP and explain inside Quantus: its constructor, its call, its evaluate, its re-explaining metrics."""

from __future__ import annotations

import warnings
from pathlib import Path

import matplotlib
import matplotlib.pyplot as plt
import numpy as np
import pytest
import quantus
import torch
from array_forms import FORMS
from captum.attr import Saliency
from quantus.helpers.enums import DataType, EvaluationCategory, ModelType, ScoreDirection
from torch import nn

from captum_gag import (
    AOPC,
    RCAP,
    Deletion,
    Faithfulness,
    GuidedAbsoluteGrad,
    Insertion,
    LogCoshDice,
    SegmentationMAE,
    explain,
    register_with_quantus,
)
from captum_gag.errors import InputError
from captum_gag.metrics import aopc, deletion, faithfulness, insertion, log_cosh_dice, rcap, segmentation_mae
from captum_gag.metrics.quantus import QUANTUS_METRICS

N, CLASSES = 5, 4


@pytest.fixture(scope="module")
def model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(4 * 49, CLASSES)
    ).eval()


@pytest.fixture(scope="module")
def batch() -> dict[str, np.ndarray]:
    generator = np.random.default_rng(0)
    return {
        "x_batch": generator.random((N, 3, 16, 16)).astype(np.float32),
        "y_batch": generator.integers(0, CLASSES, N),
        "a_batch": generator.normal(size=(N, 3, 16, 16)).astype(np.float32),
    }


def expected_scores(model: nn.Module, batch: dict[str, np.ndarray]) -> np.ndarray:
    return rcap(
        model,
        torch.from_numpy(batch["x_batch"]),
        torch.from_numpy(batch["a_batch"]),
        torch.from_numpy(batch["y_batch"]),
    ).numpy()


def test_class_attributes() -> None:
    assert RCAP.score_direction is ScoreDirection.HIGHER
    assert RCAP.evaluation_category is EvaluationCategory.FAITHFULNESS
    assert RCAP.data_applicability == {DataType.IMAGE, DataType.TIMESERIES, DataType.TABULAR}
    assert RCAP.model_applicability == {ModelType.TORCH}


def test_details_hold_the_factors_of_the_last_call(model: nn.Module, batch: dict[str, np.ndarray]) -> None:
    metric = RCAP(lower_bound=60, interval=20)
    assert metric.details == []
    metric(model, **batch, batch_size=2)
    scores = metric(model, **batch, batch_size=2)
    assert len(metric.details) == N
    for detail, score in zip(metric.details, scores, strict=True):
        assert detail["visual_noise"].shape == detail["localization"].shape == (2,)
        assert (detail["visual_noise"] * detail["localization"]).mean() == pytest.approx(score, rel=1e-6)


@pytest.mark.parametrize("layout", ["(N, 1, H, W)", "(N, H, W)", "channel last"])
def test_layouts(model: nn.Module, batch: dict[str, np.ndarray], layout: str) -> None:
    reduced = np.abs(batch["a_batch"]).sum(1)
    given = {**batch, "a_batch": reduced[:, None] if layout == "(N, 1, H, W)" else reduced}
    if layout == "channel last":
        given = {**batch, "x_batch": batch["x_batch"].transpose(0, 2, 3, 1), "channel_first": False}
    np.testing.assert_allclose(RCAP()(model, **given), expected_scores(model, batch), rtol=1e-5)


def test_softmax_is_appended_unless_the_model_ends_in_one(model: nn.Module, batch: dict[str, np.ndarray]) -> None:
    expected = expected_scores(model, batch)
    np.testing.assert_allclose(RCAP()(nn.Sequential(model, nn.Softmax(1)).eval(), **batch), expected, rtol=1e-5)
    assert not np.allclose(RCAP()(model, **batch, softmax=False), expected)


@pytest.mark.parametrize("flag", [{"softmax": "no"}, {"softmax": 0}, {"channel_first": "no"}])
def test_flags_are_true_false_or_none(model: nn.Module, batch: dict[str, np.ndarray], flag: dict[str, object]) -> None:
    with pytest.raises(InputError, match="must be True, False or None"):
        RCAP()(model, **batch, **flag)


@pytest.mark.parametrize("name", ["x_batch", "a_batch", "s_batch"])
def test_what_is_no_array_is_named(model: nn.Module, batch: dict[str, np.ndarray], name: str) -> None:
    given = {**batch, name: batch["x_batch"].tolist()}
    with pytest.raises(InputError, match=f"^{name} is .*, must be a NumPy array of numbers"):
        LogCoshDice()(model, **given)


def test_aggregate_abs_and_normalise(model: nn.Module, batch: dict[str, np.ndarray]) -> None:
    expected = expected_scores(model, batch)
    assert RCAP(return_aggregate=True)(model, **batch) == [pytest.approx(expected.mean(), rel=1e-5)]
    np.testing.assert_allclose(RCAP(abs=True, normalise=True)(model, **batch), expected, rtol=1e-4)


def test_double_precision_images_and_model(model: nn.Module, batch: dict[str, np.ndarray]) -> None:
    given = {**batch, "x_batch": batch["x_batch"].astype(np.float64)}
    np.testing.assert_allclose(RCAP()(model, **given), expected_scores(model, batch), rtol=1e-5)


@pytest.mark.parametrize("disabled", [False, True])
def test_undefined_scores_are_named_once_over_all_batches(
    model: nn.Module, batch: dict[str, np.ndarray], disabled: bool
) -> None:
    maps = batch["a_batch"].copy()
    maps[1], maps[4] = 0.0, np.nan
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        scores = RCAP(disable_warnings=disabled)(model, **{**batch, "a_batch": maps}, batch_size=2)
    assert np.isnan(scores).tolist() == [False, True, False, False, True]
    messages = [str(each.message) for each in caught if "RCAP" in str(each.message)]
    assert len(messages) == (0 if disabled else 1)
    assert disabled or "image 1, 4" in messages[0]


def test_explains_by_itself_when_given_a_function(model: nn.Module, batch: dict[str, np.ndarray]) -> None:
    arguments = {"n_samples": 3, "seed": 0}
    scores = RCAP()(
        model,
        batch["x_batch"],
        batch["y_batch"],
        explain_func=explain,
        explain_func_kwargs=dict(arguments),  # Quantus adds the device to it
        device="cpu",
    )
    maps = GuidedAbsoluteGrad(model).attribute(
        torch.from_numpy(batch["x_batch"]), target=torch.from_numpy(batch["y_batch"]), nt_samples=3, seed=0
    )
    assert maps.shape == batch["x_batch"].shape
    np.testing.assert_allclose(scores, expected_scores(model, {**batch, "a_batch": maps.numpy()}), rtol=1e-5)


def test_evaluate_with_arrays_dicts_and_callables_beside_quantus_own_metrics(
    model: nn.Module, batch: dict[str, np.ndarray]
) -> None:
    results = quantus.evaluate(
        metrics={
            "RCAP": RCAP(),
            "Sparseness": quantus.Sparseness(abs=True, normalise=False, disable_warnings=True),
        },
        xai_methods={
            "GAG": explain,
            "array": batch["a_batch"],
            "Saliency": {"method": "Saliency", "xai_lib": "captum"},
        },
        model=model,
        x_batch=batch["x_batch"],
        y_batch=batch["y_batch"],
        explain_func_kwargs={"n_samples": 3, "seed": 0},
        call_kwargs={"first": {"softmax": True}},
    )
    for method in ("GAG", "array", "Saliency"):
        assert len(results[method]["RCAP"]) == N
        assert len(results[method]["Sparseness"]) == N
    np.testing.assert_allclose(results["array"]["RCAP"], expected_scores(model, batch), rtol=1e-5)


def test_registering_lists_the_metrics_and_may_be_repeated() -> None:
    register_with_quantus()
    register_with_quantus()
    assert quantus.AVAILABLE_METRICS["Faithfulness"]["ReCover And Predict"] is RCAP
    listed = [metric for metrics in quantus.AVAILABLE_METRICS.values() for metric in metrics.values()]
    for metric in QUANTUS_METRICS:
        assert listed.count(metric) == 1


FUNCTIONS = {
    "RCAP": (RCAP(lower_bound=80), lambda *a, s: rcap(*a, lower_bound=80)),
    "Deletion": (Deletion(n_steps=4), lambda *a, s: deletion(*a, n_steps=4)),
    "Insertion": (Insertion(n_steps=4), lambda *a, s: insertion(*a, n_steps=4)),
    "MoRF": (AOPC(n_steps=6), lambda *a, s: aopc(*a, n_steps=6)),
    "LeRF": (AOPC("lerf", n_steps=3, region_size=4), lambda *a, s: aopc(*a, order="lerf", n_steps=3, region_size=4)),
    "Faithfulness": (Faithfulness(n_pixels=9), lambda *a, s: faithfulness(*a, n_pixels=9)),
    "Log-Cosh Dice": (LogCoshDice(), lambda m, x, a, y, s: log_cosh_dice(a, s)),
    "MAE": (SegmentationMAE(), lambda m, x, a, y, s: segmentation_mae(a, s)),
}


@pytest.fixture(scope="module")
def masked(batch: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {**batch, "s_batch": (np.random.default_rng(1).random((N, 1, 16, 16)) > 0.5).astype(int)}


class TestEveryMetric:
    @pytest.mark.parametrize("name", list(FUNCTIONS))
    def test_scores_are_those_of_the_function_whatever_the_batches(
        self, model: nn.Module, masked: dict[str, np.ndarray], name: str
    ) -> None:
        metric, function = FUNCTIONS[name]
        x, y, a, s = (torch.from_numpy(masked[f"{key}_batch"]) for key in "xyas")
        expected = function(model, x, a, y, s=s).numpy()
        for batch_size in (1, 2, 64):
            scores = metric(model, **masked, batch_size=batch_size, device="cpu")
            assert isinstance(scores, list)
            assert all(isinstance(score, float) for score in scores)
            np.testing.assert_allclose(scores, expected, rtol=1e-4, atol=1e-5)
            assert metric.evaluation_scores == scores
            assert len(metric.details) == N
        assert metric.name
        assert metric.score_direction in ScoreDirection

    @pytest.mark.parametrize("name", list(FUNCTIONS))
    def test_plots_its_details(
        self, model: nn.Module, masked: dict[str, np.ndarray], name: str, tmp_path: Path
    ) -> None:
        matplotlib.use("Agg")
        metric, _ = FUNCTIONS[name]
        metric(model, **masked)
        metric.plot(show=False, path_to_save=str(tmp_path / "plot.png"))
        axes = plt.gca()
        key = next(key for key in metric.details[0] if key != "fractions")
        mean = np.mean([np.atleast_1d(each[key]) for each in metric.details], axis=0)
        np.testing.assert_allclose(axes.lines[0].get_ydata(), mean, rtol=1e-6)
        of_pixels = name in ("Deletion", "Insertion")
        assert axes.get_xlabel() == ("share of the pixels" if of_pixels else "step")
        expected = metric.details[0]["fractions"] if of_pixels else np.arange(1, len(mean) + 1)
        np.testing.assert_allclose(axes.lines[0].get_xdata(), expected)
        assert (tmp_path / "plot.png").stat().st_size > 0
        plt.close("all")

    def test_run_in_one_evaluation_beside_quantus_own(self, model: nn.Module, masked: dict[str, np.ndarray]) -> None:
        results = quantus.evaluate(
            metrics={
                **{name: metric for name, (metric, _) in FUNCTIONS.items()},
                "Pixel-Flipping": quantus.PixelFlipping(features_in_step=64, disable_warnings=True),
            },
            xai_methods={"GAG-85": explain, "VG": explain},
            model=model,
            x_batch=masked["x_batch"],
            y_batch=masked["y_batch"],
            s_batch=masked["s_batch"],
            explain_func_kwargs={"n_samples": 3, "seed": 0},
        )
        for method in ("GAG-85", "VG"):
            for name in [*FUNCTIONS, "Pixel-Flipping"]:
                assert len(results[method][name]) == N, (method, name)

    def test_direction_of_aopc_follows_its_order(self) -> None:
        assert AOPC().score_direction is ScoreDirection.HIGHER
        assert AOPC("lerf").score_direction is ScoreDirection.LOWER
        assert AOPC.score_direction is ScoreDirection.HIGHER

    def test_segmentation_metrics_need_a_segmentation(self, model: nn.Module, batch: dict[str, np.ndarray]) -> None:
        with pytest.raises(InputError, match="pass s_batch"):
            LogCoshDice()(model, **batch)


def test_metrics_that_re_explain_run_with_explain(model: nn.Module, batch: dict[str, np.ndarray]) -> None:
    arguments = {
        "x_batch": batch["x_batch"][:2],
        "y_batch": batch["y_batch"][:2],
        "explain_func": explain,
        "explain_func_kwargs": {"n_samples": 3, "seed": 0},
    }
    sensitivity = quantus.MaxSensitivity(nr_samples=2, disable_warnings=True)(model, **arguments)
    assert len(sensitivity) == 2
    # With a seed the noise is the same for both explanations: what is measured is the method, not its noise.
    assert all(0 < score < 10 for score in sensitivity)
    randomisation = quantus.MPRT(return_average_correlation=True, disable_warnings=True)(model, **arguments)
    assert len(randomisation) == 2
    efficient = quantus.EfficientMPRT(disable_warnings=True)(model, **arguments)
    assert len(efficient) == 2
    assert all(np.isfinite(score) for score in [*randomisation, *efficient])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"lower_bond": 40}, "unknown option 'lower_bond'; did you mean lower_bound"),
        ({"interval": 7}, "divides 100 - lower_bound"),
        ({"perturb_baseline": "blakc"}, "unknown perturb_baseline 'blakc'; did you mean black"),
    ],
)
def test_options_are_checked_when_the_metric_is_made(options: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        RCAP(**options)


class TestExplain:
    def test_number_of_samples_is_for_methods_that_sample(self, model: nn.Module, batch: dict[str, np.ndarray]) -> None:
        arguments = (model, batch["x_batch"], batch["y_batch"])
        for name in ("VG", "Sobel", "Grad-CAM", "VG^R"):
            np.testing.assert_array_equal(
                explain(*arguments, method=name, n_samples=3, seed=0), explain(*arguments, method=name, seed=0)
            )
        for name in ("SG", "IG", "GAG-85^R"):
            assert not np.array_equal(
                explain(*arguments, method=name, n_samples=3, seed=0),
                explain(*arguments, method=name, n_samples=4, seed=0),
            )

    def test_method_may_be_type_and_options(self, model: nn.Module, batch: dict[str, np.ndarray]) -> None:
        arguments = (model, batch["x_batch"], batch["y_batch"])
        maps = GuidedAbsoluteGrad(model).attribute(
            torch.from_numpy(batch["x_batch"]),
            target=torch.from_numpy(batch["y_batch"]),
            nt_samples=4,
            percentile=70.0,
            noise_level=0.3,
            seed=1,
        )
        expected = maps.sum(1, keepdim=True).numpy()
        spec = {"type": "GAG", "percentile": 70, "noise_level": 0.3}
        np.testing.assert_allclose(explain(*arguments, method=spec, n_samples=4, seed=1), expected, rtol=1e-6)
        np.testing.assert_allclose(
            explain(*arguments, method="GAG-70", noise_level=0.3, n_samples=4, seed=1), expected, rtol=1e-6
        )

    @pytest.mark.parametrize("signed", [True, False])
    def test_sums_over_channels_keep_the_sign_or_the_magnitudes(
        self, model: nn.Module, batch: dict[str, np.ndarray], signed: bool
    ) -> None:
        found = explain(model, batch["x_batch"], batch["y_batch"], method="VG", signed=signed)
        images = torch.from_numpy(batch["x_batch"])
        maps = Saliency(model).attribute(images, torch.from_numpy(batch["y_batch"]), abs=not signed)
        np.testing.assert_allclose(found, maps.sum(1, keepdim=True).numpy(), rtol=1e-5, atol=1e-7)

    def test_without_a_seed_torchs_generator_decides(self, model: nn.Module, batch: dict[str, np.ndarray]) -> None:
        maps = []
        for seed in (1, 1, 2):
            torch.manual_seed(seed)
            maps.append(explain(model, batch["x_batch"], batch["y_batch"], method="SG", n_samples=2))
        np.testing.assert_array_equal(maps[0], maps[1])
        assert not np.array_equal(maps[0], maps[2])

    @pytest.mark.parametrize("options", [{"percentil": 70}, {"method": "GAG85x"}])
    def test_what_there_is_not_is_refused(
        self, model: nn.Module, batch: dict[str, np.ndarray], options: dict[str, object]
    ) -> None:
        with pytest.raises(InputError, match="unknown"):
            explain(model, batch["x_batch"], batch["y_batch"], **options)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", ["x_batch", "y_batch", "a_batch", "s_batch"])
def test_arrays_of_any_memory(model: nn.Module, batch: dict[str, np.ndarray], form: str, name: str) -> None:
    masks = (batch["a_batch"].sum(1, keepdims=True) > 0).astype(np.int64)
    given = {**batch, "a_batch": np.abs(batch["a_batch"]).sum(1), "s_batch": masks}
    changed = {**given, name: FORMS[form](given[name])}
    if form == "nothing masked" and name != "y_batch":
        with pytest.raises(InputError, match=f"{name} is a MaskedArray .*, must be a NumPy array of numbers"):
            RCAP()(model, **changed)
        return
    for metric in (RCAP(), LogCoshDice()):
        assert metric(model, **changed) == pytest.approx(metric(model, **given), rel=1e-6)
    found = explain(model, changed["x_batch"], changed["y_batch"], method="GB")
    np.testing.assert_allclose(found, explain(model, given["x_batch"], given["y_batch"], method="GB"), rtol=1e-6)
