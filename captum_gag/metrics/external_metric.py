"""Metrics of Quantus, and a user's own that are called like them, as metrics of this package."""

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
from captum_gag.metrics.map_batch import MapBatch
from captum_gag.metrics.masking import Context
from captum_gag.metrics.readings import Scores
from captum_gag.model_probe import behaviour_of
from captum_gag.modules import single_by_default, state_kept
from captum_gag.outputs import OutputReader
from captum_gag.tensors import as_tensor, channels_back, class_targets
from captum_gag.threads import one_at_a_time


class ProbabilityModel(nn.Module):
    """A model as Quantus takes one: single precision in, probabilities in single precision out.

    Attributes:
        model: The original, a submodule, so that a copy with other weights is a copy of both.
    """

    @torch.no_grad()
    def __init__(self, batch: MapBatch, context: Context) -> None:
        """Wrap the model of a context, for inputs like those of the batch."""
        super().__init__()
        self.model: Any = context.model
        self.dtype, self.channel_axis = batch.images.dtype, batch.channel_axis
        self.reader = OutputReader.of(context.output)
        if self.reader.kind is None:
            # Decided here: Quantus predicts one image at a time, which may not be enough to tell.
            images = channels_back(batch.images, batch.channel_axis)
            with state_kept(self.model):
                self.reader.settle(
                    [self.model(inputs) for inputs in (images.clone(), torch.zeros_like(images), -images)]
                )
        # Quantus appends a softmax unless the last module is one; this one is, and is never called.
        self.softmax = nn.Softmax(1).eval()
        # Not by eval(), which would go on to the model.
        self.training = False

    def forward(self, images: Tensor) -> Tensor:
        """Return probabilities (N, classes) of images with their channels on axis 1."""
        return self.reader.probabilities(self.model(channels_back(images.to(self.dtype), self.channel_axis))).float()


class ExternalMetric(Metric):
    """A metric of Quantus, or of a user's own that is called like one, as a metric of this package."""

    def __init__(
        self, name: str, cls: Callable[..., Any], options: Mapping[str, Any], normalization: Normalization | None = None
    ) -> None:
        """Construct the metric.

        Args:
            name: Name in messages, such as "quantus:Sparseness".
            cls: Its class.
            options: Arguments of the class.
            normalization: (mean, std) of the model's input, for a class with such an argument.

        Raises:
            InputError: If the class refuses the options.
        """
        defaults = {
            "normalization": normalization,
            "return_aggregate": False,
            "disable_warnings": True,
            "display_progressbar": False,
        }
        try:
            parameters = inspect.signature(cls).parameters
            self.metric = cls(**{key: value for key, value in defaults.items() if key in parameters} | dict(options))
        # Code that is not ours can refuse its arguments in any way.
        except Exception as error:
            raise InputError(f"{name}: {in_one_line(error)}") from error
        self.name = name
        self.needs_segmentation = self._quantus_enum("evaluation_category") == "LOCALISATION"

    @property
    def higher_is_better(self) -> bool | None:
        """Direction by its ``score_direction``; None if it has none."""
        return {"HIGHER": True, "LOWER": False}.get(self._quantus_enum("score_direction"))

    @property
    def ignores_signs(self) -> bool:
        """Whether it takes magnitudes, by its ``abs``; without one it gets the sign."""
        return bool(getattr(self.metric, "abs", False))

    @property
    def explains_again(self) -> int:
        """Number of times that it explains each image again, at least; 0 for a metric of the map alone."""
        times = {"ROBUSTNESS": int(getattr(self.metric, "nr_samples", None) or 0), "RANDOMISATION": 1}
        return times.get(self._quantus_enum("evaluation_category"), 0)

    def _quantus_enum(self, attribute: str) -> str:
        return str(getattr(getattr(self.metric, attribute, None), "name", ""))

    @torch.inference_mode(False)
    @one_at_a_time
    def judge(self, batch: MapBatch, context: Context) -> Scores:
        """Return the scores of maps that are reduced to one value per position, as ``MapBatch`` reduces them.

        With ``abs=True`` that is the magnitude, which this package's metrics judge too; otherwise the signed sum.
        Quantus's metrics get single precision, and probabilities instead of the model's outputs. Those that explain
        again, a changed image (``MaxSensitivity``) or a changed model (``RandomLogit``), call ``explain``.
        """
        if context.arguments or len(batch.with_maps) > 1:
            raise InputError(
                f"{self.name} calls a model with one input alone; give it a function of that input, such as "
                "lambda images: model(images, further)."
            )
        images = channels_back(batch.images, batch.channel_axis)
        behaviour_of(context.model, (images,)).require_independent("a metric needs a model that judges each by itself")
        targets = class_targets(context.target, batch.images)
        if targets.ndim != 1:
            raise InputError(f"{self.name} takes one class for each image, not targets {tuple(targets.shape)}.")
        model, segmentation = ProbabilityModel(batch, context), context.segmentation
        try:
            with warnings.catch_warnings(), state_kept(context.model), single_by_default(model):
                warnings.simplefilter("ignore")
                scores = self.metric(
                    model=model,
                    x_batch=batch.images.detach().float().cpu().numpy(),
                    y_batch=targets.cpu().numpy(),
                    a_batch=self._reduced(batch),
                    s_batch=None if segmentation is None else as_tensor("segmentation", segmentation).cpu().numpy(),
                    channel_first=True,
                    explain_func=self._explain_func(batch, context),
                    softmax=True,
                    device=str(batch.images.device),
                    batch_size=context.internal_batch_size or 1,
                )
        except AttributeError as error:
            if "trapz" not in str(error):
                raise
            raise InputError(
                f"{self.name} calls numpy.trapz, which NumPy {np.__version__} does not have; "
                "pip install 'numpy<2.4' to use it."
            ) from error
        if len(scores) != len(targets):
            raise InputError(f"{self.name} returned {len(scores)} scores for {len(targets)} images.")
        return Scores(torch.tensor([float(np.mean(scores[row])) for row in range(len(scores))], dtype=torch.float32))

    def _explain_func(self, batch: MapBatch, context: Context) -> Callable[..., NDArray[Any]]:
        def explain_func(model: nn.Module, inputs: Any, targets: Any, **_: Any) -> NDArray[Any]:
            if context.explain is None:
                raise InputError(f"{self.name} explains again, which a map alone does not allow; give it explain.")
            images = channels_back(as_tensor("inputs", inputs).to(batch.images), batch.channel_axis)
            original = model.model if isinstance(model, ProbabilityModel) else model
            maps = context.explain(original, images, as_tensor("targets", targets).to(images.device))
            return self._reduced(MapBatch(images, maps, channel_axis=batch.channel_axis))

        return explain_func

    def _reduced(self, batch: MapBatch) -> NDArray[Any]:
        """Return maps (N, 1, *positions), or (N, F), in single precision."""
        maps = batch.magnitude if self.ignores_signs else batch.relevance
        reduced: NDArray[Any] = (maps if batch.images.ndim == 2 else maps.unsqueeze(1)).float().cpu().numpy()
        return reduced
