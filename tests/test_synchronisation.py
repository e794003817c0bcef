"""Inside the loops nothing asks a tensor for a number: on an accelerator each question waits for all that is queued.

A number that Python reads off a tensor is torch's operator ``_local_scalar_dense``, on any device; what has a shape
that depends on values waits too. Longer loops must not ask more often.
"""

from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from captum_gag.attr.catalogue import method
from captum_gag.metrics import aopc, deletion, faithfulness, insertion

WAITING = {"_local_scalar_dense", "equal", "is_nonzero", "masked_select", "nonzero", "_unique2", "unique_dim"}


class Questions(TorchDispatchMode):
    """Counts what waits for an accelerator."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func.overloadpacket.__name__
        by_mask = name.startswith("index") and any(
            isinstance(each, torch.Tensor) and each.dtype == torch.bool
            for place in args[1:2]
            for each in (place if isinstance(place, list | tuple) else ())
        )
        self.asked[name] += by_mask or name in WAITING
        return func(*args, **(kwargs or {}))


def questions(call: Callable[[], object]) -> int:
    # The first time the model is asked how it treats rows.
    call()
    with Questions() as met:
        call()
    return met.asked.total()


def net() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(16, 3)).eval()


@pytest.fixture
def images() -> torch.Tensor:
    return torch.rand(3, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def test_a_question_is_seen(images: torch.Tensor) -> None:
    assert questions(lambda: [float(each.sum()) for each in images]) == 3
    assert questions(lambda: images[images > 0.5]) == 1


@pytest.mark.parametrize("name", ["GAG", "SG", "VarGrad", "IG", "Guided IG", "Blur IG"])
def test_more_samples_ask_no_more_questions(name: str, images: torch.Tensor) -> None:
    model, targets = net(), torch.tensor([0, 1, 2])
    few, many = (
        questions(lambda n=n: method({"type": name, "n_samples": n}).attribute(model, images, targets, 0))  # type: ignore[misc]
        for n in (4, 40)
    )
    assert few == many


@pytest.mark.parametrize("metric", [deletion, insertion, aopc])
def test_more_steps_ask_no_more_questions(metric: Any, images: torch.Tensor) -> None:
    model, targets = net(), torch.tensor([0, 1, 2])
    maps = torch.rand(3, 1, 32, 32, generator=torch.Generator().manual_seed(1))
    few, many = (questions(lambda n=n: metric(model, images, maps, targets, n_steps=n)) for n in (8, 200))  # type: ignore[misc]
    assert few == many


def test_more_pixels_ask_no_more_questions(images: torch.Tensor) -> None:
    model, targets = net(), torch.tensor([0, 1, 2])
    maps = torch.rand(3, 1, 32, 32, generator=torch.Generator().manual_seed(1))
    few, many = (questions(lambda n=n: faithfulness(model, images, maps, targets, n_pixels=n)) for n in (8, 400))  # type: ignore[misc]
    assert few == many
