"""Metrics of Quantus, and of a user's own that are called like them, as metrics of this package."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from captum_gag.baselines import Normalization
from captum_gag.errors import InputError, in_one_line
from captum_gag.metrics.base import Metric
from captum_gag.metrics.map_batch import MapBatch, as_given
from captum_gag.metrics.masking import Model
from captum_gag.metrics.readings import Scores
from captum_gag.modules import require_evaluation_mode
from captum_gag.outputs import Output, OutputReader
from captum_gag.tensors import Target, class_targets
from captum_gag.threads import one_at_a_time


class Answering(nn.Module):
    """A model as Quantus takes one: single precision in, probabilities in single precision out.

    Quantus appends a softmax unless the last module is one; this one's is, and is never called.

    Attributes:
        model: What is asked, a part of this one, so that a copy with other weights is one of both.
    """

    def __init__(self, model: Model, reader: OutputReader, like: Tensor, channel_axis: int) -> None:
        """Take a model, how its outputs are read, images for their dtype, and the axis of their channels."""
        super().__init__()
        self.model = model
        self.reader, self.dtype, self.channel_axis = reader, like.dtype, channel_axis
        self.read_already = nn.Softmax(1).eval()
        # Not by eval(), which would go on to the model.
        self.training = False

    def forward(self, images: Tensor) -> Tensor:
        """Return probabilities (N, classes) of images with their channels on axis 1."""
        return self.reader.probabilities(self.model(as_given(images.to(self.dtype), self.channel_axis))).float()


class ForeignMetric(Metric):
    """A metric of Quantus, or of a user's own that is called like one, as a metric of this package."""

    def __init__(
        self,
        name: str,
        type: Callable[..., Any],
        options: Mapping[str, Any],
        normalization: Normalization | None = None,
    ) -> None:
        """Make the metric.

        Args:
            name: For messages: "quantus:Sparseness".
            type: Its class.
            options: Arguments of the class.
            normalization: (mean, std) of the model's input, for a class with such an argument.

        Raises:
            InputError: If the class refuses the options.
        """
        known = {
            "normalization": normalization,
            "return_aggregate": False,
            "disable_warnings": True,
            "display_progressbar": False,
        }
        try:
            taken = inspect.signature(type).parameters
            self.metric = type(**{key: value for key, value in known.items() if key in taken} | dict(options))
        # A class that is not ours can refuse its arguments in any way.
        except Exception as error:
            raise InputError(f"{name}: {in_one_line(error)}") from error
        self.name = name
        self.needs_segmentation = self._said("evaluation_category") == "LOCALISATION"

    @property
    def higher_is_better(self) -> bool | None:
        """What its ``score_direction`` says; None if it says nothing."""
        return {"HIGHER": True, "LOWER": False}.get(self._said("score_direction"))

    @property
    def explains_again(self) -> int:
        """How often it explains each image again, at least; 0 for what judges the map alone.

        That is ``nr_samples`` of a robustness metric with such an argument, and once or more of randomisation metrics.
        """
        kind, samples = self._said("evaluation_category"), getattr(self.metric, "nr_samples", None)
        if kind == "ROBUSTNESS":
            return int(samples or 0)
        return 1 if kind == "RANDOMISATION" else 0

    def _said(self, attribute: str) -> str:
        """Return the name of what one of Quantus's enums says of the metric; "" if it says nothing."""
        return str(getattr(getattr(self.metric, attribute, None), "name", ""))

    @one_at_a_time
    def evaluate(
        self,
        model: Model,
        inputs: Tensor,
        maps: Tensor,
        target: Target,
        segmentation: Tensor | None = None,
        *,
        output: Output = "auto",
        channel_axis: int = 1,
        internal_batch_size: int | None = None,
        explain: Callable[[Any, Tensor, Tensor], Tensor] | None = None,
    ) -> Scores:
        """Judge one map of each image, summed over its channels as Quantus's own are; see ``Metric``.

        Quantus's metrics get single precision, and probabilities in place of what the model returns.
        ``explain``, from (model, images, targets) to attributions, is for those that explain again: of a changed image
        (``MaxSensitivity``) or a changed model (``RandomLogit``).
        """

        def explain_func(model: nn.Module, inputs: Any, targets: Any, **_: Any) -> Any:
            if explain is None:
                raise InputError(f"{self.name} explains again, which a map alone does not allow; give it explain.")
            images = as_given(torch.as_tensor(np.asarray(inputs)).to(inputs_given), channel_axis)
            asked = model.model if isinstance(model, Answering) else model
            found = explain(asked, images, torch.as_tensor(np.asarray(targets), device=images.device))
            return _summed(MapBatch(images, found, channel_axis=channel_axis))

        require_evaluation_mode(model)
        inputs_given = inputs
        batch = MapBatch(inputs, maps, channel_axis=channel_axis)
        targets = class_targets(target, inputs)
        if targets.ndim != 1:
            raise InputError(f"{self.name} takes one class for each image, not targets {tuple(targets.shape)}.")
        answering = Answering(model, _settled(output, model, inputs), inputs, channel_axis)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                found = self.metric(
                    model=answering,
                    x_batch=batch.images.detach().float().cpu().numpy(),
                    y_batch=targets.cpu().numpy(),
                    a_batch=_summed(batch),
                    s_batch=None if segmentation is None else segmentation.cpu().numpy(),
                    channel_first=True,
                    explain_func=explain_func,
                    softmax=True,
                    device=str(inputs.device),
                    batch_size=internal_batch_size or 1,
                )
        except AttributeError as error:
            if "trapz" not in str(error):
                raise
            raise InputError(
                f"{self.name} calls numpy.trapz, which NumPy {np.__version__} does not have; "
                "pip install 'numpy<2.4' to use it."
            ) from error
        if len(found) != len(inputs):
            raise InputError(f"{self.name} returned {len(found)} scores for {len(inputs)} images.")
        return Scores(torch.tensor([float(np.mean(found[row])) for row in range(len(inputs))]))


@torch.no_grad()
def _settled(output: Output, model: Model, inputs: Tensor) -> OutputReader:
    """Return a reader that knows what the model returns: Quantus asks of one image at a time, which may say little."""
    reader = OutputReader.of(output)
    if reader.kind is None:
        reader.settle([model(each) for each in (inputs, torch.zeros_like(inputs), -inputs)])
    return reader


def _summed(batch: MapBatch) -> NDArray[Any]:
    """Return maps (N, 1, *positions), or (N, F), in single precision."""
    summed = batch.relevance if batch.images.ndim == 2 else batch.relevance.unsqueeze(1)
    found: NDArray[Any] = summed.float().cpu().numpy()
    return found
