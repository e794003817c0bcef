"""Feature maps among the outputs of a model's modules, and how each output is read as one."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import combinations
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from captum_gag.attr.hooks import seen_by_hooks
from captum_gag.errors import InputError
from captum_gag.outputs import tensor_of
from captum_gag.tensors import positions


def _classes(*names: str) -> tuple[type[nn.Module], ...]:
    return tuple(getattr(nn, f"{name}{n}d") for name in names for n in (1, 2, 3))


_POOLED = _classes("AdaptiveAvgPool", "AdaptiveMaxPool")
_CHANNELS_FIRST = (
    *_classes("Conv", "ConvTranspose", "BatchNorm", "InstanceNorm", "MaxPool", "AvgPool"),
    *(*_POOLED, nn.GroupNorm, nn.Dropout2d, nn.Dropout3d, nn.Upsample, nn.PixelShuffle, nn.PixelUnshuffle),
)
# Modules that mix channels, hand on their input, or make a grid of a fixed size.
_NOT_A_MAP_OF_ITS_OWN = (nn.Linear, nn.Identity, *_POOLED)


class Grid(NamedTuple):
    """The reading of an activation as a feature map.

    Attributes:
        channel_axis: 1 or -1.
        tokens: Indices of the tokens that are positions of the input; None where the axes are the input's.
        sizes: The shape of the positions.
    """

    channel_axis: int
    tokens: Tensor | None
    sizes: tuple[int, ...]

    def of(self, activation: Tensor) -> Tensor:
        """Return the feature map (N, C, *sizes) in an activation, as a copy."""
        turned = activation.movedim(self.channel_axis, 1)
        if self.tokens is None:
            return turned.clone()
        grid = turned.index_select(2, self.tokens.to(activation.device))
        return grid.reshape(*turned.shape[:2], *self.sizes)

    def put_back(self, feature_map: Tensor, activation: Tensor) -> Tensor:
        """Return the activation with a feature map in its place; the inverse of ``of``."""
        turned = feature_map
        if self.tokens is not None:
            tokens = activation.movedim(self.channel_axis, 1)
            turned = tokens.index_copy(2, self.tokens.to(activation.device), feature_map.flatten(2))
        return turned.movedim(1, self.channel_axis)


class Layer(NamedTuple):
    """A module with the grid of its output."""

    name: str
    module: nn.Module
    grid: Grid


def activation_in(output: Any) -> Tensor | None:
    """Return the activation in a module's output: the tensor, or the first of a tuple; None if it is no tensor."""
    first = output[0] if isinstance(output, tuple | list) and output else output
    return first if isinstance(first, Tensor) else None


class Activations:
    """Outputs of a model's modules for an image, and for another, and the axes of the channels that they show.

    A module of a known kind shows which axis of its input and output is the channels': 1 for a convolution, a
    pooling or a batch normalisation, the last for a linear layer, and the axis as long as its vector of weights for a
    normalisation. Modules that keep the shape hand this on. Tokens that are the same for both images when they first
    appear (class, distillation, register tokens) are no positions of the image.
    """

    def __init__(self, model: nn.Module, image: Tensor, arguments: tuple[Any, ...] = ()) -> None:
        """Run a model, whose scripted modules cannot be seen inside, on an image (1, C, *positions)."""
        self.positions = positions(image)
        self.names = {module: name for name, module in model.named_modules() if name}
        self._seen: list[tuple[nn.Module, Tensor]] = []
        self._axes: defaultdict[int, set[int]] = defaultdict(set)
        self._same: list[tuple[int, int]] = []
        self._return_several: set[nn.Module] = set()
        # As long as these live, no other tensor has their identity.
        self._alive: list[Any] = []
        spread = (image.max() - image.min()).clamp(min=1e-3)
        generator = torch.Generator().manual_seed(0)
        noise = torch.rand(image.shape, generator=generator, dtype=torch.float32).to(image)
        # One after the other, because memory may not hold two.
        with torch.no_grad():
            self._run(model, image.detach() + spread * (noise - 0.5), arguments)
        self._others = [activation for _, activation in self._seen]
        self._seen, self._same = [], []
        self._axes.clear()
        with torch.enable_grad():
            self._outputs = self._run(model, image.detach().requires_grad_(), arguments)
        if not self._outputs.requires_grad:
            raise InputError(
                "Grad-CAM needs gradients, and the model's output has none; let it compute without no_grad or detach."
            )
        changed = True
        while changed:
            changed = False
            for one, other in self._same:
                both = self._axes[one] | self._axes[other]
                changed |= self._axes[one] != both or self._axes[other] != both
                self._axes[one] = self._axes[other] = both
        self._stages = set(self._sizes_of_stages())

    def _run(self, model: nn.Module, image: Tensor, arguments: tuple[Any, ...]) -> Tensor:
        with ExitStack() as hooks:
            hooks.enter_context(seen_by_hooks())
            for module in self.names:
                if not isinstance(module, torch.jit.ScriptModule):
                    hooks.callback(module.register_forward_hook(self._note, with_kwargs=True).remove)
            # A copy, because some models change what they get.
            return tensor_of(model(image.clone(), *arguments))

    def _note(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> None:
        activation = activation_in(output)
        if activation is None or activation.ndim < 3:
            return
        if not isinstance(output, Tensor):
            self._return_several.add(module)
        first = next((value for value in (*args, *kwargs.values()) if isinstance(value, Tensor)), activation)
        self._alive += [first, activation]
        self._seen.append((module, activation))
        if next(module.children(), None) is None:
            axis = _channel_axis(module, activation)
            for tensor in (first, activation):
                if axis is not None and tensor.ndim == activation.ndim:
                    self._axes[id(tensor)].add(axis)
            if first.shape == activation.shape:
                self._same.append((id(first), id(activation)))

    def _sizes_of_stages(self) -> Iterator[tuple[int, ...]]:
        """Yield the shapes of the positions in feature maps, and those halved again and again, as patches merge."""
        for _, activation in self._seen:
            if activation.ndim == len(self.positions) + 2 and self._axes[id(activation)] == {1}:
                down = up = tuple(activation.shape[2:])
                while min(down) >= 1:
                    yield from (down, up)
                    down, up = tuple(size // 2 for size in down), tuple(-(-size // 2) for size in up)

    def channel_axis(self, module: nn.Module, activation: Tensor) -> int | None:
        """Return 1 or -1; None where nothing, or both, are shown."""
        axes = self._axes[id(activation)]
        if not axes:
            inside = {id(child) for child in module.modules()}
            outputs = [output for by, output in self._seen if id(by) in inside and output.ndim == activation.ndim]
            axes = set().union(*(self._axes[id(output)] for output in outputs if len(output) == len(activation)))
            if len(axes) == 2:
                # Channels are first and last inside, as in ConvNeXt: only one of them leaves sizes of a stage.
                grids = {axis: self.grid(activation, axis) for axis in axes}
                axes = {axis for axis, grid in grids.items() if grid and self._fits(grid.sizes)}
        return next(iter(axes)) if len(axes) == 1 else None

    def grid(self, activation: Tensor, channel_axis: int) -> Grid | None:
        """Return the grid of an activation with its channels on an axis; None if it is no feature map."""
        sizes = tuple(activation.movedim(channel_axis, 1).shape[2:])
        if len(activation) != 1 or min(sizes, default=1) < 2:
            return None
        if len(sizes) == len(self.positions) and (channel_axis == 1 or len(sizes) > 1):
            varies = channel_axis == 1 or (self._fits(sizes) and bool(self._varies(activation).any()))
            return Grid(channel_axis, None, sizes) if varies else None
        if len(sizes) != 1:
            return None
        same_number = (
            output
            for _, output in self._seen
            if output.ndim == 3 and len(output) == 1 and output.movedim(channel_axis, 1).shape[2] == sizes[0]
        )
        tokens = self._varies(next(same_number)).movedim(channel_axis, 1)[0].any(0).nonzero().flatten()
        fitting = [candidate for candidate in _products(len(tokens), len(self.positions)) if self._fits(candidate)]
        return Grid(channel_axis, tokens, fitting[0]) if len(fitting) == 1 else None

    def _varies(self, activation: Tensor) -> Tensor:
        """Return the mask of values that differ between the two images."""
        index = next(index for index, (_, output) in enumerate(self._seen) if output is activation)
        other = self._others[index] if index < len(self._others) else None
        if other is None or other.shape != activation.shape:
            return torch.ones_like(activation, dtype=torch.bool)
        return activation.detach() != other

    def _fits(self, sizes: tuple[int, ...]) -> bool:
        """Return whether sizes are those of a stage; without feature maps, whether they are in proportion."""
        if self._stages:
            return sizes in self._stages
        pairs = combinations(zip(sizes, self.positions, strict=True), 2)
        return all(abs(one * width - other * height) < max(width, height) for (one, height), (other, width) in pairs)

    def of_layer(self, module: nn.Module) -> Tensor | None:
        """Return the activation of a module that ran once; None of another."""
        outputs = [output for by, output in self._seen if by is module]
        return outputs[0] if len(outputs) == 1 else None

    def layers(self) -> list[Layer]:
        """Return the layers that Grad-CAM can explain, in the order in which they finished.

        Each is a feature map on which the output depends: a class token's last layers leave the others without effect.
        """
        layers: list[Layer] = []
        activations: list[Tensor] = []
        runs = Counter(id(module) for module, _ in self._seen)
        for module, activation in self._seen:
            if runs[id(module)] > 1 or isinstance(module, _NOT_A_MAP_OF_ITS_OWN) or module in self._return_several:
                continue
            # The scores of a segmentation are a map too, but not one that explains them.
            if activation is self._outputs or not activation.requires_grad:
                continue
            axis = self.channel_axis(module, activation)
            grid = None if axis is None else self.grid(activation, axis)
            if grid is not None:
                layers.append(Layer(self.names[module], module, grid))
                activations.append(activation)
        if not layers:
            return []
        generator = torch.Generator().manual_seed(0)
        weights = torch.randn(self._outputs.shape, generator=generator, dtype=torch.float32).to(self._outputs)
        score = (self._outputs * weights).sum()
        gradients = torch.autograd.grad(score, activations, allow_unused=True, retain_graph=True)
        effective = [
            layer
            for layer, gradient in zip(layers, gradients, strict=True)
            if gradient is not None and bool(layer.grid.of(gradient).any())
        ]
        # Where a network is dead all over, it is not the layer's fault.
        return effective or layers


def _channel_axis(module: nn.Module, activation: Tensor) -> int | None:
    if isinstance(module, _CHANNELS_FIRST):
        return 1
    if isinstance(module, nn.Linear) or (type(module) is nn.LayerNorm and len(module.normalized_shape) == 1):
        return -1
    lengths = {len(weight) for weight in module.parameters(recurse=False) if weight.ndim == 1}
    fitting = [axis for axis in (1, -1) if {activation.shape[axis]} == lengths]
    return fitting[0] if len(fitting) == 1 else None


def _products(n: int, factors: int) -> Iterator[tuple[int, ...]]:
    if factors == 1:
        yield (n,)
        return
    for first in range(2, n // 2 + 1):
        if n % first == 0:
            yield from ((first, *rest) for rest in _products(n // first, factors - 1))
