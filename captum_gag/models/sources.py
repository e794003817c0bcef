"""Models of torchvision, of timm, and of a callable of the user's."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import torch
import torchvision
from torch import Tensor, nn
from torchvision.transforms import InterpolationMode

from captum_gag.errors import InputError, first_line, in_one_line
from captum_gag.models.base import ModelSpec
from captum_gag.models.loading import Classifier
from captum_gag.models.preprocessing import Preprocessing
from captum_gag.models.weights import fitted, load_state, read_state
from captum_gag.names import imported, require_model
from captum_gag.options import declared, option, options_of

OPTIONS = tuple(option.name for option in options_of(ModelSpec))
"""Of every model."""


@declared
class Torchvision(ModelSpec):
    """A classifier of torchvision; its number of classes is that of its weights."""

    name: str = option(help="As torchvision lists it, such as resnet18.")

    type: ClassVar[str] = "torchvision"

    @cached_property
    def published(self) -> Any:
        """The weights that torchvision publishes, with all that is known of them; not downloaded.

        Raises:
            InputError: There is no such model.
        """
        require_model(f"torchvision:{self.name}")
        all_of_them = torchvision.models.get_model_weights(self.name)
        return all_of_them[str(self.weights)] if str(self.weights) in all_of_them.__members__ else all_of_them.DEFAULT

    def weights_file(self) -> Path | None:
        """Return the file that the weights are read from; None where torchvision publishes them.

        Raises:
            InputError: They are neither a file nor the name of published ones.
        """
        if self.weights is None or str(self.weights) == self.published.name:
            return None
        if not Path(self.weights).exists():
            names = ", ".join(weights.name for weights in type(self.published))
            raise InputError(
                f"{self.weights}: No such file, nor the name of weights that torchvision publishes for {self.name}; "
                f"expected a state dict (.safetensors, .pth), or {names}"
            )
        return Path(self.weights)

    def own_preprocessing(self) -> Preprocessing:
        """Return that of the published weights; the labels are theirs if they have as many classes."""
        try:
            return self._preprocessing(self.n_classes())
        # Of weights that are gone nobody knows which classes they have.
        except InputError:
            return self._preprocessing(None)

    def build(self, state: Mapping[str, Tensor] | None) -> Classifier:
        """Build the network; without weights, torchvision downloads its own."""
        classes = self._classes(state)
        if state is None:
            try:
                net = torchvision.models.get_model(self.name, weights=self.published)
            except (OSError, RuntimeError) as error:
                raise InputError(
                    f"the weights of {self.name} could not be downloaded from {self.published.url} "
                    f"({first_line(error)}); pass a file of them with --weights FILE"
                ) from error
        else:
            net = torchvision.models.get_model(self.name, weights=None, num_classes=classes)
            if hasattr(net, "transform_input"):
                # GoogLeNet and Inception change the normalisation inside, and the state dict does not say so.
                net.transform_input = True
            load_state(net, state, self.name)
        return Classifier(self.name, net, **vars(self._preprocessing(classes)))

    def n_classes(self) -> int:
        """Count the classes of the weights.

        Raises:
            InputError: They cannot be read.
        """
        file = self.weights_file()
        return self._classes(None if file is None else read_state(file))

    def _classes(self, state: Mapping[str, Tensor] | None) -> int:
        """Count the classes: the length of the last parameter, or those of the published weights."""
        published = len(self.published.meta["categories"])
        if state is None:
            return published
        # Without memory and numbers, for the names of the parameters only.
        with torch.device("meta"):
            names = list(torchvision.models.get_model(self.name, weights=None).state_dict())
        head = fitted(state, names).get(names[-1])
        return len(head) if head is not None and head.ndim else published

    def _preprocessing(self, classes: int | None) -> Preprocessing:
        preset, labels = self.published.transforms(), self.published.meta["categories"]
        return Preprocessing(
            tuple(preset.mean),
            tuple(preset.std),
            preset.resize_size[0],
            preset.crop_size[0],
            labels if classes == len(labels) else None,
            preset.interpolation,
        )


@declared
class Timm(ModelSpec):
    """A classifier of timm, where that is installed."""

    name: str = option(help="As timm lists it, such as vit_tiny_patch16_224.augreg_in21k_ft_in1k.")

    type: ClassVar[str] = "timm"

    @cached_property
    def package(self) -> Any:
        """The package.

        Raises:
            InputError: It is not installed.
        """
        try:
            return importlib.import_module("timm")
        except ImportError as error:
            raise InputError("timm is not installed; install it with: pip install timm") from error

    def own_preprocessing(self) -> Preprocessing:
        """Return the preprocessing that timm lists for the name."""
        try:
            config = self.package.get_pretrained_cfg(self.name)
        # As in _create.
        except Exception as error:
            raise InputError(f"timm:{self.name} cannot be made: {first_line(error)}") from error
        # Timm lists none for a model of the hub; its config comes with the network.
        return self._preprocessing(self._create().pretrained_cfg if config is None else config.to_dict())

    def build(self, state: Mapping[str, Tensor] | None) -> Classifier:
        """Build the network; without weights, timm downloads its own."""
        net = self._create(pretrained=state is None)
        if state is not None:
            net = self._create(**self._heads(net, state))
            load_state(net, state, f"timm:{self.name}")
        return Classifier(f"timm:{self.name}", net, **vars(self._preprocessing(net.pretrained_cfg)))

    def _heads(self, net: nn.Module, state: Mapping[str, Tensor]) -> dict[str, Any]:
        """Return the number of classes if the weights have another than the network: the length of its head."""
        own, weights = net.state_dict(), fitted(state, net.state_dict())
        heads = net.pretrained_cfg.get("classifier", ())  # type: ignore[operator, union-attr]
        for head in (heads,) if isinstance(heads, str) else heads:
            weight = f"{head}.weight"
            if weight in weights and weight in own and len(weights[weight]) != len(own[weight]):
                return {"num_classes": len(weights[weight])}
        return {}

    def _create(self, pretrained: bool = False, **options: Any) -> Any:
        try:
            return self.package.create_model(self.name, pretrained=pretrained, **options)
        # Timm answers an unknown name or a failed download with errors of its own and of the hub's client.
        except Exception as error:
            raise InputError(f"timm:{self.name} cannot be made: {first_line(error)}") from error

    def _preprocessing(self, config: Mapping[str, Any]) -> Preprocessing:
        data = self.package.data.resolve_data_config(pretrained_cfg=config)
        channels, height, width = data["input_size"]
        name = "bicubic" if data["interpolation"] == "random" else data["interpolation"]
        resize, crop = round(width / data["crop_pct"]), width
        fed = Preprocessing(tuple(data["mean"]), tuple(data["std"]), resize, crop, None, InterpolationMode(name))
        if height == width and channels == 3:
            return fed
        return replace(fed, resize=(height, width), crop=(height, width), channels=channels)


@declared
class OwnModel(ModelSpec):
    """The ``nn.Module``, fed as for ImageNet, or the ``Classifier`` that a callable of the user's returns.

    An option that has the name of one of the callable's arguments, such as ``image_size``, is given to it too.
    """

    callable: str = option(help="package.module:callable.")
    arguments: dict[str, Any] = option(help="Keyword arguments of the callable.")

    type: ClassVar[str] = "package.module:callable"

    def own_preprocessing(self) -> Preprocessing:
        """Return the classifier, built without weights, which knows how it is fed."""
        return self.build(None)

    def build(self, state: Mapping[str, Tensor] | None) -> Classifier:
        """Call the callable."""
        build = imported(self.callable, "model")
        if not callable(build):
            raise InputError(
                f"{self.callable} is a {type(build).__name__}; expected a callable that returns an nn.Module"
            )
        try:
            network: Any = build(**self._shared_with(build), **self.arguments)
        # Code of the user's can fail in any way.
        except Exception as error:
            raise InputError(f"{self.callable} cannot be called: {in_one_line(error)}") from error
        if not isinstance(network, nn.Module | Classifier):
            kind = type(network).__name__
            raise InputError(f"{self.callable} returned a {kind}; expected an nn.Module or a Classifier")
        if isinstance(network, nn.Module) and self.preprocess is not None and None in (self.mean, self.std):
            raise InputError(
                f"{self.preprocess} preprocesses for {self.callable}, and mean and std are not given, by which it "
                "normalises; give both, for metrics to know black (0 and 1 if it does not normalise)"
            )
        classifier = network if isinstance(network, Classifier) else Classifier(self.callable, network)
        if state is not None:
            load_state(classifier.model, state, self.callable)
        return classifier

    def spec(self) -> dict[str, Any]:
        """Return the callable as the type, with its arguments."""
        options = {name: value for name, value in super().spec().items() if name not in ("callable", "arguments")}
        return options | {"type": self.callable} | self.arguments

    def _shared_with(self, build: Any) -> dict[str, Any]:
        """Return the options that are arguments of the callable too."""
        try:
            takes = inspect.signature(build).parameters
        # What is written in C does not say what it takes.
        except (TypeError, ValueError):
            return {}
        options = {name: getattr(self, name) for name in OPTIONS if name != "weights"}
        return {name: value for name, value in options.items() if name in takes and value is not None}
