"""Why a score is NaN is said of each image, truly; what has no meaning is refused in one line, whatever it is."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import captum_gag.metrics as metrics
from captum_gag import baselines, explain
from captum_gag.errors import InputError
from captum_gag.metrics import aopc, deletion, faithfulness, insertion, log_cosh_dice, metric, rcap

MAP_NAN = "the map has a NaN or an infinity in it"
MAP_CONSTANT = "the map is constant, so its pixels have no ranking"
IMAGE = "the image, or what its hidden pixels show, has a NaN or an infinity in it"
MODEL_NAN = "the model returned a NaN or an infinity"
MODEL_CONSTANT = "the output of the model does not change"
SMALL = {"RCAP": {}, "Deletion": {}, "Insertion": {}, "AOPC": {"n_steps": 5}, "Faithfulness": {"n_pixels": 9}}


def linear() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(3 * 36, 4)).eval()


def broken(images: torch.Tensor) -> torch.Tensor:
    """Of a fully shown second image, and of black, it returns NaN; else what ``linear`` does."""
    found = 3 * linear()(images) + 2
    return torch.where((images[:, 0, 0, 0] == 0.25).unsqueeze(1), torch.nan, found)


@pytest.fixture
def case() -> tuple[torch.Tensor, torch.Tensor]:
    images, maps = torch.rand(2, 4, 3, 6, 6, generator=torch.Generator().manual_seed(3))
    return images + 0.3, maps


@pytest.mark.parametrize("name", SMALL)
def test_the_cause_is_said_of_each_image(name: str, case) -> None:
    images, maps = case
    images[0, 1, 2, 3] = torch.nan
    maps[0] = torch.nan
    maps[1] = torch.inf
    maps[2] = 0.5
    images[3, 0, 0, 0], maps[3, :, 0, 0] = 0.25, 0.0
    reading = metric(name, {**SMALL[name], "perturb_baseline": 0.5}).evaluate(broken, images, maps, 0, output="logits")
    undefined = reading.score.isnan().tolist()
    assert undefined[:3] == [True] * 3
    assert reading.causes[:3] == [IMAGE, MAP_NAN, MAP_CONSTANT]
    assert reading.causes[3] == (MODEL_NAN if undefined[3] else "")
    assert undefined[3] == (name != "RCAP")


@pytest.mark.parametrize("name", SMALL)
@pytest.mark.parametrize("place", range(36))
@pytest.mark.parametrize(("of", "cause"), [("image", IMAGE), ("map", MAP_NAN)])
def test_one_broken_pixel_leaves_no_score_wherever_it_is(name: str, place: int, of: str, cause: str, case) -> None:
    # Also where the pixel is one that the metric hides, or does not ask about.
    images, maps = case
    judge = metric(name, {**SMALL[name], "perturb_baseline": 0.5})
    sound = judge.evaluate(linear(), images, maps, 0, output="logits").score
    (images if of == "image" else maps)[1].flatten(1)[:, place] = torch.nan
    reading = judge.evaluate(linear(), images, maps, 0, output="logits")
    assert reading.causes == ["", cause, "", ""]
    assert reading.score[1].isnan()
    others = [0, 2, 3]
    torch.testing.assert_close(reading.score[others], sound[others], rtol=1e-5, atol=1e-6)


def test_a_model_that_does_not_change_is_not_the_maps_fault(case) -> None:
    images, maps = case
    with pytest.warns(UserWarning, match=f"Faithfulness is NaN for image 0, 1, 2, 3: {MODEL_CONSTANT}"):
        faithfulness(lambda x: torch.full((len(x), 3), 2.0), images, maps, 0, n_pixels=9)


def test_several_causes_are_one_warning(case) -> None:
    images, maps = case
    maps[0], maps[1], maps[3] = 1, torch.nan, 2
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        rcap(lambda x: linear()(x) + 2, images, maps, 0)
        metrics.RCAP(output="logits")(linear(), images.numpy(), np.zeros(4, int), maps.numpy(), batch_size=1)
    said = f"RCAP is NaN for image 0, 1, 3: {MAP_CONSTANT} (image 0, 3); {MAP_NAN} (image 1)."
    # The first call of a Quantus metric imports it, which some versions of Python and NumPy warn of.
    assert [str(each.message) for each in caught if each.category is UserWarning] == [said, said]


def test_segmentation_metrics_say_it_too() -> None:
    maps = torch.rand(3, 4, 4)
    maps[0], maps[2] = 0, torch.nan
    with pytest.warns(UserWarning, match=rf"{MAP_CONSTANT} \(image 0\); {MAP_NAN} \(image 2\)"):
        log_cosh_dice(maps, torch.ones(3, 4, 4))


def test_a_deviation_of_0_is_refused_before_anything_is_divided_by_it(case) -> None:
    images, maps = case
    for call in (
        lambda: rcap(linear(), images, maps, 0, normalization=([0.5] * 3, [0.2, 0.0, 0.2])),
        *(
            lambda made=made: made(normalization=([0.5] * 3, [0.2, 0.0, 0.2]))
            for made in (metrics.RCAP, metrics.Deletion, metrics.Insertion, metrics.AOPC, metrics.Faithfulness)
        ),
        lambda: baselines.black(((0.5,), (0.0,)))(images),
        lambda: baselines.resolve("mean", ((0.5,), (-1.0,))),
        lambda: baselines.resolve(0.3, ((torch.nan,), (1.0,))),
    ):
        with pytest.raises(InputError, match="expected finite numbers and deviations above 0"):
            call()


@pytest.mark.parametrize("size", [True, 0, -1, 2.0, "2"])
def test_a_number_of_images_that_is_none_is_refused(size: Any, case) -> None:
    with pytest.raises(InputError, match=rf"^internal_batch_size is {size!r}, must be an integer >= 1 or None"):
        deletion(linear(), *case, 0, internal_batch_size=size)


def test_precision_and_device_of_the_model_are_named(case) -> None:
    images, maps = case
    with pytest.raises(InputError, match=r"inputs are torch.float64 on cpu and the model is torch.float32 on cpu"):
        deletion(linear(), images.double(), maps, 0)
    with pytest.raises(InputError, match=r"the model is torch\.float32 on meta"):
        deletion(linear().to("meta"), images, maps, 0)


def test_an_error_of_the_models_own_stays_its_own(case) -> None:
    def failing(x: torch.Tensor) -> torch.Tensor:
        raise RuntimeError("mine")

    with pytest.raises(RuntimeError, match=r"^mine$"):
        deletion(failing, *case, 0)


MEANINGLESS = (
    None, "", "text", 3, -1, 0.5, float("nan"), True, [], (), {}, {"a": 1}, [1, [2, 3]], object(), np.zeros(3),
    np.int64(7), 10**400, float("inf"), b"bytes", {1, 2}, "captum_gag:nothing",
    torch.tensor(1.0), torch.zeros(0), torch.zeros(4), torch.zeros(4, 3, 6, 6, dtype=torch.int64),
    torch.zeros(4, 3, 6, 6, dtype=torch.complex64), torch.zeros(4, 0, 6), torch.zeros(2, 3, 6, 6), lambda: None,
    torch.zeros(4, device="meta"), torch.zeros(4, 3, 6, 6).to_sparse(),
)  # fmt: skip
FUNCTIONS = {"rcap": rcap, "deletion": deletion, "insertion": insertion, "aopc": aopc, "faithfulness": faithfulness}
PLACES = (
    "inputs", "maps", "target", "output", "channel_axis", "internal_batch_size", "perturb_baseline", "normalization",
)  # fmt: skip


def only_input_errors(call: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            call()
        except InputError as error:
            said = str(error)
        else:
            return
    assert len(said) > 20
    assert "\n" not in said


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_refuse_in_one_line_what_has_no_meaning(name: str, place: str, case) -> None:
    images, maps = case
    sized = {"n_steps": 3} if name in ("deletion", "insertion", "aopc") else {}
    sized = {"n_pixels": 5} if name == "faithfulness" else sized
    for value in MEANINGLESS:
        if place == "output" and callable(value):
            continue
        if place == "perturb_baseline" and callable(value):
            continue
        given = {"inputs": images, "maps": maps, "target": 0, place: value}
        only_input_errors(lambda given=given: FUNCTIONS[name](linear(), **given, **sized))


@pytest.mark.parametrize("name", FUNCTIONS)
def test_options_are_refused_in_one_line(name: str, case) -> None:
    for option in (
        "n_steps",
        "lower_bound",
        "interval",
        "order",
        "region_size",
        "seed",
        "n_pixels",
        "other",
    ):
        for value in MEANINGLESS:
            only_input_errors(lambda o=option, v=value: FUNCTIONS[name](linear(), *case, 0, **{o: v}))


def test_losses_baselines_and_curves_refuse_in_one_line(case) -> None:
    images, maps = case
    curves = {"m": maps}, 0, {"RCAP": metric("RCAP", {})}
    for value in MEANINGLESS:
        only_input_errors(lambda v=value: log_cosh_dice(v, torch.ones(4, 6, 6)))
        only_input_errors(lambda v=value: log_cosh_dice(maps, v))
        only_input_errors(lambda v=value: metrics.evaluate(linear(), images, v, *curves[1:]))
        only_input_errors(lambda v=value: metrics.evaluate(linear(), images, {"m": v}, *curves[1:]))
        only_input_errors(lambda v=value: metrics.evaluate(linear(), images, curves[0], 0, v))
        only_input_errors(lambda v=value: metrics.evaluate(linear(), images, curves[0], 0, {"a": v}))
        only_input_errors(lambda v=value: baselines.perturb_func(0.0, v))
        for name in baselines.BASELINES:
            only_input_errors(lambda v=value, n=name: baselines.resolve(n)(v))
            only_input_errors(lambda v=value, n=name: baselines.resolve(n, v)(images))
            only_input_errors(lambda v=value, n=name: baselines.BASELINES[n](v)(images))
        only_input_errors(lambda v=value: baselines.constant(v)(images))
        only_input_errors(lambda v=value: baselines.blur(sigma=v)(images))
        only_input_errors(lambda v=value: baselines.blur(kernel_size=v)(images))
        only_input_errors(lambda v=value: baselines.uniform_rgb(seed=v)(images))
        if not callable(value):
            only_input_errors(lambda v=value: baselines.resolve(v)(images))


@pytest.mark.parametrize("place", ["inputs", "targets", "method", "seed", "output", "channel_axis", "n_samples"])
def test_explain_refuses_in_one_line(place: str, case) -> None:
    for value in MEANINGLESS:
        if place == "output" and callable(value):
            continue
        given = {"inputs": case[0].numpy(), "targets": [0, 1, 2, 3], "method": "SG", "n_samples": 2, place: value}
        only_input_errors(lambda given=given: explain(linear(), **given))


@pytest.mark.parametrize("model", [None, 3, "text", object(), [], nn.Dropout().train()])
def test_what_is_no_model_is_refused(model: Any, case) -> None:
    for function in FUNCTIONS.values():
        with pytest.raises(InputError):
            function(model, *case, 0)
    with pytest.raises(InputError):
        explain(model, case[0].numpy(), [0] * 4, method="VG")
