"""The main job against models whose explanations are known in closed form, and once for real."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from captum_gag.data.images import demo_images
from captum_gag.errors import InputError
from captum_gag.models import Classifier, load_classifier
from captum_gag.runs.explaining import Explanation, explain_photo, photo_scorer

SIDE = 8


class Linear(nn.Module):
    """Logits that are linear in the input, so that every gradient is a row of the weights."""

    def __init__(self, bias: float = 0.0) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(1)
        self.weight = nn.Parameter(torch.randn(3, 3, SIDE, SIDE, generator=generator) / 100)
        self.bias = nn.Parameter(torch.tensor([0.0, bias, 0.0]))

    def forward(self, x: Tensor) -> Tensor:
        return torch.einsum("nchw,kchw->nk", x, self.weight) + self.bias


class Curved(Linear):
    """The same, bent: the gradient depends on the noise."""

    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.sin())


def photo() -> Image.Image:
    return Image.fromarray(np.random.default_rng(3).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8))


COMPARED = ["GAG-85", "Saliency", "SmoothGrad", "VarGrad (Captum)"]


def explained(model: nn.Module, target: int | None = None, samples: int = 20, seed: int = 0) -> Explanation:
    classifier = Classifier("tiny", model.eval(), resize=SIDE, crop=SIDE, labels=["ant", "bee", "cat"])
    scorer = photo_scorer(classifier, COMPARED, samples, seed)
    return explain_photo(scorer, photo(), "it", target)


def test_every_method_gives_the_weights_of_a_linear_model() -> None:
    model = Linear()
    found = explained(model, target=2, samples=6).attributions
    weight = model.weight[2].detach().numpy()
    np.testing.assert_allclose(found["Saliency"], np.abs(weight), rtol=1e-5)
    np.testing.assert_allclose(found["SmoothGrad"], weight, rtol=1e-5)
    np.testing.assert_allclose(found["VarGrad (Captum)"], 0 * weight, atol=1e-8)
    np.testing.assert_allclose(found["GAG-85"], np.abs(weight), rtol=1e-5)


def test_the_predicted_class_is_explained_unless_one_is_named() -> None:
    model = Linear(bias=5.0)
    x = torch.from_numpy(np.asarray(photo()).transpose(2, 0, 1) / 255).float()
    x = (x - torch.tensor([0.485, 0.456, 0.406])[:, None, None]) / torch.tensor([0.229, 0.224, 0.225])[:, None, None]
    probabilities = model(x[None]).softmax(1)[0]
    auto, named = explained(model, samples=2), explained(model, target=0, samples=2)
    assert (auto.target, auto.label, named.target, named.label) == (1, "bee", 0, "ant")
    assert auto.probability == pytest.approx(probabilities[1].item(), rel=1e-5)
    assert named.probability == pytest.approx(probabilities[0].item(), rel=1e-5)
    np.testing.assert_allclose(auto.photo, np.asarray(photo()) / 255, atol=1e-6)


def test_with_a_certain_model_rcap_is_the_share_of_the_map_recovered() -> None:
    done = explained(Linear(bias=80.0), samples=2)
    saliency = done.maps["Saliency"].astype(np.float64)
    shares = [saliency[saliency >= np.percentile(saliency, 100 - p)].sum() for p in (10, 20, 30, 40, 50)]
    assert done.scores["Saliency"] == pytest.approx(np.mean(shares) / saliency.sum(), rel=1e-3)


@pytest.mark.parametrize("target", [-1, 3])
def test_a_target_that_is_no_class_is_refused(target: int) -> None:
    with pytest.raises(InputError, match=f"it is of class {target}, tiny has 0 to 2"):
        explained(Linear(), target=target)


@pytest.mark.parametrize(("model", "found"), [(nn.Identity(), r"\(1, 3, 8, 8\)"), (nn.Flatten(0), r"\(192,\)")])
def test_a_model_that_does_not_classify_is_refused(model: nn.Module, found: str) -> None:
    with pytest.raises(InputError, match=f"{found}.*expected logits"):
        explained(model)


def test_the_seed_decides_and_the_global_state_stays() -> None:
    before = torch.get_rng_state()
    first, again, other = (explained(Curved(), samples=3, seed=seed) for seed in (5, 5, 6))
    assert torch.equal(torch.get_rng_state(), before)
    for name in ("GAG-85", "SmoothGrad", "VarGrad (Captum)"):
        np.testing.assert_array_equal(first.attributions[name], again.attributions[name])
        assert np.abs(first.attributions[name] - other.attributions[name]).max() > 0


def test_rows_are_tidy() -> None:
    rows = explained(Linear(bias=5.0), samples=2).rows
    assert [row["method"] for row in rows] == [*COMPARED, "GAG-85 displaced"]
    assert {(row["image"], row["metric"], row["target"], row["label"]) for row in rows} == {("it", "RCAP", 1, "bee")}


def test_attributions_come_back_from_disk(tmp_path: Path) -> None:
    done = explained(Curved(), target=2, samples=2)
    path = tmp_path / "it.npz"
    done.save_attributions(path, (1.5, 0.0, 9.0, 7.5))
    found = dict(np.load(path))
    assert found.pop("target").tolist() == 2
    assert found.pop("box").tolist() == [1.5, 0.0, 9.0, 7.5]
    assert set(found) == set(done.attributions)
    for name, attribution in done.attributions.items():
        assert found[name].dtype == np.float32
        np.testing.assert_array_equal(found[name], attribution)


def test_the_demo_model_knows_espresso_and_gag_lies_on_the_cup() -> None:
    classifier = load_classifier("demo", device="cpu")
    scorer = photo_scorer(classifier, COMPARED, n_samples=8)
    done = explain_photo(scorer, demo_images()["coffee"], "coffee")
    assert done.label == "espresso"
    assert done.probability > 0.7
    assert done.scores["GAG-85"] > 10 * done.scores["Saliency"]
    # The cup fills the middle of the crop: 36 % of it.
    middle = slice(45, 179)
    assert done.maps["GAG-85"][middle, middle].sum() / done.maps["GAG-85"].sum() > 0.5
