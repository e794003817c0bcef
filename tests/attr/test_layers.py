"""Guided AbsoluteGrad at a layer: closed forms over an embedding, tuples, and what cannot be explained."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from captum.attr import LayerActivation, LayerAttribution
from torch import Tensor, nn

from captum_gag.attr import GuidedAbsoluteGrad, LayerGuidedAbsoluteGrad
from captum_gag.attr.layers import layer_activation, replaced
from captum_gag.errors import InputError

TOKENS = torch.tensor([[1, 2, 3, 0], [4, 4, 5, 6]])


class Text(nn.Module):
    """A linear head over the mean embedding: the gradient by every token's embedding is the class's weights / T."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.embedding, self.head = nn.Embedding(8, 3), nn.Linear(3, 4)

    def forward(self, tokens: Tensor, mask: Tensor | None = None) -> Tensor:
        embedded = self.embedding(tokens)
        return self.head((embedded if mask is None else embedded * mask.unsqueeze(-1)).mean(1))


def test_a_linear_head_over_an_embedding() -> None:
    model = Text().eval()
    gag = LayerGuidedAbsoluteGrad(model, model.embedding)
    assert isinstance(gag, LayerAttribution)
    found = gag.attribute(TOKENS, [1, 2], seed=0)
    expected = model.head.weight[[1, 2]].detach().abs()[:, None].expand(2, 4, 3) / 4
    torch.testing.assert_close(found, expected)
    mask = torch.tensor([[1.0, 1, 1, 0], [1, 0, 1, 1]])
    masked = gag.attribute(TOKENS, [1, 2], mask, nt_samples=5, nt_samples_batch_size=2, percentile=0)
    torch.testing.assert_close(masked, expected * mask[:, :, None])
    assert not model.embedding._forward_hooks


@pytest.mark.parametrize("wrap", [lambda m: m, nn.DataParallel, lambda m: torch.compile(m, backend="eager")])
@pytest.mark.parametrize("of_input", [False, True])
def test_is_guided_absolute_grad_of_what_follows_the_layer(wrap: Any, of_input: bool) -> None:
    torch.manual_seed(0)
    first, activation, last = nn.Conv2d(3, 4, 3), nn.ReLU(inplace=True), nn.Sequential(nn.Flatten(), nn.Linear(64, 5))
    model = nn.Sequential(first, activation, last).eval()
    x = torch.rand(2, 3, 6, 6)
    layer, rest = (activation, nn.Sequential(nn.ReLU(), last)) if of_input else (first, nn.Sequential(nn.ReLU(), last))
    found, error = LayerGuidedAbsoluteGrad(wrap(model), layer).attribute(
        x, [1, 2], attribute_to_layer_input=of_input, seed=0, return_standard_error=True
    )
    expected = GuidedAbsoluteGrad(rest).attribute(first(x).detach(), [1, 2], seed=0, return_standard_error=True)
    torch.testing.assert_close((found, error), expected)


class Two(nn.Module):
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, None]:
        return 2 * x, 3 * x, None


def test_several_tensors_give_a_tuple() -> None:
    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.two = Two()

        def forward(self, x: Tensor) -> Tensor:
            a, b, _ = self.two(x)
            return 5 * a.sum(1) - 7 * b.sum(1)

    model, x = Model(), torch.rand(2, 3)
    a, b = LayerGuidedAbsoluteGrad(model, model.two).attribute(x, percentile=0)
    assert torch.equal(a, torch.full((2, 3), 5.0))
    assert torch.equal(b, torch.full((2, 3), 7.0))


def test_the_activation_is_captums_and_a_replaced_one_takes_its_place() -> None:
    model = Text().eval()
    [found] = layer_activation(model, model.embedding, (TOKENS,))
    assert torch.equal(found, LayerActivation(model, model.embedding).attribute(TOKENS))  # type: ignore[arg-type]
    with replaced(model.embedding, [torch.zeros(2, 4, 3)]):
        torch.testing.assert_close(model(TOKENS), model.head.bias.expand(2, 4))
    assert not torch.equal(model(TOKENS), model.head.bias.expand(2, 4))


def test_a_nan_stays_with_its_example() -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2)).eval()
    x = torch.rand(3, 3)
    broken = x.clone()
    broken[1, 0] = torch.nan
    gag = LayerGuidedAbsoluteGrad(model, model[1])
    found, expected = (gag.attribute(each, 0, seed=0) for each in (broken, x))
    assert bool(found[1].isnan().all())
    assert torch.equal(found[[0, 2]], expected[[0, 2]])


def test_what_is_refused() -> None:
    relu = nn.ReLU()
    twice = nn.Sequential(nn.Linear(3, 3), relu, nn.Linear(3, 3), relu)
    with pytest.raises(InputError, match="ReLU runs 2 times"):
        LayerGuidedAbsoluteGrad(twice, relu).attribute(torch.rand(2, 3), 0)
    with pytest.raises(InputError, match="Linear runs 0 times"):
        LayerGuidedAbsoluteGrad(twice, nn.Linear(3, 3)).attribute(torch.rand(2, 3), 0)
    model = Text()
    with pytest.raises(InputError, match="no floating-point tensor in its input"):
        LayerGuidedAbsoluteGrad(model, model.embedding).attribute(TOKENS, 0, attribute_to_layer_input=True)
    folded = nn.Sequential(nn.Flatten(0, 1), nn.Unflatten(0, (2, 2)), nn.Flatten())
    with pytest.raises(InputError, match="keeps the examples on its first axis"):
        LayerGuidedAbsoluteGrad(folded, folded[0]).attribute(torch.rand(2, 2, 3), 0)
    with pytest.raises(InputError, match="layer is 'head'"):
        LayerGuidedAbsoluteGrad(model, "head")  # type: ignore[arg-type]
