"""Threads that explain and judge at the same time get what each would get alone, and leave the model as it was."""

from __future__ import annotations

import asyncio
import multiprocessing
import random
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import quantus
import torch
from torch import Tensor, nn

from captum_gag import (
    RCAP,
    BlurIG,
    Deletion,
    GuidedAbsoluteGrad,
    GuidedIG,
    LayerGuidedAbsoluteGrad,
    explain,
)
from captum_gag.attr.catalogue import ENTRIES, method, options_of_spec, parse
from captum_gag.metrics import aopc, deletion, faithfulness, insertion, rcap
from captum_gag.metrics.external_metric import ExternalMetric
from captum_gag.threads import one_at_a_time

IMAGES = torch.rand(2, 3, 12, 12, generator=torch.Generator().manual_seed(0))
MAPS = torch.rand(2, 12, 12, generator=torch.Generator().manual_seed(1))
TARGET = torch.tensor([0, 3])
ROUNDS = 3

Job = Callable[[], Any]


def network(activation: type[nn.Module] = nn.ReLU6) -> nn.Module:
    """Return one with what guided backpropagation, DeepLIFT and LRP change for a while."""
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 4, 3), activation(inplace=True), nn.Conv2d(4, 4, 3), nn.ReLU(inplace=True), nn.MaxPool2d(2)]
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(64, 5)).eval()


def explaining(model: nn.Module, name: str, **options: Any) -> Job:
    sizes = dict.fromkeys(options_of_spec(parse(name)) & {"n_samples", "n_references", "n_steps"}, 4)
    made = method(name, **{**sizes, **options})
    return lambda: made.attribute(model, IMAGES, TARGET, seed=0, output="logits")


def jobs(model: nn.Module) -> dict[str, Job]:
    """Return every method that runs on the network by name, Captum's own classes, and every metric."""
    ruled = not isinstance(model[1], nn.ReLU6)
    found = {name: explaining(model, name) for name in ENTRIES if ruled or name != "Deep Taylor"}
    for name in ("Deconvolution", "DeepLift", "GuidedBackprop", "Saliency"):
        found[f"captum:{name}"] = explaining(model, f"captum:{name}")
    found["captum:GradientShap"] = explaining(model, "captum:GradientShap", baselines="random")
    gag = GuidedAbsoluteGrad(model)
    found["class GAG"] = lambda: gag.attribute(IMAGES, TARGET, nt_samples=4, seed=0)
    found["layer GAG"] = lambda: LayerGuidedAbsoluteGrad(model, model[0]).attribute(
        IMAGES, TARGET, nt_samples=4, seed=0
    )
    for path in (GuidedIG, BlurIG):
        found[path.__name__] = lambda path=path: path(model).attribute(
            IMAGES, target=TARGET, n_steps=4, return_convergence_delta=True
        )
    for metric in (rcap, deletion, insertion, faithfulness, aopc):
        found[metric.__name__] = lambda metric=metric: metric(model, IMAGES, MAPS, TARGET, output="logits")
    x, y, a = IMAGES.numpy(), TARGET.numpy(), MAPS[:, None].numpy()
    # One instance of a metric in all threads.
    for each in (RCAP(output="logits"), Deletion(output="logits")):
        found[f"one {type(each).__name__}"] = lambda each=each: np.array(each(model, x, y, a, device="cpu"))
    again = ExternalMetric("MaxSensitivity", quantus.MaxSensitivity, {"nr_samples": 3})
    found["MaxSensitivity"] = lambda: seeded(
        lambda: (
            again.evaluate(
                model, IMAGES, MAPS, TARGET, output="logits", explain=lambda *given: method("GB").attribute(*given)
            ).score
        )
    )
    found["explain"] = lambda: explain(model, x, y, method="GB", seed=0, output="logits")
    return found


def seeded(job: Job) -> Any:
    with one_at_a_time:
        np.random.seed(0)
        return job()


def flat(value: Any) -> list[Tensor]:
    parts = value if isinstance(value, tuple | list) else [value]
    return [torch.as_tensor(part).detach() for part in parts]


@pytest.fixture(autouse=True)
def hurried() -> Iterator[None]:
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    warnings.simplefilter("ignore")
    yield
    sys.setswitchinterval(before)


def wrong(asked: dict[str, Job], found: list[tuple[str, Any]]) -> list[str]:
    alone = {name: flat(job()) for name, job in asked.items()}
    return sorted(
        name
        for name, value in found
        if not all(torch.equal(one, other) for one, other in zip(flat(value), alone[name], strict=True))
    )


@pytest.mark.slow
@pytest.mark.parametrize("activation", [nn.ReLU, nn.ReLU6])
def test_four_threads(activation: type[nn.Module]) -> None:
    model = network(activation)
    hooks = [(dict(each._forward_hooks), dict(each._backward_hooks)) for each in model.modules()]
    asked = jobs(model)
    order = [name for name in asked for _ in range(ROUNDS)]
    random.Random(0).shuffle(order)
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda name: (name, asked[name]()), order))
    assert not wrong(asked, found)
    assert [(dict(each._forward_hooks), dict(each._backward_hooks)) for each in model.modules()] == hooks
    assert model[1].inplace
    assert model[3].inplace


def test_asyncio() -> None:
    model = network()
    asked = {name: explaining(model, name) for name in ("GB", "GAG-85", "VG", "Random")}

    async def together() -> list[tuple[str, Any]]:
        order = list(asked) * ROUNDS
        values = await asyncio.gather(*(asyncio.to_thread(asked[name]) for name in order))
        return list(zip(order, values, strict=True))

    assert not wrong(asked, asyncio.run(together()))


def test_a_child_does_not_wait_for_a_thread_that_it_does_not_have() -> None:
    if "fork" not in multiprocessing.get_all_start_methods():
        pytest.skip("this system does not fork")
    child = multiprocessing.get_context("fork").Process(target=inside)
    entered, leave = threading.Event(), threading.Event()

    def stay() -> None:
        with one_at_a_time:
            entered.set()
            leave.wait()

    thread = threading.Thread(target=stay)
    thread.start()
    entered.wait()
    child.start()
    child.join(20)
    leave.set()
    thread.join()
    assert child.exitcode == 0


def inside() -> None:
    with one_at_a_time:
        pass
