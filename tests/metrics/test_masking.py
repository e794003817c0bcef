"""The engine: which versions of an image are predicted, and to whom each probability belongs."""

from __future__ import annotations

import pytest
import torch

from captum_gag.batching import with_less_memory
from captum_gag.errors import InputError
from captum_gag.metrics.masking import Context, MaskedInputs, class_probabilities
from captum_gag.outputs import tensor_of


def share_shown(x: torch.Tensor) -> torch.Tensor:
    """Class 0 scores the share of the pixels that are 1: what of the white images is shown on the black ones."""
    share = x.mean((1, 2, 3))
    return torch.stack([share, 1 - share], 1)


CONTEXT = Context(share_shown, 0, tensor_of)


@pytest.fixture
def parts() -> tuple[torch.Tensor, ...]:
    order = torch.arange(8.0).reshape(1, 2, 4).repeat(3, 1, 1)
    return torch.ones(3, 3, 2, 4), torch.zeros(3, 3, 2, 4), order, torch.tensor([[2.0, 6.0]]).repeat(3, 1)


COMPARISONS = [(torch.ge, (6, 2)), (torch.gt, (5, 1)), (torch.lt, (2, 6)), (torch.eq, (1, 1)), (torch.ne, (7, 7))]


def test_masked_inputs_that_differ_in_the_comparison_alone_are_not_mixed_up(parts: tuple[torch.Tensor, ...]) -> None:
    found = class_probabilities([MaskedInputs(*parts, compare) for compare, _ in COMPARISONS], CONTEXT)
    for (_, pixels), probabilities in zip(COMPARISONS, found, strict=True):
        assert (probabilities * 8).tolist() == [list(pixels)] * 3


@pytest.mark.parametrize(("compare", "shown"), [(torch.ge, (8, 0)), (torch.lt, (0, 8)), (torch.ne, (8, 8))])
def test_levels_outside_the_order_show_all_or_nothing(parts: tuple[torch.Tensor, ...], compare, shown) -> None:
    levels = torch.tensor([[-1.0, 9.0]]).repeat(3, 1)
    [found] = class_probabilities([MaskedInputs(*parts[:3], levels, compare)], CONTEXT)
    assert (found * 8).tolist() == [list(shown)] * 3


def test_an_image_is_predicted_once_whoever_asks(parts: tuple[torch.Tensor, ...]) -> None:
    sizes = []

    def counted(x: torch.Tensor) -> torch.Tensor:
        sizes.append(len(x))
        return share_shown(x)

    for _ in range(2):
        class_probabilities([MaskedInputs(*parts), MaskedInputs(*parts)], CONTEXT._replace(model=counted))
    # The first time two passes ask the model, with one image more than it is given.
    assert sizes == [3, 4, 6, 6]


def test_less_goes_through_the_model_where_memory_is_short(parts: tuple[torch.Tensor, ...]) -> None:
    def small(x: torch.Tensor) -> torch.Tensor:
        if len(x) > 2:
            raise MemoryError("too many images")
        return share_shown(x)

    masked = [MaskedInputs(*parts)]
    [found] = with_less_memory(lambda: class_probabilities(masked, CONTEXT._replace(model=small)))
    assert (found * 8).tolist() == [[6, 2]] * 3


def test_output_that_is_none_of_classes(parts: tuple[torch.Tensor, ...]) -> None:
    with pytest.raises(InputError, match=r"output of shape \(6, 2, 3, 1\) for 6 images with targets up to 0"):
        class_probabilities([MaskedInputs(*parts)], Context(lambda x: 9 * torch.ones(len(x), 2, 3, 1), 0))
