"""The door of every attribution: what comes in, what a model returns, what is not finite, what has no meaning."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from captum.attr import IntegratedGradients, Saliency
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from captum_gag.attr import (
    BlurIG,
    BlurPath,
    GaussianNoise,
    GuidedAbsoluteGrad,
    GuidedIG,
    GuidedMean,
    GuidedPath,
    LayerGuidedAbsoluteGrad,
    SampledGradients,
    StraightPath,
    reverse_saliency,
    saliency_map,
)
from captum_gag.attr.catalogue import method
from captum_gag.attr.examples import checked_target
from captum_gag.attr.methods import shared_gradients
from captum_gag.errors import InputError
from captum_gag.metrics import metric, rcap

METHODS = ["GAG-85", "SG", "IG", "Guided IG", "Blur IG"]


def network() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 16, 5)).eval()


@pytest.fixture
def images() -> Tensor:
    return torch.rand(3, 3, 6, 6, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def model() -> nn.Sequential:
    return network()


@dataclass
class Output:
    logits: Tensor
    hidden: Tensor


class Wrapped(nn.Module):
    """A model that returns its scores in something."""

    def __init__(self, model: nn.Module, wrap: Callable[[Tensor], Any]) -> None:
        super().__init__()
        self.model, self.wrap = model, wrap

    def forward(self, x: Tensor) -> Any:
        return self.wrap(self.model(x))


def captum_level(model: Any) -> dict[str, Callable[..., Tensor]]:
    return {
        "GuidedAbsoluteGrad": lambda x, **given: GuidedAbsoluteGrad(model).attribute(x, nt_samples=3, seed=0, **given),
        "SampledGradients": lambda x, **given: SampledGradients(model, StraightPath(4)).attribute(x, **given),
        "GuidedIG": lambda x, **given: GuidedIG(model).attribute(x, n_steps=4, **given),
        "BlurIG": lambda x, **given: BlurIG(model).attribute(x, n_steps=4, max_sigma=2, **given),
    }


BY_CLASS = pytest.mark.parametrize("name", captum_level(None))


class TestWhatAModelReturns:
    @BY_CLASS
    @pytest.mark.parametrize(
        "wrap",
        [
            lambda scores: (scores,),
            lambda scores: {"logits": scores, "hidden": 2 * scores},
            lambda scores: {"out": scores},
            lambda scores: Output(scores, 2 * scores),
        ],
        ids=["tuple", "dict of logits", "dict of out", "dataclass"],
    )
    def test_scores_are_taken_out(self, model: nn.Module, images: Tensor, name: str, wrap: Any) -> None:
        expected = captum_level(model)[name](images, target=[0, 1, 2])
        assert torch.equal(captum_level(Wrapped(model, wrap))[name](images, target=[0, 1, 2]), expected)
        assert torch.equal(captum_level(lambda x: wrap(model(x)))[name](images, target=[0, 1, 2]), expected)

    @pytest.mark.parametrize(
        ("wrap", "message"),
        [
            (lambda scores: (scores, scores), "expected a tensor"),
            (lambda scores: None, "forward_func returned None"),
            (lambda scores: scores.detach(), "has no gradient"),
            (lambda scores: scores.detach().numpy(), "returned a ndarray"),
            (lambda scores: scores.argmax(1), "of int64"),
            (lambda scores: scores.sum(), r"returns \(1,\) for 3 of them; .* rows=\"together\""),
            (lambda scores: scores[:2], r"returns \(2, 5\) for 3 of them"),
        ],
    )
    def test_what_is_no_score_is_refused(self, model: nn.Module, images: Tensor, wrap: Any, message: str) -> None:
        with pytest.raises(InputError, match=message):
            GuidedAbsoluteGrad(lambda x: wrap(model(x))).attribute(images, 0, nt_samples=3)

    @pytest.mark.parametrize(
        ("target", "message"),
        [
            (None, "target is None .* give 1 indices"),
            (5, r"target is 5 for outputs of shape \(N, 5\)"),
            ([0, 1, 9], "target is 9"),
            ((0, 1), "expected 1 indices"),
            ([0, 1], "one for each of the 3 images"),
            (-1, "target is -1"),
            (True, "target is True"),
            ("cat", "target is 'cat'"),
            (1.5, "target is 1.5"),
            (torch.eye(3), "one-hot"),
            (torch.tensor([0.0, 1.5, 2.0]), "float32"),
            ([None, 1, 2], "target is"),
            ([], r"target is \[\]"),
        ],
        ids=repr,
    )
    @BY_CLASS
    def test_targets_that_select_nothing(
        self, model: nn.Module, images: Tensor, name: str, target: Any, message: str
    ) -> None:
        with pytest.raises(InputError, match=message):
            captum_level(model)[name](images, target=target)

    def test_a_target_for_each_pixel_of_a_segmentation(self, images: Tensor) -> None:
        # A convolution of 1 x 1: the score at a place depends on that place alone, by the weights of its class.
        model = nn.Conv2d(3, 4, 1)
        expected = torch.zeros_like(images)
        expected[:, :, 2, 3] = model.weight[1, :, 0, 0].detach().abs()
        for target in ((1, 2, 3), [(1, 2, 3)] * 3):
            found = GuidedAbsoluteGrad(model).attribute(images, target, percentile=0)
            torch.testing.assert_close(found, expected)
            torch.testing.assert_close(method("GAG-0").attribute(model, images, target), expected)
        slices = (1, slice(2, 3), slice(3, 4))
        torch.testing.assert_close(GuidedAbsoluteGrad(model).attribute(images, slices, percentile=0), expected)
        with pytest.raises(InputError, match="36 scores of each example"):
            GuidedAbsoluteGrad(model).attribute(images, 1)

    def test_declared_outputs_reach_every_method(self, model: nn.Module, images: Tensor) -> None:
        probabilities = nn.Sequential(model, nn.Softmax(1)).eval()
        odds = Wrapped(probabilities, torch.log)
        for name in METHODS:
            given = method(name)
            found = given.attribute(model, images, 1, output=lambda scores: scores.log_softmax(1))
            torch.testing.assert_close(given.attribute(odds, images, 1, output="log_probabilities"), found)
            with pytest.raises(InputError, match="sum to 1"):
                given.attribute(probabilities, images, 1, output="logits")
            with pytest.raises(InputError, match="unknown output 'odds'"):
                given.attribute(model, images, 1, output="odds")

    def test_one_logit_is_the_score_of_the_second_class(self, model: nn.Module, images: Tensor) -> None:
        binary = Wrapped(model, lambda scores: scores[:, :1])
        plain = method("IG").attribute(model, images, 0)
        torch.testing.assert_close(method("IG").attribute(binary, images, 1, output="logit"), plain)
        torch.testing.assert_close(method("IG").attribute(binary, images, 0, output="logit"), -plain)


class TestInputs:
    @pytest.mark.parametrize("shape", [(2, 7), (2, 3, 9), (2, 5, 4), (2, 3, 4, 5, 6)])
    @pytest.mark.parametrize("name", ["GAG-0", "SG", "IG", "Guided IG"])
    def test_of_any_dimensions(self, shape: tuple[int, ...], name: str) -> None:
        # A linear model: every gradient is the weight, every path ends at weight times input.
        x = torch.rand(shape, generator=torch.Generator().manual_seed(0))
        model = nn.Sequential(nn.Flatten(), nn.Linear(x[0].numel(), 3)).eval()
        weight = model[1].weight[1].detach().reshape(1, *shape[1:]).expand(shape)  # type: ignore[index]
        expected = {"GAG-0": weight.abs(), "SG": weight}.get(name, weight * x)
        torch.testing.assert_close(method(name).attribute(model, x, 1), expected, rtol=1e-4, atol=1e-6)

    def test_blur_wants_positions(self) -> None:
        x = torch.rand(2, 3, 9)
        model = nn.Sequential(nn.Flatten(), nn.Linear(27, 3)).eval()
        assert method("Blur IG").attribute(model, x, 1).shape == x.shape
        with pytest.raises(InputError, match="only that can be blurred"):
            method("Blur IG").attribute(nn.Linear(7, 3), torch.rand(2, 7), 1)

    def test_lists_in_additional_arguments_are_passed_whole(self, images: Tensor) -> None:
        seen = []

        def forward(x: Tensor, names: list[str], rows: Tensor, scale: Tensor, number: float) -> Tensor:
            seen.append((names, len(rows) == len(x), tuple(scale.shape), number))
            return (x.flatten(1) * rows).sum(1) * scale.sum()

        extra = (["a", "b", "c"], torch.rand(3, 1), torch.ones(2), 0.5)
        found = GuidedAbsoluteGrad(forward).attribute(images, None, extra, nt_samples=4, nt_samples_batch_size=1)
        # Four passes ask the model, for there is an argument of as many rows; four explain.
        assert seen == [(["a", "b", "c"], True, (2,), 0.5)] * 8
        # Also where there are as many entries as modified examples.
        SampledGradients(forward, StraightPath(1)).attribute(images, None, extra, internal_batch_size=2)
        assert [len(names) for names, *_ in seen] == [3] * len(seen)
        assert found.shape == images.shape

    @pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode, torch.enable_grad])
    @pytest.mark.parametrize("name", [*METHODS, "Saliency"])
    def test_gradient_modes_of_the_caller(self, model: nn.Module, images: Tensor, name: str, mode: Any) -> None:
        expected = method(name).attribute(model, images, 1)
        with mode():
            found = method(name).attribute(model, images.clone(), 1)
        assert torch.equal(found, expected)
        assert not found.requires_grad

    def test_half_precision_does_not_underflow(self) -> None:
        # A gradient of 1e-4 and a guide of about 1e-5: their product, 1e-9, is 0 in half precision.
        x = torch.rand(2, 1, 4, 4).half()
        found = GuidedAbsoluteGrad(lambda x: (0.01 * x.float() ** 2).flatten(1).sum(1)).attribute(x, seed=0)
        assert found.dtype == torch.float32
        assert bool((found > 0).all())
        assert int((found.half() == 0).sum()) > 0

    def test_methods_return_at_least_single_precision(self, images: Tensor) -> None:
        for dtype in (torch.float16, torch.bfloat16, torch.float32, torch.float64):
            found = method("IG").attribute(network().to(dtype), images.to(dtype), 1)
            assert found.dtype == torch.promote_types(dtype, torch.float32)

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            (lambda x: x.double(), "inputs have dtype torch.float64, the model's weights torch.float32"),
            (lambda x: x[:, :2], r"does not take inputs of shape \[\(9, 2, 6, 6\)\]"),
            (lambda x: x[0, 0], "does not take inputs of shape"),
            (lambda x: x.to_sparse(), "layout torch.sparse_coo"),
            (lambda x: x.to("meta"), "on meta"),
            (lambda x: x[0, 0, 0, 0], r"shapes \[\(\)\]"),
            (lambda x: (), "empty tuple"),
            (lambda x: (x, None), "inputs contain None"),
        ],
    )
    def test_inputs_that_do_not_fit(self, model: nn.Module, images: Tensor, change: Any, message: str) -> None:
        with pytest.raises(InputError, match=message):
            GuidedAbsoluteGrad(model).attribute(change(images), 0, nt_samples=3)

    def test_weights_elsewhere(self, model: nn.Module, images: Tensor) -> None:
        with pytest.raises(InputError, match="inputs have device cpu, the model's weights meta"):
            GuidedAbsoluteGrad(model.to("meta")).attribute(images, 0)

    def test_an_input_without_gradient(self, model: nn.Module, images: Tensor) -> None:
        with pytest.raises(InputError, match="does not depend on all of the inputs"):
            GuidedAbsoluteGrad(lambda a, b: model(a)).attribute((images, images), 0)


NETWORKS = {
    "relu": network,
    "linear": lambda: nn.Sequential(nn.Flatten(), nn.Linear(108, 5)).eval(),
    "batch norm": lambda: nn.Sequential(nn.Conv2d(3, 5, 6), nn.BatchNorm2d(5), nn.Flatten()).eval(),
    "max pool": lambda: nn.Sequential(nn.Conv2d(3, 5, 3), nn.MaxPool2d(4), nn.Flatten()).eval(),
}


@pytest.mark.parametrize("value", [torch.nan, torch.inf, -torch.inf])
@pytest.mark.parametrize("kind", NETWORKS)
class TestNotFinite:
    @BY_CLASS
    def test_its_map_is_nan_and_its_neighbours_are_untouched(
        self, images: Tensor, kind: str, value: float, name: str
    ) -> None:
        explain = captum_level(NETWORKS[kind]())[name]
        broken = images.clone()
        broken[1, 2, 0, 3] = value
        found, expected = explain(broken, target=[0, 1, 2]), explain(images, target=[0, 1, 2])
        assert bool(found[1].isnan().all())
        assert torch.equal(found[[0, 2]], expected[[0, 2]])
        assert bool(explain(broken[1:2], target=0).isnan().all())

    def test_through_methods(self, images: Tensor, kind: str, value: float) -> None:
        model = NETWORKS[kind]()
        broken = images.clone()
        broken[1, 2, 0, 3] = value
        methods = [method(name) for name in ("GAG-85", "SG", "VarGrad")]
        results = [each.attribute(model, broken, [0, 1, 2]) for each in [*methods, method("Sobel"), method("Saliency")]]
        results += shared_gradients(methods, model, broken, [0, 1, 2])
        others = [*methods, method("Sobel"), method("Saliency")]
        straight = [each.attribute(model, images, [0, 1, 2]) for each in others]
        straight += shared_gradients(methods, model, images, [0, 1, 2])
        for found, expected in zip(results, straight, strict=True):
            assert bool(found[1].isnan().all())
            assert torch.equal(found[[0, 2]], expected[[0, 2]])


def test_one_of_two_inputs_that_is_not_finite_spoils_both_maps() -> None:
    a, b = torch.rand(2, 3), torch.rand(2, 4)
    b[1, 0] = torch.nan
    found = GuidedAbsoluteGrad(lambda a, b: (a**2).sum(1) + (b**2).sum(1)).attribute((a, b), percentile=0)
    assert [each.isnan().all(1).tolist() for each in found] == [[False, True]] * 2


@settings(max_examples=60, deadline=None)
@given(
    labels=st.lists(st.integers(0, 9), min_size=2, max_size=6),
    form=st.sampled_from(
        [list, np.array, torch.tensor, lambda x: [np.int32(i) for i in x], lambda x: np.array(x)[:, None]]
    ),
)
def test_every_form_of_labels_is_the_same_list(labels: list[int], form: Any) -> None:
    assert checked_target(form(labels), len(labels)) == labels


MEANINGLESS: list[Any] = [
    None, "3", b"", 2.5, -1, 0, True, float("nan"), float("inf"), -0.5, 2**70, 1e300, [], (), {}, {"a": 1}, object(),
    int, len, [None], (None,), ("a", "b"), [[1], [2, 3]], np.zeros((2, 2)), np.array("a"), np.float32(-3), np.bool_(1),
    torch.tensor(3), torch.zeros(0), torch.zeros(2), torch.zeros(2, 2), torch.zeros(3, 3, 6, 6),
    torch.full((3, 3, 6, 6), torch.nan), torch.zeros(3, 3, 6, 6, dtype=torch.long), torch.zeros(1, 1, 1, 1, 1, 1, 1),
    torch.zeros(3, 3, 6, 6, dtype=torch.complex64), (torch.zeros(3, 3, 6, 6), torch.zeros(2, 3)), nn.Identity(),
]  # fmt: skip


def _calls() -> dict[str, tuple[Callable[..., Any], dict[str, Any]]]:
    """Return every public function of the room, with arguments that are right."""
    model = network()
    x = torch.rand(3, 3, 6, 6, generator=torch.Generator().manual_seed(1))
    few = {"inputs": x, "target": 0, "nt_samples": 2, "seed": 0}
    return {
        "GuidedAbsoluteGrad": (GuidedAbsoluteGrad(model).attribute, few),
        "LayerGuidedAbsoluteGrad": (LayerGuidedAbsoluteGrad(model, model[0]).attribute, few),
        "SampledGradients": (SampledGradients(model, StraightPath(2)).attribute, {"inputs": x, "target": 0}),
        "GuidedIG": (GuidedIG(model).attribute, {"inputs": x, "target": 0, "n_steps": 2}),
        "BlurIG": (BlurIG(model).attribute, {"inputs": x, "target": 0, "n_steps": 2, "max_sigma": 1.0}),
        "Method": (method("SG", n_samples=2).attribute, {"model": model, "inputs": x, "target": 0}),
        "shared_gradients": (
            shared_gradients,
            {"methods": [method("SG", n_samples=2)], "model": model, "inputs": x, "target": 0},
        ),
        "GaussianNoise": (GaussianNoise, {}),
        "GuidedMean": (GuidedMean, {}),
        "StraightPath": (StraightPath, {}),
        "GuidedPath": (GuidedPath, {}),
        "BlurPath": (BlurPath, {}),
        "GuidedAbsoluteGrad()": (GuidedAbsoluteGrad, {"forward_func": model}),
        "SampledGradients()": (SampledGradients, {"forward_func": model, "modification": StraightPath(2)}),
        "LayerGuidedAbsoluteGrad()": (LayerGuidedAbsoluteGrad, {"forward_func": model, "layer": model[0]}),
        "saliency_map": (saliency_map, {"attributions": x}),
        "reverse_saliency": (reverse_saliency, {"maps": x[:, 0], "seed": 0}),
    }


CALLS = _calls()
PLACES = [
    (name, argument)
    for name, (function, known) in CALLS.items()
    for argument in dict.fromkeys([*known, *inspect.signature(function).parameters])
    if argument not in ("options", "additional_forward_args")
]


@pytest.mark.parametrize(("name", "argument"), PLACES)
@pytest.mark.filterwarnings("ignore")
def test_arguments_without_meaning_are_refused_by_name(name: str, argument: str) -> None:
    function, known = CALLS[name]
    function(**known)
    complaints: list[Any] = []
    for value in MEANINGLESS:
        if argument in ("model", "output", "forward_func", "gradient_source") and callable(value):
            continue
        try:
            function(**{**known, argument: value})
        except (InputError, TypeError) as error:
            words = {argument, "targets" if argument == "target" else argument, *_OTHER_WORDS.get(argument, ())}
            complaints += [] if any(word in str(error) for word in words) else [(value, error)]
    assert not complaints


_OTHER_WORDS = {
    "baselines": ("baseline",),
    "inputs": ("positional arguments",),
    "nt_samples": ("at least 2 samples",),
    "attributions": ("Attributions",),
    "forward_func": ("returned",),
    "model": ("weights", "model", "takes"),
    "methods": ("methods", "same gradients"),
}


@pytest.mark.filterwarnings("ignore:`torch.jit")
@pytest.mark.parametrize(
    "wrap",
    [
        torch.jit.script,
        lambda model: torch.jit.trace(model, torch.rand(1, 3, 6, 6)),
        nn.DataParallel,
        lambda model: torch.compile(model, backend="eager"),
        lambda model: lambda x: (model(x),),
    ],
    ids=["script", "trace", "DataParallel", "compile", "function"],
)
def test_wrappers_change_nothing(model: nn.Module, images: Tensor, wrap: Any) -> None:
    for name in METHODS:
        expected = method(name).attribute(model, images, [0, 1, 2])
        torch.testing.assert_close(method(name).attribute(wrap(model), images, [0, 1, 2]), expected)
    for hooks in (model._forward_hooks, model._forward_pre_hooks, model._backward_hooks):
        assert not hooks


class TestAgainstCaptum:
    """What came through the door is what Captum's own classes give."""

    def test_saliency_and_integrated_gradients(self, model: nn.Module, images: Tensor) -> None:
        target = [0, 1, 2]
        leaf = images.clone().requires_grad_()
        torch.testing.assert_close(
            method("VG").attribute(model, images, target), Saliency(model).attribute(leaf, target=target, abs=False)
        )
        torch.testing.assert_close(
            method("IG").attribute(model, images, target),
            IntegratedGradients(model).attribute(images, target=target, n_steps=20).float(),
            rtol=1e-4,
            atol=1e-6,
        )


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(broken=st.sets(st.integers(0, 3)), seed=st.integers(0, 3))
def test_exactly_the_broken_examples_are_nan(broken: set[int], seed: int) -> None:
    x = torch.rand(4, 2, 3, generator=torch.Generator().manual_seed(seed))
    x[sorted(broken), 0, 0] = torch.inf
    found = GuidedAbsoluteGrad(lambda x: (x**2).flatten(1).sum(1)).attribute(x, nt_samples=2, seed=seed)
    assert found.flatten(1).isnan().all(1).nonzero().flatten().tolist() == sorted(broken)
    assert found.flatten(1).isnan().any(1).nonzero().flatten().tolist() == sorted(broken)


def test_parts_of_a_users_own_that_return_nothing_are_refused(model: nn.Module, images: Tensor) -> None:
    parts = {"interpretation": "interpretation returned None", "gradient_source": "gradient_source returned None"}
    for part, message in {**parts, "aggregation": "aggregation returned None"}.items():
        with pytest.raises(InputError, match=message):
            SampledGradients(model, StraightPath(2), **{part: lambda *given: None}).attribute(images, 0)


def test_arguments_that_the_model_does_not_take(model: nn.Module, images: Tensor) -> None:
    for attribution in (GuidedAbsoluteGrad(model), LayerGuidedAbsoluteGrad(model, model[0])):  # type: ignore[index]
        with pytest.raises(InputError, match=r"does not take these arguments: .*additional_forward_args"):
            attribution.attribute(images, 0, True, nt_samples=2)


@pytest.mark.filterwarnings("ignore:Sparse CS")
@pytest.mark.parametrize("layout", [torch.sparse_coo, torch.sparse_csr, torch.sparse_csc])
def test_sparse_arguments_go_with_the_examples(images: Tensor, layout: torch.layout) -> None:
    rows = torch.eye(3).to_sparse(layout=layout)

    def forward(x: Tensor, row: Tensor) -> Tensor:
        return (x.flatten(1).sum(1, keepdim=True) * row.to_dense()).sum(1)

    found = SampledGradients(forward, StraightPath(3)).attribute(images, None, rows)
    torch.testing.assert_close(found, images)


def test_tensors_without_numbers_are_refused_everywhere(model: nn.Module, images: Tensor) -> None:
    for broken in (images.to_sparse(), images.to("meta")):
        for call in (
            lambda x: GuidedAbsoluteGrad(model).attribute(x, 0),
            lambda x: GuidedIG(model).attribute(images, x, 0),
            lambda x: saliency_map(x),
            lambda x: reverse_saliency(x[:, 0]),
            lambda x: GuidedAbsoluteGrad(lambda given: x).attribute(images, 0),
        ):
            with pytest.raises(InputError, match="dense tensors with values"):
                call(broken)
        with pytest.raises(InputError, match="target is"):
            GuidedAbsoluteGrad(model).attribute(images, broken[:, 0, 0, 0])


def test_the_model_is_not_its_own_output(images: Tensor) -> None:
    identity = nn.Identity()
    with pytest.raises(InputError, match="output is the model itself"):
        method("VG").attribute(identity, images, 0, output=identity)


class Changing(nn.Module):
    """A model that writes into its input, or into a copy of it."""

    def __init__(self, write: Callable[[Tensor], Any], into_copy: bool = False) -> None:
        super().__init__()
        self.network, self.write, self.into_copy = network(), write, into_copy

    def forward(self, x: Tensor) -> Tensor:
        x = x.clone() if self.into_copy else x
        self.write(x)
        return self.network(x)


ALL_METHODS = [*METHODS, "SmoothGrad", "Grad-CAM", "GB", "DeepSHAP", "Deep Taylor", "captum:FeatureAblation"]


@pytest.mark.parametrize("write", [lambda x: x.mul_(2), lambda x: x[:, 0].zero_(), lambda x: torch.relu_(x)])
def test_a_model_may_write_into_its_inputs(images: Tensor, write: Callable[[Tensor], Any]) -> None:
    writing, copying = Changing(write).eval(), Changing(write, into_copy=True).eval()
    before, target = images.clone(), [0, 1, 2]
    for name in ALL_METHODS:
        found, expected = (method(name).attribute(each, images, target) for each in (writing, copying))
        assert torch.equal(found, expected)
        assert torch.equal(images, before)
    for name, explain in captum_level(writing).items():
        assert torch.equal(explain(images, target=target), captum_level(copying)[name](images, target=target))
    pairs = [
        (
            LayerGuidedAbsoluteGrad(each, each.network[0]).attribute(images, target, nt_samples=3, seed=0),
            GuidedIG(each).attribute(images, target=target, n_steps=3, return_convergence_delta=True)[1],
        )
        for each in (writing, copying)
    ]
    for found, expected in zip(*pairs, strict=True):
        assert torch.equal(found, expected)
    assert torch.equal(images, before)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_torchs_default_dtype_changes_no_map(images: Tensor, dtype: torch.dtype) -> None:
    model = network()
    seen = []
    model.register_forward_pre_hook(lambda module, arguments: seen.append(torch.get_default_dtype()))
    names = [*ALL_METHODS, "captum:KernelShap", "captum:GradientShap", "Random", "Sobel"]
    options = {"captum:GradientShap": {"baselines": "random"}}

    def maps() -> list[Tensor]:
        found = [method(name, **options.get(name, {})).attribute(model, images, [0, 1, 2]) for name in names]
        found.append(method("IG").attribute(lambda x: model(x), images, [0, 1, 2]))
        return [*found, *(explain(images, target=[0, 1, 2]) for explain in captum_level(model).values())]

    expected = maps()
    torch.set_default_dtype(dtype)
    try:
        seen.clear()
        for found, wanted in zip(maps(), expected, strict=True):
            assert found.dtype == wanted.dtype
            assert torch.equal(found, wanted)
        # The model computes in its user's.
        assert set(seen) == {dtype}
        assert torch.get_default_dtype() == dtype
    finally:
        torch.set_default_dtype(torch.float32)


@pytest.mark.filterwarnings("ignore:`torch.jit", "ignore:Guided backpropagation met no", "ignore:.*DeepLiftShap misses")
def test_frozen_scripted_models(images: Tensor) -> None:
    model = network()
    frozen = torch.jit.freeze(torch.jit.script(model))
    for name in [*METHODS, "SmoothGrad", "captum:FeatureAblation"]:
        found = method(name).attribute(frozen, images, [0, 1, 2])
        torch.testing.assert_close(found, method(name).attribute(model, images, [0, 1, 2]))
    for name, explain in captum_level(frozen).items():
        torch.testing.assert_close(explain(images, target=0), captum_level(model)[name](images, target=0))
    with pytest.raises(InputError, match="Grad-CAM finds no feature map"):
        method("Grad-CAM").attribute(frozen, images, 0)
    with pytest.warns(UserWarning, match="Guided backpropagation met no ReLU"):
        method("GB").attribute(frozen, images, 0)
    around = nn.Sequential(frozen).eval()
    with pytest.raises(InputError, match="layer is scripted"):
        LayerGuidedAbsoluteGrad(around, frozen).attribute(images, 0, nt_samples=2)


def test_what_was_made_in_inference_mode(images: Tensor) -> None:
    class Caching(nn.Module):
        cache: Tensor | None = None

        def __init__(self) -> None:
            super().__init__()
            self.network = network()

        def forward(self, x: Tensor) -> Tensor:
            self.cache = torch.full((1, 3, 1, 1), 2.0) if self.cache is None else self.cache
            return self.network(x * self.cache)

    calls: list[Callable[[Any], Tensor]] = [
        lambda model: rcap(model, images, images, 0),
        lambda model: metric("quantus:Sparseness", {}).evaluate(model, images, images, 0).score,
        lambda model: GuidedAbsoluteGrad(model).attribute(images, 0, nt_samples=3, seed=0),
        lambda model: GuidedIG(model).attribute(images, 0, 0, n_steps=3, return_convergence_delta=True)[1],
        lambda model: LayerGuidedAbsoluteGrad(model, model.network[0]).attribute(images, 0, nt_samples=3, seed=0),
        lambda model: method("IG").attribute(model, images, 0),
    ]
    for call in calls:
        caching = Caching().eval()
        with torch.inference_mode():
            found = call(caching)
        assert torch.equal(found, call(Caching().eval()))
        assert caching.cache is None
    broken = Caching().eval()
    with torch.inference_mode():
        broken(images)
    for name in ["GAG-85", "IG", "SmoothGrad", "Grad-CAM", "GB", "DeepSHAP", "captum:IntegratedGradients"]:
        with pytest.raises(InputError, match=r"^The model has a tensor that was made in torch.inference_mode\(\)"):
            method(name).attribute(broken, images, 0)
    with pytest.raises(InputError, match=r"made in torch.inference_mode\(\)"):
        GuidedAbsoluteGrad(broken).attribute(images, 0)


def test_a_module_of_keras_is_called_as_it_computes_alone(images: Tensor) -> None:
    """Its mode is an argument of the call: neither train() nor eval() matters, and Captum must not pass more."""

    class Layer(nn.Module):
        __module__ = "keras.src.layers.layer"

    class Model(Layer):
        def __init__(self) -> None:
            super().__init__()
            self.network = network()

        def forward(self, x: Tensor, training: Any = None) -> Tensor:
            return self.network(x) + (0 if training is None else 1)

    model = Model().train()
    model.network.eval()
    torch.testing.assert_close(rcap(model, images, images, 0), rcap(model.network, images, images, 0))
    for name in ["GAG-85", "IG", "DeepSHAP", "SmoothGrad"]:
        found, expected = (method(name).attribute(each, images, [0, 1, 2]) for each in (model, model.network))
        torch.testing.assert_close(found, expected)


@pytest.mark.parametrize("what", ["inputs", "outputs", "baselines", "references"])
@pytest.mark.parametrize("change", [lambda x: x.to(torch.complex64), lambda x: x.to_sparse()])
def test_complex_and_sparse_tensors_are_refused(images: Tensor, what: str, change: Callable[[Tensor], Tensor]) -> None:
    model = network()
    own = Wrapped(model, change if what == "outputs" else lambda scores: scores).eval()
    x = change(images) if what == "inputs" else images
    if what == "baselines":
        calls = [
            lambda: GuidedIG(own).attribute(x, baselines=change(images), target=0),
            lambda: method("captum:IntegratedGradients", baselines=change(images)).attribute(own, x, 0),
        ]
    elif what == "references":
        calls = [lambda: method("DeepSHAP", baselines=change(images)).attribute(own, x, 0)]
    else:
        names = ["GAG-85", "IG", "SmoothGrad", "GB", "DeepSHAP", "captum:FeatureAblation"]
        calls = [lambda name=name: method(name).attribute(own, x, 0) for name in names]
        calls += [lambda explain=explain: explain(x, target=0) for explain in captum_level(own).values()]
    for call in calls:
        with pytest.raises(InputError, match=r"must be (real|dense|floating-point)|expected floating-point"):
            call()
