"""What the package is tried with: tensors of every kind, tiny networks, what has no meaning; and what must hold."""

from __future__ import annotations

import copy
import random
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from hypothesis import settings
from hypothesis import strategies as st
from torch import Tensor, nn

from captum_gag.errors import InputError

FUZZ = settings.get_profile("fuzz")
CLASSES = 3
SHAPES = [(2, 4, 5), (1, 4, 4), (3, 6), (2, 3, 3, 3), (7,)]
DTYPES = [torch.float32, torch.float64, torch.float16, torch.bfloat16]
PRECISE = DTYPES[:2]
ROUNDING = {torch.float32: 2e-4, torch.float64: 1e-9, torch.float16: 0.05, torch.bfloat16: 0.3}
"""What the order of sums may change, in parts of the largest value."""

HALVES = [torch.float16, torch.bfloat16]


def values(shape: tuple[int, ...], kind: str, seed: int) -> Tensor:
    """Return values in double precision: plain, tied, constant, zeros, or of any scale."""
    generator = torch.Generator().manual_seed(seed)
    plain = torch.randn(shape, generator=generator, dtype=torch.float64)
    made = {
        "plain": plain,
        "positive": plain.sigmoid(),
        "tied": plain.round(),
        "constant": torch.full_like(plain, 0.7),
        "zeros": torch.zeros_like(plain),
        "tiny": plain * 1e-30,
        "huge": plain * 1e30,
        "wide": plain.sign() * 10 ** (20 * plain.clamp(-1.5, 1.5)),
    }
    return made[kind]


KINDS = ["plain", "positive", "tied", "constant", "zeros"]
SCALES = [*KINDS, "tiny", "huge", "wide"]


def laid_out(tensor: Tensor, layout: str) -> Tensor:
    """Return the same numbers, otherwise in memory."""
    if layout == "transposed":
        return tensor.transpose(-1, 0).contiguous().transpose(-1, 0)
    if layout == "channels_last" and tensor.ndim == 4:
        return tensor.contiguous(memory_format=torch.channels_last)
    if layout == "sliced":
        return torch.stack([tensor, torch.full_like(tensor, 9)], -1)[..., 0]
    if layout == "expanded":
        return tensor[:1].clone().expand(tensor.shape)
    if layout == "read-only":
        array = tensor.to(torch.float32).numpy() if tensor.dtype == torch.bfloat16 else tensor.numpy()
        array.setflags(write=False)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return torch.from_numpy(array).to(tensor.dtype)
    return tensor.clone().requires_grad_() if layout == "requires_grad" else tensor


LAYOUTS = ["contiguous", "transposed", "channels_last", "sliced", "expanded", "read-only", "requires_grad"]


def network(shape: tuple[int, ...], kind: str = "smooth", seed: int = 0, dtype: torch.dtype = torch.float32) -> Any:
    """Return a classifier of inputs (N, *shape) with three classes, in evaluation mode."""
    features = int(np.prod(shape))
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        layers: dict[str, Callable[[], list[nn.Module]]] = {
            "linear": lambda: [nn.Flatten(), nn.Linear(features, CLASSES)],
            "smooth": lambda: [nn.Flatten(), nn.Linear(features, 6), nn.Tanh(), nn.Linear(6, CLASSES)],
            "norm": lambda: [nn.Flatten(), nn.BatchNorm1d(features), nn.Linear(features, CLASSES), nn.ELU()],
            "conv": lambda: [
                *[nn.Conv2d(shape[0], 4, 3, padding=1), nn.ReLU(), nn.Conv2d(4, 4, 1), nn.ReLU()],
                *[nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(16, CLASSES)],
            ],
        }
        made = layers[kind]()
    return nn.Sequential(*made).eval().to(dtype)


@dataclass
class Case:
    """A model, what it is asked about, and how it was made."""

    model: Any
    inputs: Tensor
    target: list[int]
    dtype: torch.dtype
    network: str
    kind: str
    layout: str

    def __repr__(self) -> str:
        """Say how it was made: an example that fails is read by people."""
        shape = f"{tuple(self.inputs.shape)} of {str(self.dtype).removeprefix('torch.')}"
        return f"{self.network} network, {self.kind} {self.layout} {shape}, target {self.target}"

    def _repr_pretty_(self, printer: Any, cycle: bool) -> None:
        printer.text(repr(self))

    def precise(self) -> Any:
        """Return the model in double precision."""
        return copy.deepcopy(self.model).double()


@st.composite
def cases(
    draw: Any,
    shapes: list[tuple[int, ...]] = SHAPES,
    dtypes: list[torch.dtype] = DTYPES,
    networks: tuple[str, ...] = ("linear", "smooth", "norm"),
    kinds: list[str] = KINDS,
) -> Case:
    shape, dtype = draw(st.sampled_from(shapes)), draw(st.sampled_from(dtypes))
    n, seed = draw(st.integers(1, 3)), draw(st.integers(0, 999))
    kind, layout, name = (draw(st.sampled_from(some)) for some in (kinds, LAYOUTS, networks))
    target = draw(st.lists(st.integers(0, CLASSES - 1), min_size=n, max_size=n))
    inputs = laid_out(values((n, *shape), kind, seed).to(dtype), layout)
    return Case(network(shape, name, seed, dtype), inputs, target, dtype, name, kind, layout)


@contextmanager
def untouched(case: Case) -> Iterator[None]:
    """Require that nothing but the result is new: weights, buffers, modes, hooks, gradients, inputs, random states."""
    torch.manual_seed(1), np.random.seed(1), random.seed(1)
    before = _state(case)
    yield
    after = _state(case)
    assert [what for what in before if before[what] != after[what]] == []


def _state(case: Case) -> Any:
    modules = list(case.model.modules())
    hooks = [
        {name: len(found) for name, found in vars(each).items() if name.endswith("_hooks") and found is not None}
        for each in modules
    ]
    tensors = [*case.model.state_dict().values(), case.inputs]
    leaves = [each for each in [*case.model.parameters(), case.inputs] if each.is_leaf]
    return {
        "numbers": [each.detach().double().tolist() for each in tensors],
        "gradients": [(each.requires_grad, each.grad is None) for each in leaves],
        "modes": [each.training for each in modules],
        "hooks": hooks,
        "random": [torch.get_rng_state().tolist(), np.random.get_state()[1].tolist(), random.getstate()],
        "gradient mode": torch.is_grad_enabled(),
    }


def close(found: Tensor, expected: Tensor, dtype: torch.dtype, of: Tensor | None = None) -> None:
    """Require equality up to the rounding of sums in other orders, in parts of the largest value, or of another's."""
    assert found.shape == expected.shape
    assert torch.equal(found.isnan(), expected.isnan())
    one, other = (each.detach().double().nan_to_num() for each in (found, expected))
    largest = float((other if of is None else of.detach().double()).abs().max())
    torch.testing.assert_close(one, other, rtol=0, atol=ROUNDING[dtype] * largest + 1e-300)


JUNK_NUMBERS = [None, True, False, 0, 1, 2, 3, -1, -7, 2**70, -(2**70), 2.5, -0.5, 0.0, float("nan"), float("inf")]
JUNK_NUMBERS += [-float("inf"), 1e300, 1j, np.float32(-3), np.int64(2), np.bool_(1), np.float64("nan")]
JUNK_THINGS = [object(), lambda *a, **k: None, lambda *a, **k: a[0], nn.Identity(), ..., NotImplemented, int, len]
JUNK_ARRAYS = [
    np.zeros((2, 2)), np.array("a"), np.array([None, 1]), np.zeros((2, 3, 4), complex), np.zeros(0), np.arange(2),
    np.array(["a", "b"]), np.full((2, 2, 4, 5), np.nan, np.float32), np.array(3),
]  # fmt: skip
JUNK_SHAPES = [(), (0,), (2,), (2, 2), (2, 2, 4, 5), (1, 2, 4, 5), (2, 0, 4, 5), (0, 2, 4, 5), (2, 4, 5), (2, 1, 4, 5)]
JUNK_SHAPES += [(2, 2, 8, 10), (2, 2, 5, 4), (2, 5, 4, 2), (1,) * 7, (2, 3, 2, 4, 5)]
JUNK_DTYPES = [torch.float32, torch.float16, torch.float64, torch.int64, torch.bool, torch.complex64, torch.uint8]


@st.composite
def junk_tensors(draw: Any) -> Tensor:
    shape, fill = draw(st.sampled_from(JUNK_SHAPES)), draw(st.sampled_from([0.0, 1.0, 0.3, -1.0, torch.nan, torch.inf]))
    dtype = draw(st.sampled_from(JUNK_DTYPES))
    if not dtype.is_floating_point:
        fill = abs(fill) if fill in (0.0, 1.0, 0.3, -1.0) else 0.0
    tensor = torch.full(shape, fill).to(dtype)
    if dtype.is_floating_point and draw(st.booleans()):
        tensor = tensor + torch.rand(shape, generator=torch.Generator().manual_seed(0)).to(dtype)
    how = draw(st.sampled_from(["", "", "", "sparse", "meta", "grad", "inference"]))
    if how == "sparse":
        return tensor.to_sparse()
    if how == "grad" and dtype.is_floating_point:
        return tensor.requires_grad_()
    if how == "inference":
        with torch.inference_mode():
            return tensor.clone()
    return tensor.to("meta") if how == "meta" else tensor


PLAIN_JUNK = st.one_of(
    st.sampled_from(JUNK_NUMBERS), st.sampled_from(JUNK_THINGS), st.text(max_size=6), st.binary(max_size=3)
)
JUNK = st.one_of(
    PLAIN_JUNK,
    st.sampled_from(JUNK_ARRAYS),
    junk_tensors(),
    st.lists(PLAIN_JUNK, max_size=3),
    st.lists(PLAIN_JUNK, max_size=3).map(tuple),
    st.dictionaries(st.one_of(st.text(max_size=4), st.integers(0, 3)), PLAIN_JUNK, max_size=2),
    st.lists(junk_tensors(), max_size=2).map(tuple),
    st.sets(st.integers(0, 3), max_size=2),
)


def answered(call: Callable[..., Any], /, *args: Any, **options: Any) -> Any:
    """Return a result, or None where it was refused, in one clear line or by the model; anything else fails."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return call(*args, **options)
    except InputError as error:
        text = str(error)
        assert len(text.splitlines()) == 1, text
        assert len(text) >= 20, text
        return None
    except RuntimeError as error:
        # Images of a shape that a layer cannot take are the model's to refuse.
        if "shapes cannot be multiplied" not in str(error):
            raise
        return None


CALLED = ("forward_func", "model", "interpretation", "aggregation", "gradient_source", "modification", "output")
CALLED += ("perturb_baseline", "metrics")
"""Arguments that may be functions."""


@st.composite
def junk_for(draw: Any, known: dict[str, Any]) -> dict[str, Any]:
    """Return one or two arguments without meaning, by name."""
    names = draw(st.lists(st.sampled_from(sorted(known)), min_size=1, max_size=2, unique=True))
    # What a user's own function raises is the user's to see; what it returns is ours to check.
    junk = {
        name: JUNK.filter(lambda value: value is not int and value is not len) if name in CALLED else JUNK
        for name in names
    }
    return {name: draw(each) for name, each in junk.items()}
