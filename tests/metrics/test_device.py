"""What a GPU alone can show: everything is computed where the model is, to the CPU's numbers."""

import numpy as np
import pytest
import torch
from torch import nn

from captum_gag import AOPC, RCAP, Deletion, Faithfulness, GuidedAbsoluteGrad, Insertion, baselines
from captum_gag.metrics import evaluate, map_batch
from captum_gag.metrics.map_batch import MapBatch

ACCELERATOR = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else None
needs_gpu = pytest.mark.skipif(ACCELERATOR is None, reason="needs a GPU (cuda or mps)")
METRICS = {
    "rcap": RCAP(),
    "dauc": Deletion(),
    "iauc": Insertion(),
    "aopc": AOPC(n_steps=9),
    "f": Faithfulness(n_pixels=9),
}


def classifier() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(16, 3)).eval()


@needs_gpu
def test_scores_on_a_gpu_are_the_cpus() -> None:
    model, images, maps = classifier(), torch.rand(3, 3, 12, 12), torch.rand(3, 12, 12)
    expected = evaluate(model, images, {"m": maps}, [0, 1, 2], METRICS)["m"]
    # The maps stay on the CPU: they are brought to the images.
    found = evaluate(model.to(ACCELERATOR), images.to(ACCELERATOR), {"m": maps}, [0, 1, 2], METRICS)["m"]
    for name, score in found.items():
        assert score.device.type == ACCELERATOR
        torch.testing.assert_close(score.cpu(), expected[name], rtol=1e-3, atol=1e-4)


@needs_gpu
def test_quantus_arrays_go_to_the_models_device_and_come_back() -> None:
    model = classifier().to(ACCELERATOR)
    images, maps = np.random.default_rng(0).random((2, 3, 3, 12, 12)).astype(np.float32)
    scores = RCAP()(model, images, np.array([0, 1, 2]), maps)
    assert scores == pytest.approx(RCAP()(model.cpu(), images, np.array([0, 1, 2]), maps), abs=1e-3)


@needs_gpu
def test_an_attribution_stays_where_its_input_is() -> None:
    attribution = GuidedAbsoluteGrad(classifier().to(ACCELERATOR)).attribute(
        torch.rand(2, 3, 12, 12, device=ACCELERATOR), target=1, seed=0
    )
    assert attribution.device.type == ACCELERATOR


def test_maps_are_brought_to_the_device_of_the_images(monkeypatch: pytest.MonkeyPatch) -> None:
    # A device without values, on which only the bookkeeping can be seen, and which is refused otherwise.
    for room in (map_batch, baselines):
        monkeypatch.setattr(room, "require_dense", lambda what, tensor: None)
    batch = MapBatch(torch.empty(2, 3, 8, 8, device="meta"), torch.rand(2, 8, 8))
    assert batch.maps.device.type == "meta"
    assert batch.baseline("mean", None).device.type == "meta"
