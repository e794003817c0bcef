"""What all metrics share on the side of Quantus: its signature, and the way from its arrays to tensors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from quantus.helpers.enums import DataType, ModelType
from quantus.metrics.base import Metric
from torch import Tensor

from captum_gag.metrics.map_batch import MapBatch
from captum_gag.metrics.masking import Model, Plan, require_evaluation_mode, run_plan, warn_undefined


class TorchMetric(Metric):  # type: ignore[type-arg]
    """A Quantus metric that hands its batches, as tensors on the model's device, to one method.

    Attributes:
        details: For each image of the last call a dict of arrays with what its score is made of.
    """

    name: ClassVar[str]
    data_applicability: ClassVar[set[DataType]] = {DataType.IMAGE}
    model_applicability: ClassVar[set[ModelType]] = {ModelType.TORCH}

    def __init__(
        self,
        abs: bool = False,
        normalise: bool = False,
        normalise_func: Callable[..., NDArray[Any]] | None = None,
        normalise_func_kwargs: dict[str, Any] | None = None,
        return_aggregate: bool = False,
        aggregate_func: Callable[..., Any] | None = None,
        default_plot_func: Callable[..., Any] | None = None,
        disable_warnings: bool = False,
        display_progressbar: bool = False,
        **kwargs: Any,
    ) -> None:
        """Take what every Quantus metric takes.

        Args:
            abs: Take magnitudes of ``a_batch`` before the metric's own processing of the map.
            normalise: Normalise ``a_batch`` before the metric's own processing of the map.
            normalise_func: Used with ``normalise``; default ``quantus.normalise_by_max``.
            normalise_func_kwargs: Arguments of ``normalise_func``.
            return_aggregate: Return one aggregated score instead of one per image.
            aggregate_func: Used with ``return_aggregate``; default ``numpy.mean``.
            default_plot_func: What ``plot`` calls; default ``plot_details``.
            disable_warnings: Silence the warning about images whose score is undefined.
            display_progressbar: Show a progress bar over the batches.
            kwargs: Refused by Quantus with a message that names them.
        """
        super().__init__(
            abs=abs,
            normalise=normalise,
            normalise_func=normalise_func,
            normalise_func_kwargs=normalise_func_kwargs,
            return_aggregate=return_aggregate,
            aggregate_func=aggregate_func or np.mean,
            default_plot_func=default_plot_func or self.plot_details,
            disable_warnings=disable_warnings,
            display_progressbar=display_progressbar,
            **kwargs,
        )
        self._warns = not disable_warnings
        self.details: list[dict[str, NDArray[Any]]] = []

    def __call__(
        self,
        model: torch.nn.Module,
        x_batch: NDArray[Any],
        y_batch: NDArray[Any],
        a_batch: NDArray[Any] | None = None,
        s_batch: NDArray[Any] | None = None,
        channel_first: bool | None = None,
        explain_func: Callable[..., NDArray[Any]] | None = None,
        explain_func_kwargs: dict[str, Any] | None = None,
        model_predict_kwargs: dict[str, Any] | None = None,
        softmax: bool | None = True,
        device: str | None = None,
        batch_size: int = 64,
        **kwargs: Any,
    ) -> list[float]:
        """Score attributions, as every Quantus metric does.

        Args:
            model: Torch classifier in evaluation mode.
            x_batch: Images (N, C, H, W), or (N, H, W, C) with ``channel_first=False``.
            y_batch: Class index of each image, (N,).
            a_batch: Attributions (N, C, H, W), (N, 1, H, W) or (N, H, W). None calls ``explain_func``.
            s_batch: Segmentations (N, 1, H, W), for metrics that need them.
            channel_first: Layout of ``x_batch``; inferred when None.
            explain_func: Gives attributions when ``a_batch`` is None.
            explain_func_kwargs: Arguments of ``explain_func``.
            model_predict_kwargs: Further arguments of the model's forward.
            softmax: Append a softmax unless the model ends in ``nn.Softmax``. False takes outputs as they are.
            device: Where to compute; None for the model's own device.
            batch_size: Images at a time.
            kwargs: Refused by Quantus with a message that names them.

        Returns:
            One score per image, or a list of one with ``return_aggregate``.
        """
        self.details = []
        scores: list[float] = super().__call__(
            model=model,
            x_batch=x_batch,
            y_batch=y_batch,
            a_batch=a_batch,
            s_batch=s_batch,
            custom_batch=None,
            channel_first=channel_first,
            explain_func=explain_func,
            explain_func_kwargs=explain_func_kwargs,
            model_predict_kwargs=model_predict_kwargs,
            softmax=softmax,
            device=device,
            batch_size=batch_size,
            **kwargs,
        )
        return scores

    def custom_postprocess(self, **kwargs: Any) -> None:
        """Name the images whose score is undefined; called by Quantus before it aggregates."""
        if self._warns:
            warn_undefined(type(self).__name__, self.evaluation_scores)

    def evaluate_batch(
        self,
        model: Any,
        x_batch: NDArray[Any],
        y_batch: NDArray[Any],
        a_batch: NDArray[Any],
        s_batch: NDArray[Any] | None = None,
        **kwargs: Any,
    ) -> list[float]:
        """Turn one batch into tensors where the model is and score them; called by Quantus."""
        require_evaluation_mode(model.get_model())
        module = model.get_softmax_arg_model()
        parameter = next(module.parameters(), torch.empty(0))
        device = model.device or parameter.device
        scores = self.evaluate_tensors(
            lambda images: module(images, **model.model_predict_kwargs),
            torch.as_tensor(x_batch, dtype=parameter.dtype, device=device),
            torch.as_tensor(np.ascontiguousarray(a_batch), device=device),
            torch.as_tensor(y_batch, device=device),
            None if s_batch is None else torch.as_tensor(s_batch, device=device),
        )
        result: list[float] = scores.tolist()
        return result

    def evaluate_tensors(
        self, model: Model, inputs: Tensor, maps: Tensor, target: Tensor, segmentation: Tensor | None = None
    ) -> Tensor:
        """Score one batch and keep its details.

        Args:
            model: From images (B, C, H, W) to class probabilities (or logits if the caller wants these).
            inputs: Images (N, C, H, W).
            maps: Attributions (N, C or 1, H, W).
            target: Class indices (N,).
            segmentation: Masks as given in ``s_batch``, or None.

        Returns:
            Scores of shape (N,).
        """
        reading = run_plan(self.plan(MapBatch(inputs, maps)), model, target, False, None)
        self.keep_details(**reading._asdict())
        scores: Tensor = reading.score
        return scores

    def plan(self, batch: MapBatch) -> Plan:
        """Say what images this metric needs of a batch and what it makes of their probabilities.

        Raises:
            TypeError: If the metric does not look at the model.
        """
        raise TypeError(f"{type(self).__name__} does not perturb images, so it has no plan.")

    def plot_details(self) -> None:
        """Draw what the last call's scores are made of: mean over the images, and the band between their quartiles."""
        import matplotlib.pyplot as plt

        columns = {key: np.stack([each[key] for each in self.details]) for key in self.details[0]}
        steps = columns.pop("fractions", None)
        for key, values in columns.items():
            curves = values.reshape(len(values), -1)
            x = np.arange(1, curves.shape[1] + 1) if steps is None else steps[0]
            [line] = plt.plot(x, np.nanmean(curves, 0), marker=".", label=key.replace("_", " "))
            plt.fill_between(x, *np.nanquantile(curves, [0.25, 0.75], axis=0), alpha=0.2, color=line.get_color())
        plt.xlabel("step" if steps is None else "share of the pixels")
        plt.title(f"{self.name}, {len(self.details)} images")
        plt.legend()

    def keep_details(self, **arrays: Tensor) -> None:
        """Add one dict per image of the batch to ``details``; every tensor has shape (N, ...)."""
        columns = [array.cpu().numpy() for array in arrays.values()]
        self.details.extend(dict(zip(arrays, row, strict=True)) for row in zip(*columns, strict=True))
