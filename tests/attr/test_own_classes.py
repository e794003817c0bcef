"""Captum attributions and modifications of a user's own as methods: what is read of them, and what is refused."""

from __future__ import annotations

import copy
import pickle
import sys
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import pytest
import torch
from captum.attr import Attribution
from torch import Tensor, nn

from captum_gag import GuidedAbsoluteGrad, method
from captum_gag.attr import Samples, shared_gradients
from captum_gag.errors import InputError
from captum_gag.names import METHODS
from captum_gag.options import options_of
from captum_gag.runs.spec import make_suite

IMAGES = torch.rand(3, 3, 8, 8, generator=torch.Generator().manual_seed(0))
TARGETS = torch.tensor([1, 3, 0])


class Doubled(GuidedAbsoluteGrad):
    def attribute(
        self,
        inputs: Any,
        target: Any = None,
        *,
        nt_samples: int = 20,
        stdevs: float | None = None,
        noise_level: float = 0.15,
        percentile: float = 85.0,
        guide: str = "paper",
        seed: int | None = None,
        guide_window: int = 1,
    ) -> Any:
        return 2 * super().attribute(inputs, target, nt_samples=nt_samples, percentile=percentile, seed=seed)


class Scaled(GuidedAbsoluteGrad):
    def attribute(self, inputs: Any, target: Any = None, *, scale: float = 2.0) -> Any:
        return scale * super().attribute(inputs, target, nt_samples=2, seed=0)


class Returns(Attribution):
    """Whatever is asked for."""

    def attribute(
        self,
        inputs: Tensor,
        target: Any,
        kind: str = "same",
        sides: list[int] = [1],  # noqa: B006
        function: Any = torch.abs,
    ) -> Any:
        return {
            "same": function(inputs) * sum(sides),
            "tuple": (inputs,),
            "smaller": inputs[:, :, :4],
            "scalar": inputs.sum(),
            "array": inputs.numpy(),
            "whole": inputs.long(),
        }[kind]

    def check(self) -> None:
        """Serve the user alone."""

    parts = 3


class WithoutTarget(Attribution):
    def attribute(self, inputs: Tensor) -> Tensor:
        return inputs


class OfLayer(Attribution):
    def __init__(self, forward_func: Any, layer: str) -> None:
        self.layer = layer

    def attribute(self, inputs: Tensor, target: Any = None) -> Tensor:
        return inputs


class Control(Attribution):
    def attribute(self, inputs: Tensor, target: Any = None, control: str = "") -> Tensor:
        return inputs


class Noise:
    """Uniform noise."""

    n_samples: int
    width: float = 0.5
    generator: torch.Generator | None = None

    def samples(self, inputs: tuple[Tensor, ...], chunk: int) -> Any:
        for _ in range(self.n_samples):
            yield Samples(tuple(x + self.width * torch.rand(1, *x.shape, generator=self.generator) for x in inputs))


class Seeded(Noise):
    def __init__(self, n_samples: int = 3, how_wide: float = 0.5, seed: int | None = None) -> None:
        self.n_samples, self.width, self.seed = n_samples, how_wide, seed
        self.generator = None if seed is None else torch.Generator().manual_seed(seed)


@dataclass
class Mutable(Noise):
    n_samples: int = 4
    widths: tuple[float, ...] = field(default_factory=lambda: (0.5,))


class Fixed(Noise):
    n_samples = 7


@dataclass(frozen=True)
class Percentile(Noise):
    n_samples: int = 4
    percentile: float = 0.5


def by_position(model: Any, inputs: Tensor, targets: Tensor, n_samples: int, seed: Any, k: int = 2, /) -> Tensor:
    return inputs * k


@pytest.fixture(autouse=True)
def own(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("own_classes")
    vars(module).update({name: value for name, value in globals().items() if not name.startswith("_")})
    monkeypatch.setitem(sys.modules, "own_classes", module)


@pytest.fixture(scope="module")
def model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 5)).eval()


def test_a_subclass_with_another_attribute_shares_no_gradients(model: nn.Module) -> None:
    expected = 2 * method("GAG").attribute(model, IMAGES, TARGETS, seed=3)
    doubled = method("own_classes:Doubled")
    assert torch.equal(doubled.attribute(model, IMAGES, TARGETS, seed=3), expected)
    assert doubled.shared is method("own_classes:Scaled").shared is method("own_classes:Returns").shared is None
    with pytest.raises(InputError, match="not the same gradients"):
        shared_gradients([method("GAG"), doubled], model, IMAGES, TARGETS)


@pytest.mark.parametrize(
    ("kind", "message"),
    [
        ("smaller", r"own_classes:Returns returned shape \(3, 3, 4, 8\), expected a tensor .*here \(3, 3, 8, 8\) or"),
        ("scalar", r"returned shape \(\)"),
        ("array", "returned a ndarray"),
        ("whole", "returned torch.int64, expected floating-point"),
    ],
)
def test_what_an_attribution_returns_is_checked(model: nn.Module, kind: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        method("own_classes:Returns", kind=kind).attribute(model, IMAGES, TARGETS)


def test_options_arrive_as_their_owner_declares_them(model: nn.Module) -> None:
    assert torch.equal(method("own_classes:Returns").attribute(model, IMAGES - 0.5, 0), (IMAGES - 0.5).abs())
    assert torch.equal(method("own_classes:Returns", sides=[2, 3]).attribute(model, IMAGES, 0), IMAGES * 5)
    assert torch.equal(method("own_classes:Returns", kind="tuple").attribute(model, IMAGES, 0), IMAGES)
    assert torch.equal(method("own_classes:by_position").attribute(model, IMAGES, 0), IMAGES * 2)
    n_samples, widths = options_of(type(method("own_classes:Mutable")), "n_samples", "widths")
    assert (n_samples.default, n_samples.range, widths.default) == (4, ">= 1", (0.5,))
    assert method("own_classes:Seeded").n_samples == 3  # type: ignore[attr-defined]


def test_a_class_without_a_docstring_has_none_of_its_base() -> None:
    summaries = {
        name: (type(method(f"own_classes:{name}")).__doc__ or "") for name in ("Doubled", "Mutable", "Returns")
    }
    assert [summary.split("\n")[0] for summary in summaries.values()] == [
        "own_classes:Doubled.",
        "own_classes:Mutable.",
        "Whatever is asked for.",
    ]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("WithoutTarget", r"must be constructed with the model alone, and have attribute\(inputs, target"),
        ("OfLayer", "missing a required argument: 'layer'"),
        ("Control", "has a parameter control, which every method has already"),
        ("Percentile", "has a parameter percentile, which every method has already"),
        ("Fixed", "must take n_samples"),
    ],
)
def test_a_class_that_cannot_be_a_method_is_refused(name: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        method(f"own_classes:{name}")


@pytest.mark.parametrize("name", ["Seeded", "Mutable"])
def test_a_seed_fixes_noise_that_takes_no_seed_and_noise_that_keeps_its_own(model: nn.Module, name: str) -> None:
    noisy = method(f"own_classes:{name}")
    torch.manual_seed(1)
    first = noisy.attribute(model, IMAGES, TARGETS, seed=3)
    after = torch.rand(1)
    second = noisy.attribute(model, IMAGES, TARGETS, seed=3)
    torch.manual_seed(1)
    assert torch.equal(first, second)
    assert torch.equal(torch.rand(1), after)
    assert not torch.equal(first, noisy.attribute(model, IMAGES, TARGETS, seed=4))


def test_a_modification_that_cannot_be_compared_shares_no_gradients(model: nn.Module) -> None:
    methods = [method("own_classes:Mutable"), method("own_classes:Mutable", aggregation="guided")]
    assert methods[0].shared is None
    with pytest.raises(InputError, match="not the same gradients"):
        shared_gradients(methods, model, IMAGES, TARGETS)


@pytest.mark.parametrize("name", ["GB", "Grad-CAM", "Sensitivity", "Sobel", "Constant"])
def test_methods_without_noise_need_no_seed(model: nn.Module, name: str) -> None:
    first, second = (method(name).attribute(model, IMAGES, TARGETS, seed=seed) for seed in (None, 0))
    assert torch.equal(first, second)


@pytest.mark.parametrize(
    "spec", [*METHODS, "SG^R", "own_classes:Mutable", "own_classes:Returns", "own_classes:by_position"]
)
def test_methods_are_pickled_and_copied(spec: str) -> None:
    for twin in (pickle.loads(pickle.dumps(method(spec))), copy.deepcopy(method(spec))):
        assert type(twin) is type(method(spec))
        if "^" not in spec:
            assert twin.options() == method(spec).options()


def test_captums_noise_tunnel_is_pickled(model: nn.Module) -> None:
    tunnel = method("captum:NoiseTunnel", attribution_method="Saliency", nt_samples=2)
    twin = pickle.loads(pickle.dumps(tunnel))
    assert torch.equal(*(each.attribute(model, IMAGES, TARGETS, seed=0) for each in (tunnel, twin)))


def test_samples_have_one_number_whatever_it_is_called() -> None:
    def samples(*spec: Any, **options: Any) -> int:
        return method(*spec, **options).nt_samples  # type: ignore[attr-defined,no-any-return]

    assert samples("GAG-85 fast", nt_samples=4) == samples("GAG-85 fast", n_samples=4) == 4
    assert samples({"type": "GAG", "nt_samples": 3}, n_samples=5) == 5
    methods = {
        "GAG-85 fast": {"nt_samples": 4},
        "mine": {"type": "GAG", "nt_samples": 5},
        "reversed": {"of": {"type": "GAG", "nt_samples": 6}, "transform": "reverse"},
        "plain": {"type": "GAG"},
    }
    suite = make_suite({"methods": methods, "metrics": {"RCAP": {}}, "n_samples": 7})
    built: list[Any] = [each.of or each for each in suite.methods.values()]
    assert [each.nt_samples for each in built[:4]] == [4, 5, 6, 7]
