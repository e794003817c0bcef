"""Changes of a map that ignore the model: to see which metric notices."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from captum_gag.attr.methods import Images, Method
from captum_gag.attr.saliency import check_shares, reverse_saliency, saliency_map
from captum_gag.errors import InputError
from captum_gag.options import declared, option
from captum_gag.tensors import over_channels, positions


@declared
class Transform(Method):
    """A method whose maps are another's, manipulated."""

    of: Method = option(help="The method whose maps are transformed: a name, a spec, or built.")

    def manipulated(self, maps: Tensor, seed: int | None) -> Tensor:
        """Return maps (N, *positions) made of maps (N, *positions) in [0, 1]."""
        raise NotImplementedError

    def transformed(self, attributions: Tensor, seed: int | None) -> Tensor:
        """Return maps (N, 1, *positions) of the original's attributions (N, C, *positions); of tables (N, F)."""
        maps = saliency_map(attributions, channel_axis=None if attributions.ndim == 2 else 1)
        return over_channels(self.manipulated(maps, seed), attributions)

    def explain(self, model: nn.Module, inputs: Tensor, targets: Tensor, seed: int | None) -> Tensor:
        """Explain with the original, and transform its maps."""
        return self.transformed(self.of.explain(model, inputs, targets, seed).detach(), seed)

    def prepare(self, images: Images) -> None:
        """Prepare the original."""
        self.of.prepare(images)


@declared
class Reverse(Transform):
    """Reversed map (Proposition 1): the least salient pixels change places with the next most salient ones."""

    transform = "reverse"
    retain: float = option(default=0.05, help="Share of most salient pixels that stays.", ge=0, le=1)
    swap: float = option(
        default=0.10, help="Share of pixels on either side of the exchange; retain + 2 swap <= 1.", ge=0, le=0.5
    )

    def __post_init__(self) -> None:
        check_shares(self.retain, self.swap)

    def manipulated(self, maps: Tensor, seed: int | None) -> Tensor:
        """Return the reversed maps."""
        return reverse_saliency(maps, self.retain, self.swap, seed)


@declared
class Sharpen(Transform):
    """Sharpened map: a power in double precision, so nearly all saliency in a few pixels, in the same ranking."""

    transform = "sharpen"
    power: float = option(default=8.0, help="Exponent of the map.", gt=0)

    def manipulated(self, maps: Tensor, seed: int | None) -> Tensor:
        """Return the maps to the power."""
        return maps.double() ** self.power


@declared
class Binarise(Transform):
    """Binary map: 1 for the share of most salient pixels, 0 elsewhere."""

    transform = "binarise"
    share: float = option(default=0.1, help="Share of pixels that are 1, at least one pixel.", gt=0, le=1)

    def manipulated(self, maps: Tensor, seed: int | None) -> Tensor:
        """Return the binary maps."""
        return _top(maps, max(1, int(maps[0].numel() * self.share)))


@declared
class OnePixel(Transform):
    """Map of one pixel: 1 for the most salient one (the first of equal ones), 0 elsewhere."""

    transform = "one_pixel"

    def manipulated(self, maps: Tensor, seed: int | None) -> Tensor:
        """Return the maps of one pixel."""
        return _top(maps, 1)


@declared
class Displaced(Transform):
    """Control: the attributions of an explanation moved by half the size on every axis of positions, round the border.

    Values, signs and neighbours stay: where the map points is all that changes.
    """

    transform = "displaced"
    control = "displaced"

    def __post_init__(self) -> None:
        if self.of.control or self.of.transform:
            kind = f"control ({self.of.control})" if self.of.control else f"map that is changed ({self.of.transform})"
            raise InputError(
                f"displaced maps are of a {kind}, must be of an explanation; name one in the suite by displaced = "
                'LABEL, or "" for none'
            )

    def transformed(self, attributions: Tensor, seed: int | None) -> Tensor:
        """Return the moved attributions, like the original's; a row of a table (N, F) is moved along its features."""
        sides = positions(attributions)
        axes = tuple(range(attributions.ndim - len(sides), attributions.ndim))
        return attributions.roll([side // 2 for side in sides], axes)


TRANSFORMS: dict[str, type[Transform]] = {
    cls.transform: cls for cls in (Reverse, Sharpen, Binarise, OnePixel, Displaced)
}
"""By the name in a spec: { of = ..., transform = NAME }."""


def _top(maps: Tensor, count: int) -> Tensor:
    order = maps.flatten(1).argsort(dim=1, descending=True, stable=True)[:, :count]
    top = torch.zeros_like(maps.flatten(1)).scatter_(1, order, 1.0).reshape(maps.shape)
    undefined = maps.flatten(1).isnan().any(1).reshape(-1, *[1] * (maps.ndim - 1))
    return torch.where(undefined, maps, top)
