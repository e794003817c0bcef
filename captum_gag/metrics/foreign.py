"""Metrics of Quantus, and of a user's own that are called like them, as metrics of this package."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from captum_gag.baselines import Normalization
from captum_gag.errors import InputError, in_one_line
from captum_gag.metrics.base import Metric
from captum_gag.metrics.masking import Model
from captum_gag.metrics.readings import Scores
from captum_gag.tensors import Target


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

    def _said(self, attribute: str) -> str:
        """Return the name of what one of Quantus's enums says of the metric; "" if it says nothing."""
        return str(getattr(getattr(self.metric, attribute, None), "name", ""))

    def evaluate(
        self,
        model: Model,
        inputs: Tensor,
        maps: Tensor,
        target: Target,
        segmentation: Tensor | None = None,
        *,
        softmax: bool = True,
        internal_batch_size: int | None = None,
        explain: Callable[[nn.Module, Tensor, Tensor], Tensor] | None = None,
    ) -> Scores:
        """Judge one map of each image, summed over its channels as Quantus's own are; see ``Metric``.

        ``explain``, from (model, images, targets) to attributions, is for those that explain again: of a changed image
        (``MaxSensitivity``) or a changed model (``RandomLogit``).
        """

        def explain_func(model: nn.Module, inputs: Any, targets: Any, **_: Any) -> Any:
            if explain is None:
                raise InputError(f"{self.name} explains again, which a map alone does not allow; give it explain.")
            images = torch.as_tensor(np.asarray(inputs)).to(given)
            found = explain(model, images, torch.as_tensor(np.asarray(targets), device=given.device))
            return found.sum(1, keepdim=True).detach().float().cpu().numpy()

        given = inputs
        reduced = maps.sum(1, keepdim=True) if maps.ndim == 4 else maps.unsqueeze(1)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                found = self.metric(
                    model=model,
                    x_batch=inputs.float().cpu().numpy(),
                    y_batch=torch.as_tensor(target).reshape(-1).expand(len(inputs)).cpu().numpy(),
                    a_batch=reduced.detach().float().cpu().numpy(),
                    s_batch=None if segmentation is None else segmentation.cpu().numpy(),
                    channel_first=True,
                    explain_func=explain_func,
                    softmax=softmax,
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
