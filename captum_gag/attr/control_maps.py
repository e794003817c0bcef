"""Maps that know nothing of the model: what any honest explanation has to beat."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from captum_gag.attr.methods import Method, named
from captum_gag.errors import InputError
from captum_gag.options import declared, option
from captum_gag.tensors import over_channels, positions


@named("Random")
@declared
class RandomMap(Method):
    """Control: uniform random values, the same for every image."""

    control = "random"
    seed: int | None = option(default=None, help="A seed of its own; None takes that of the others.", ge=0, lt=2**64)

    def explain(self, model: nn.Module, inputs: Tensor, targets: Tensor, seed: int | None) -> Tensor:
        """Return random values (N, 1, *positions), of tables (N, F); without any seed each image has its own."""
        seed = seed if self.seed is None else self.seed
        generator = None if seed is None else torch.Generator(inputs.device).manual_seed(seed)
        shape = (len(inputs) if seed is None else 1, *positions(inputs))
        values = torch.rand(shape, generator=generator, device=inputs.device)
        return over_channels(values.expand(len(inputs), *shape[1:]), inputs)


@named("Sobel")
@declared
class EdgeMap(Method):
    """Control: Sobel edge strength of the channel mean of an image, or of a volume."""

    control = "edges"

    def explain(self, model: nn.Module, inputs: Tensor, targets: Tensor, seed: int | None) -> Tensor:
        """Return edge strengths (N, 1, H, W), or (N, 1, D, H, W).

        Raises:
            InputError: The inputs are no images or volumes.
        """
        if inputs.ndim not in (4, 5):
            raise InputError(
                f"Sobel got inputs {tuple(inputs.shape)}, expected images (N, C, H, W) or volumes (N, C, D, H, W): "
                "signals and tables have no edges; take Random or Constant as a control."
            )
        # Here, because few who explain want edges.
        from skimage.filters import sobel

        grey = inputs.detach().float().mean(1).cpu().numpy()
        edges = torch.stack([torch.from_numpy(sobel(image)) for image in grey])
        return edges.unsqueeze(1).to(inputs.device)


@named("Constant")
@declared
class ConstantMap(Method):
    """Control: 1 everywhere, a map without ranking."""

    control = "constant"

    def explain(self, model: nn.Module, inputs: Tensor, targets: Tensor, seed: int | None) -> Tensor:
        """Return ones (N, 1, *positions), of tables (N, F)."""
        return torch.ones_like(inputs if inputs.ndim == 2 else inputs[:, :1])
