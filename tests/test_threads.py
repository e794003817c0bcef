"""Threads: as many as may compute at once; those that use a model at the same time get what each gets alone."""

from __future__ import annotations

import asyncio
import multiprocessing
import os
import random
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, as_completed, wait
from pathlib import Path
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
    threads,
)
from captum_gag.attr.catalogue import method, options_of_spec
from captum_gag.metrics import aopc, deletion, faithfulness, insertion, rcap
from captum_gag.metrics.external_metric import ExternalMetric
from captum_gag.names import METHODS, parse_method
from captum_gag.threads import cores, one_at_a_time, threads_each

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
    sizes = dict.fromkeys(options_of_spec(parse_method(name)) & {"n_samples", "n_references", "n_steps"}, 4)
    made = method(name, **{**sizes, **options})
    return lambda: made.attribute(model, IMAGES, TARGET, seed=0, output="logits")


def jobs(model: nn.Module) -> dict[str, Job]:
    """Return every method that runs on the network by name, Captum's own classes, and every metric."""
    ruled = not isinstance(model[1], nn.ReLU6)
    found = {name: explaining(model, name) for name in METHODS if ruled or name != "Deep Taylor"}
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


def in_thread(job: Job) -> Any:
    results: list[Any] = []
    thread = threading.Thread(target=lambda: results.append(job()))
    thread.start()
    thread.join()
    return results[0]


def in_pool(job: Job) -> Any:
    with ThreadPoolExecutor(3) as pool:
        first, *_ = pool.map(lambda _: job(), range(4))
        return first


def in_waiting(job: Job) -> Any:
    with ThreadPoolExecutor(2) as pool:
        futures = [pool.submit(job) for _ in range(3)]
        wait(futures)
        return futures[2].result()


def in_completing(job: Job) -> Any:
    with ThreadPoolExecutor(2) as pool:
        return next(as_completed([pool.submit(job) for _ in range(3)])).result()


class Explaining(nn.Module):
    """A model whose forward weighs an image by what another model says of it."""

    def __init__(self, how: Callable[[Job], Any]) -> None:
        super().__init__()
        self.network, self.other, self.how = network(), network(), how
        self.eval()

    def forward(self, x: Tensor) -> Tensor:
        weights = self.how(lambda: GuidedAbsoluteGrad(self.other).attribute(x.detach(), 0, nt_samples=2, seed=0))
        return self.network(x * (1 + weights))


@pytest.mark.parametrize("how", [in_thread, in_pool, in_waiting, in_completing])
def test_a_forward_may_explain_in_a_thread_that_it_waits_for(how: Callable[[Job], Any]) -> None:
    direct, threaded = Explaining(lambda job: job()), Explaining(how)
    for asked in (
        lambda model: GuidedAbsoluteGrad(model).attribute(IMAGES, TARGET, nt_samples=2, seed=0),
        lambda model: method("Saliency").attribute(model, IMAGES, TARGET),
        lambda model: deletion(model, IMAGES, MAPS, TARGET, output="logits", n_steps=2),
    ):
        assert torch.equal(asked(threaded), asked(direct))


def test_others_wait_until_it_is_done() -> None:
    """A thread that nobody waits for stays outside, also while another is let in."""
    order: list[str] = []

    def inner() -> None:
        with one_at_a_time:
            order.append("inner")

    def other() -> None:
        with one_at_a_time:
            order.append("other")

    outside = threading.Thread(target=other)
    with one_at_a_time:
        outside.start()
        in_thread(inner)
        in_pool(inner)
        order.append("outer")
    outside.join()
    assert order == ["inner"] * 5 + ["outer", "other"]


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


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="only Linux lets a process choose its cores")
def test_a_process_of_one_core_has_one() -> None:
    code = (
        "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})\n"
        "from captum_gag.threads import cores; print(cores())"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "1\n"


@pytest.mark.parametrize(
    ("files", "expected"),
    [
        ({}, 8),
        ({"cpu.max": "max 100000\n"}, 8),
        ({"cpu.max": "150000 100000\n"}, 2),
        ({"cpu.max": "3200000 100000\n"}, 8),
        ({"cpu/cpu.cfs_quota_us": "300000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 3),
        ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, 8),
    ],
    ids=["no container", "no quota", "one and a half", "more than there are", "version 1", "version 1, no quota"],
)
def test_a_container_has_the_cores_of_its_quota(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, files: dict[str, str], expected: int
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: range(8), raising=False)
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    assert cores(tmp_path) == expected


@pytest.mark.parametrize(
    ("limit", "workers", "expected"),
    [("", 1, 8), ("", 3, 2), ("", 16, 1), ("3", 1, 3), ("3", 4, 2), ("4,2", 1, 4), ("many", 2, 4), ("0", 2, 4)],
)
def test_cores_are_shared_out(monkeypatch: pytest.MonkeyPatch, limit: str, workers: int, expected: int) -> None:
    monkeypatch.setattr(threads, "cores", lambda: 8)
    monkeypatch.setenv("OMP_NUM_THREADS", limit)
    assert threads_each(workers) == expected
