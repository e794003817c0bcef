"""Models that return something else than logits: the scores of the same model with logits, or what to declare."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import quantus
import torch
from torch import nn
from torch.nn import functional

import captum_gag.metrics as metrics
from captum_gag import explain
from captum_gag.errors import InputError
from captum_gag.metrics import deletion, evaluate, metric
from captum_gag.outputs import tensor_of

NAMES = {
    "RCAP": {},
    "Deletion": {"n_steps": 4},
    "Insertion": {"n_steps": 4},
    "AOPC": {"n_steps": 5},
    "Faithfulness": {},
}
OPTIONS = {**NAMES, "Faithfulness": {"n_pixels": 9}}


@dataclass
class Output:
    logits: torch.Tensor
    attentions: torch.Tensor


class Returning(nn.Module):
    """A network of known weights that returns its logits in some other form."""

    def __init__(self, form: Callable[[torch.Tensor], Any], classes: int = 3) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, classes))
        self.form = form
        self.eval()

    def forward(self, images: torch.Tensor) -> Any:
        return self.form(8 * self.network(images))


def logits(found: torch.Tensor) -> torch.Tensor:
    return found


def two(found: torch.Tensor) -> torch.Tensor:
    """The two logits whose softmax are the sigmoids of one."""
    return torch.cat([torch.zeros_like(found), found], 1)


FORMS: dict[str, tuple[Callable[[torch.Tensor], Any], Any]] = {
    "softmax in forward": (lambda z: functional.softmax(z, 1), "auto"),
    "softmax, declared": (lambda z: functional.softmax(z, 1), "probabilities"),
    "log_softmax": (lambda z: functional.log_softmax(z, 1), "auto"),
    "log_softmax, declared": (lambda z: functional.log_softmax(z, 1), "log_probabilities"),
    "tuple": (lambda z: (z,), "auto"),
    "dict": (lambda z: {"logits": z, "loss": z.sum()}, "logits"),
    "ModelOutput": (lambda z: Output(z, z.new_zeros(2, 2)), "auto"),
    "several": (lambda z: (z.sum(), z.softmax(1), z), lambda returned: returned[1]),
}
ONE: dict[str, tuple[Callable[[torch.Tensor], Any], Any]] = {
    "logit (N, 1)": (logits, "auto"),
    "logit (N, 1), declared": (logits, "logit"),
    "logit (N,)": (lambda z: z[:, 0], "auto"),
    "sigmoid (N, 1)": (torch.sigmoid, "probabilities"),
    "sigmoid (N,)": (lambda z: z[:, 0].sigmoid(), "probabilities"),
}


@pytest.fixture
def case() -> tuple[torch.Tensor, torch.Tensor, list[int]]:
    generator = torch.Generator().manual_seed(1)
    images, maps = torch.rand(2, 4, 3, 8, 8, generator=generator)
    return images, maps, [0, 1, 1, 0]


def scores(name: str, model: nn.Module, case, **options: Any) -> torch.Tensor:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return metric(name, OPTIONS[name]).evaluate(model, *case, **options).score


def scores_in_quantus(name: str, model: nn.Module, case, output: Any, **call: Any) -> list[float]:
    images, maps, target = case
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made = getattr(metrics, name)(**OPTIONS[name], output=output)
        return made(model, images.numpy(), np.array(target), maps.numpy(), batch_size=3, **call)


@pytest.mark.parametrize("name", OPTIONS)
@pytest.mark.parametrize("form", [*FORMS, *ONE])
def test_scores_are_those_of_the_model_with_logits(name: str, form: str, case) -> None:
    if form in FORMS:
        (shape, output), plain, classes = FORMS[form], logits, 3
    else:
        (shape, output), plain, classes = ONE[form], two, 1
    expected = scores(name, Returning(plain, classes), case, output="logits")
    model = Returning(shape, classes)
    torch.testing.assert_close(scores(name, model, case, output=output), expected, rtol=1e-4, atol=1e-5)
    for call in ({}, {"softmax": True}, {"softmax": None}):
        found = scores_in_quantus(name, model, case, output, **call)
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", OPTIONS)
def test_plain_logits_are_read_as_before(name: str, case) -> None:
    """To the last bit what a softmax of the scores gives."""
    model = Returning(logits)
    expected = scores(name, model, case, output=lambda returned: returned.softmax(1))
    assert torch.equal(scores(name, model, case), expected)
    assert torch.equal(scores(name, model, case, output="logits"), expected)
    taken = scores(name, model, case, output=tensor_of)
    found = scores_in_quantus(name, model, case, "auto", softmax=False)
    np.testing.assert_allclose(found, taken, rtol=1e-5, atol=1e-5)
    assert not torch.allclose(taken, expected)


def test_a_final_softmax_or_sigmoid_is_not_followed_by_another(case) -> None:
    plain = Returning(logits)
    images, maps, target = case
    expected = deletion(plain, images, maps, target)
    model = nn.Sequential(plain, nn.Softmax(1)).eval()
    with pytest.warns(UserWarning, match='read as probabilities; declare output="probabilities"'):
        torch.testing.assert_close(deletion(model, images, maps, target), expected)
    several = nn.Sequential(plain, nn.Sigmoid()).eval()
    with pytest.raises(InputError, match=r'do not sum to 1.*declare output="probabilities" or "logits"'):
        deletion(several, images, maps, target)
    found = deletion(several, images, maps, target, output="probabilities")
    torch.testing.assert_close(found, deletion(plain, images, maps, target, output="sigmoid"))
    with pytest.raises(InputError, match='read as output="logits", but they are in'):
        deletion(model, images, maps, target, output="logits")
    with pytest.raises(InputError, match='read as output="sigmoid", but they are all in'):
        deletion(several, images, maps, target, output="sigmoid")


def test_multi_label_by_hand() -> None:
    """One white pixel of two: the label's logit is 1 with it and -3 without."""
    images, maps = torch.ones(1, 1, 1, 2), torch.tensor([[[1.0, 0.0]]])

    def labels(x: torch.Tensor) -> torch.Tensor:
        return torch.stack([4 * x[:, 0, 0, 0] - 3, 9 - x[:, 0, 0, 1]], 1)

    [score] = deletion(labels, images, maps, 0, n_steps=2, output="sigmoid").tolist()
    before, after = 1 / (1 + np.exp(-1.0)), 1 / (1 + np.exp(3.0))
    assert score == pytest.approx(((before + after) / 2 + after) / 2, rel=1e-5)


def test_a_small_logit_of_one_column_is_to_be_declared(case) -> None:
    model = Returning(lambda z: z.sigmoid() * 0.9, 1)
    with pytest.raises(InputError, match='declare output="probabilities", "logit" or a callable'):
        deletion(model, *case)
    with pytest.raises(InputError, match='declare output="probabilities", "logit" or a callable'):
        metrics.Deletion()(model, case[0].numpy(), np.array(case[2]), case[1].numpy())


def test_logits_that_are_small_for_one_image_are_logits() -> None:
    """One image at a time, of which the first has logits in [0, 1]: what comes later says what they are."""
    images = torch.tensor([0.1, 5.0]).reshape(2, 1, 1, 1).expand(2, 1, 1, 2)
    maps = torch.tensor([[[1.0, 0.0]]]).expand(2, 1, 2)

    def model(x: torch.Tensor) -> torch.Tensor:
        total = x.flatten(1).sum(1)
        return torch.stack([total, -0.0 * total], 1)

    one = deletion(model, images, maps, 0, internal_batch_size=1)
    assert torch.equal(one, deletion(model, images, maps, 0, output="logits"))


class TestSegmentation:
    model = nn.Conv2d(3, 4, 3, padding=1).eval()

    @pytest.mark.parametrize("target", [(2, 3, 4), [(2, 3, 4), (2, 3, 4)], [[2, 3, 4], [2, 3, 4]]])
    def test_a_target_is_a_class_at_a_place(self, target: Any) -> None:
        images, maps = torch.randn(2, 3, 6, 6), torch.rand(2, 6, 6)
        found = deletion(self.model, images, maps, target, perturb_baseline=0.0)
        at = deletion(lambda x: self.model(x)[:, :, 3, 4], images, maps, 2, perturb_baseline=0.0, output="logits")
        torch.testing.assert_close(found, at)

    def test_in_quantus_a_target_is_a_row(self) -> None:
        images, maps = torch.randn(2, 3, 6, 6), torch.rand(2, 6, 6)
        expected = deletion(self.model, images, maps, [(2, 3, 4), (1, 0, 0)], perturb_baseline=0.0)
        rows = np.array([[2, 3, 4], [1, 0, 0]])
        found = metrics.Deletion(perturb_baseline=0.0)(self.model, images.numpy(), rows, maps.numpy())
        np.testing.assert_allclose(found, expected, rtol=1e-5)

    @pytest.mark.parametrize(
        ("target", "message"),
        [
            (2, "the target of an output .* is a tuple"),
            ((2, 3), "is a tuple"),
            ((2, 6, 0), r"targets up to \(2, 6, 0\)"),
        ],
    )
    def test_other_targets_are_refused(self, target: Any, message: str) -> None:
        images, maps = torch.randn(2, 3, 6, 6), torch.rand(2, 6, 6)
        with pytest.raises(InputError, match=message):
            deletion(self.model, images, maps, target, perturb_baseline=0.0)

    def test_one_hot_rows_are_no_targets(self, case) -> None:
        images, maps, _ = case
        one_hot = np.eye(3, dtype=int)[[0, 1, 1, 0]]
        with pytest.raises(InputError, match="one number, not a one-hot label"):
            metrics.Deletion()(Returning(logits), images.numpy(), one_hot, maps.numpy())


class TestQuantusOwn:
    """Metrics of Quantus in our catalogue read what is declared, and explain again the scores."""

    @pytest.mark.parametrize("form", [*FORMS, "logits"])
    def test_pixel_flipping(self, form: str, case) -> None:
        images, maps, target = case
        shape, output = FORMS.get(form, (logits, "auto"))
        made = metric("quantus:PixelFlipping", {"features_in_step": 32, "perturb_baseline": "black"})
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = made.evaluate(Returning(shape), images, maps, target, output=output).score
        theirs = quantus.PixelFlipping(features_in_step=32, perturb_baseline="black", disable_warnings=True)(
            Returning(logits), images.numpy(), np.array(target), maps.sum(1, keepdim=True).numpy(), softmax=True
        )
        np.testing.assert_allclose(found, np.mean(theirs, 1), rtol=1e-4, atol=1e-6)

    def test_a_decision_is_said(self, case) -> None:
        model = Returning(lambda z: functional.softmax(z, 1))
        with pytest.warns(UserWarning, match='read as probabilities; declare output="probabilities"'):
            metric("quantus:Sparseness", {}).evaluate(model, *case)

    def test_random_logit_explains_the_scores(self, case) -> None:
        """Of a linear model the explanation of another class is known: its weights."""
        images, maps, target = case
        torch.manual_seed(0)
        network = nn.Sequential(nn.Flatten(), nn.Linear(192, 2)).eval()
        soft = nn.Sequential(network, nn.Softmax(1)).eval()
        asked = []

        def own(model: nn.Module, inputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
            asked.append(model)
            return network[1].weight.detach()[targets].reshape(inputs.shape)

        options = {"num_classes": 2, "seed": 1}
        made = metric("quantus:RandomLogit", options)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = made.evaluate(soft, images, maps, target, explain=own).score
        assert all(each is soft for each in asked)
        theirs = quantus.RandomLogit(**options, disable_warnings=True)(
            network,
            images.numpy(),
            np.array(target),
            maps.sum(1, keepdim=True).numpy(),
            batch_size=1,
            explain_func=lambda model, inputs, targets, **_: explain(model, inputs, targets, method="VG"),
        )
        np.testing.assert_allclose(found, theirs, rtol=1e-4)

    @pytest.mark.parametrize("name", ["MaxSensitivity", "MPRT"])
    def test_what_explains_again_gets_the_model_itself_or_a_copy_with_other_weights(self, name: str, case) -> None:
        images, maps, target = case
        model = Returning(lambda z: functional.softmax(z, 1))
        options = {"nr_samples": 2} if name == "MaxSensitivity" else {"return_average_correlation": True}
        kinds = set()

        def own(asked: nn.Module, inputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
            assert type(asked) is Returning
            kinds.add(torch.equal(asked.network[0].weight, model.network[0].weight))
            return torch.as_tensor(explain(asked, inputs.numpy(), targets.numpy(), method="VG"))

        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = metric(f"quantus:{name}", options).evaluate(model, images, maps, target, explain=own).score
        assert found.shape == (4,)
        assert bool(found.isfinite().all())
        assert False in kinds or name == "MaxSensitivity"

    @pytest.mark.parametrize("shape", [(3, 12), (24,)])
    def test_signals_and_rows(self, shape: tuple[int, ...]) -> None:
        inputs, maps = torch.rand(2, 4, *shape)
        model = nn.Sequential(nn.Flatten(), nn.Linear(inputs[0].numel(), 3)).eval()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            found = metric("quantus:Sparseness", {}).evaluate(model, inputs, maps, 0, output="logits").score
            theirs = quantus.Sparseness(disable_warnings=True)(
                model,
                inputs.numpy(),
                np.zeros(4, int),
                (maps.abs().sum(1, keepdim=True) if len(shape) > 1 else maps).numpy(),
            )
        np.testing.assert_allclose(found, theirs, rtol=1e-5)


@pytest.mark.parametrize("name", OPTIONS)
def test_bfloat16(name: str, case) -> None:
    images, maps, target = case
    expected = scores(name, Returning(logits), case)
    model = Returning(logits).to(torch.bfloat16)
    found = scores(name, model, (images.bfloat16(), maps.bfloat16(), target))
    torch.testing.assert_close(found, expected, rtol=0.3, atol=0.15)
    assert np.allclose(scores_in_quantus(name, model, case, "auto"), expected, rtol=0.3, atol=0.15)


def test_model_predict_kwargs_reach_the_model(case) -> None:
    class Scaled(Returning):
        def forward(self, images: torch.Tensor, scale: float = 1.0) -> torch.Tensor:
            return scale * super().forward(images)

    images, maps, target = case
    model = Scaled(logits)
    expected = deletion(lambda x: model(x, scale=0.3), images, maps, target)
    found = metrics.Deletion()(
        model, images.numpy(), np.array(target), maps.numpy(), model_predict_kwargs={"scale": 0.3}
    )
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_what_was_decided_is_said_once_for_all_metrics_and_batches(case) -> None:
    images, maps, target = case
    model = Returning(lambda z: functional.softmax(z, 1))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        both = {"Deletion": metric("Deletion", {}), "RCAP": metric("RCAP", {})}
        evaluate(model, images, {"one": maps, "two": -maps}, target, both, internal_batch_size=2)
        metrics.Deletion()(model, images.numpy(), np.array(target), maps.numpy(), batch_size=1)
    assert sum("read as probabilities" in str(each.message) for each in caught) == 2


class Detector(nn.Module):
    """A detection transformer in small: each of 6 queries attends to the pixels, and has 4 logits."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.features, self.head = nn.Conv2d(3, 8, 3, padding=1), nn.Linear(8, 4)
        self.queries = nn.Parameter(torch.randn(6, 8))
        self.eval()

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        memory = self.features(x).flatten(2).movedim(1, 2)
        attention = (self.queries @ memory.movedim(1, 2)).softmax(2)
        return {"logits": 9 * self.head(attention @ memory), "boxes": attention}


class Tagger(nn.Module):
    """A token classifier: embeddings (N, T, E) to logits (N, T, classes)."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layer, self.head = nn.TransformerEncoderLayer(4, 2, 8, batch_first=True), nn.Linear(4, 5)
        self.eval()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return 3 * self.head(self.layer(x))


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize(("network", "shape", "axis"), [(Detector, (2, 3, 6, 6), 1), (Tagger, (2, 7, 4), -1)])
class TestClassAxis:
    """Outputs (N, queries or tokens, classes): a softmax over the classes, written out."""

    def case(self, network: type[nn.Module], shape: tuple[int, ...], axis: int) -> tuple[Any, ...]:
        x, maps = torch.randn(2, *shape, generator=torch.Generator().manual_seed(1))
        return network(), x, maps.abs().sum(axis), [(2, 3), (4, 0)]

    def written_out(self, returned: Any) -> torch.Tensor:
        powers = tensor_of(returned).double().exp()
        return (powers / powers.sum(2, keepdim=True)).float()

    def options(self, name: str) -> dict[str, Any]:
        return {**OPTIONS[name], **({"n_pixels": 5} if name == "Faithfulness" else {}), "perturb_baseline": 0.0}

    def test_declared(self, name: str, network: type[nn.Module], shape: tuple[int, ...], axis: int) -> None:
        model, x, maps, target = self.case(network, shape, axis)
        judge = metric(name, self.options(name))
        expected = judge.evaluate(model, x, maps, target, output=self.written_out, channel_axis=axis).score
        declared = {"class_axis": -1, "channel_axis": axis}
        found = judge.evaluate(model, x, maps, target, **declared).score
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)
        several = evaluate(model, x, {"map": maps}, target, {name: judge}, **declared)
        assert torch.equal(several["map"][name], found)
        made = getattr(metrics, name)(**self.options(name), **declared)
        scores = made(model, x.numpy(), np.array(target), maps.unsqueeze(axis).numpy(), channel_first=True)
        np.testing.assert_allclose(scores, found, rtol=1e-6)

    def test_open(self, name: str, network: type[nn.Module], shape: tuple[int, ...], axis: int) -> None:
        model, x, maps, target = self.case(network, shape, axis)
        with pytest.raises(InputError, match="declare class_axis=1 or -1"):
            metric(name, self.options(name)).evaluate(model, x, maps, target, channel_axis=axis)
