"""This module contains the implementation of the RCAP (ReCover And Predict) metric."""

# This file is part of Quantus.
# Quantus is free software: you can redistribute it and/or modify it under the terms of the GNU Lesser General Public License as published by the Free Software Foundation, either version 3 of the License, or (at your option) any later version.
# Quantus is distributed in the hope that it will be useful, but WITHOUT ANY WARRANTY; without even the implied warranty of MERCHANTABILITY or FITNESS FOR A PARTICULAR PURPOSE. See the GNU Lesser General Public License for more details.
# You should have received a copy of the GNU Lesser General Public License along with Quantus. If not, see <https://www.gnu.org/licenses/>.
# Quantus project URL: <https://github.com/understandable-machine-intelligence-lab/Quantus>.
import sys
from typing import Any, Callable, Dict, List, Optional, Union

import numpy as np

from quantus.helpers import warn
from quantus.helpers.enums import (
    DataType,
    EvaluationCategory,
    ModelType,
    ScoreDirection,
)
from quantus.helpers.model.model_interface import ModelInterface
from quantus.helpers.utils import get_baseline_value
from quantus.metrics.base import Metric

if sys.version_info >= (3, 8):
    from typing import final
else:
    from typing_extensions import final


@final
class RCAP(Metric[List[float]]):
    """
    Implementation of ReCover And Predict (RCAP) by Huang and Liu, 2024.

    The most salient pixels of an image are recovered on a baseline, more of them at each of several
    percentiles of the explanation. The score is the mean over the percentiles of the product of two
    factors: the share of the saliency in the recovered part (high if little of it is noise), and the
    probability of the class given the recovered part alone.

    References:
        1) Jun Huang and Yan Liu: "Guided AbsoluteGrad: Magnitude of Gradients Matters to Explanation's
        Localization and Saliency." arXiv:2404.15564 (2024).

    Attributes:
        -  _name: The name of the metric.
        - _data_applicability: The data types that the metric implementation currently supports.
        - _models: The model types that this metric can work with.
        - score_direction: How to interpret the scores, whether higher/ lower values are considered better.
        - evaluation_category: What property/ explanation quality that this metric measures.
    """

    name = "RCAP"
    data_applicability = {DataType.IMAGE, DataType.TIMESERIES, DataType.TABULAR}
    model_applicability = {ModelType.TORCH, ModelType.TF}
    score_direction = ScoreDirection.HIGHER
    evaluation_category = EvaluationCategory.FAITHFULNESS

    def __init__(
        self,
        lower_bound: float = 50.0,
        interval: float = 10.0,
        abs: bool = True,
        normalise: bool = False,
        normalise_func: Optional[Callable[[np.ndarray], np.ndarray]] = None,
        normalise_func_kwargs: Optional[Dict[str, Any]] = None,
        perturb_baseline: Union[float, int, str, np.ndarray] = "black",
        return_aggregate: bool = False,
        aggregate_func: Optional[Callable] = None,
        default_plot_func: Optional[Callable] = None,
        disable_warnings: bool = False,
        display_progressbar: bool = False,
        **kwargs,
    ):
        """
        Parameters
        ----------
        lower_bound: float
            The percentile of the explanation down to which pixels are recovered, default=50.0.
        interval: float
            The distance of the percentiles, which divides 100 - lower_bound, default=10.0.
        abs: boolean
            Indicates whether absolute operation is applied on the attribution, default=True.
        normalise: boolean
            Indicates whether normalise operation is applied on the attribution, default=False.
            The score does not depend on the scale of an explanation.
        normalise_func: callable
            Attribution normalisation function applied in case normalise=True.
            If normalise_func=None, the default value is used, default=normalise_by_max.
        normalise_func_kwargs: dict
            Keyword arguments to be passed to normalise_func on call, default={}.
        perturb_baseline: string, float or np.ndarray
            What stands in place of the pixels that are not recovered, as in other metrics,
            default="black", the lowest value of the image.
        return_aggregate: boolean
            Indicates if an aggregated score should be computed over all instances.
        aggregate_func: callable
            Callable that aggregates the scores given an evaluation call.
        default_plot_func: callable
            Callable that plots the metrics result.
        disable_warnings: boolean
            Indicates whether the warnings are printed, default=False.
        display_progressbar: boolean
            Indicates whether a tqdm-progress-bar is printed, default=False.
        kwargs: optional
            Keyword arguments.
        """
        super().__init__(
            abs=abs,
            normalise=normalise,
            normalise_func=normalise_func,
            normalise_func_kwargs=normalise_func_kwargs,
            return_aggregate=return_aggregate,
            aggregate_func=aggregate_func,
            default_plot_func=default_plot_func,
            display_progressbar=display_progressbar,
            disable_warnings=disable_warnings,
            **kwargs,
        )

        # Save metric-specific attributes.
        steps = (100 - lower_bound) / interval if interval > 0 else 0
        if not 0 <= lower_bound < 100 or steps < 1 or not np.isclose(steps, round(steps)):
            raise ValueError(
                "Expected 0 <= lower_bound < 100 and an interval that divides 100 - lower_bound, "
                f"got lower_bound={lower_bound} and interval={interval}."
            )
        self.percentiles = [max(100 - k * interval, 0.0) for k in range(1, round(steps) + 1)]
        self.perturb_baseline = perturb_baseline

        # Asserts and warnings.
        if not self.disable_warnings:
            warn.warn_parameterisation(
                metric_name=self.__class__.__name__,
                sensitive_params="baseline value 'perturb_baseline', 'lower_bound' and 'interval'",
                citation=(
                    "Huang, Jun, and Yan Liu. 'Guided AbsoluteGrad: Magnitude of Gradients Matters to "
                    "Explanation's Localization and Saliency.' arXiv preprint arXiv:2404.15564 (2024)"
                ),
            )

    def __call__(
        self,
        model,
        x_batch: np.ndarray,
        y_batch: np.ndarray,
        a_batch: Optional[np.ndarray] = None,
        s_batch: Optional[np.ndarray] = None,
        channel_first: Optional[bool] = None,
        explain_func: Optional[Callable] = None,
        explain_func_kwargs: Optional[Dict] = None,
        model_predict_kwargs: Optional[Dict] = None,
        softmax: Optional[bool] = True,
        device: Optional[str] = None,
        batch_size: int = 64,
        **kwargs,
    ) -> List[float]:
        """
        This implementation represents the main logic of the metric and makes the class object callable.
        It completes instance-wise evaluation of explanations (a_batch) with respect to input data (x_batch),
        output labels (y_batch) and a torch or tensorflow model (model).

        Parameters
        ----------
        model: torch.nn.Module, tf.keras.Model
            A torch or tensorflow model that is subject to explanation.
        x_batch: np.ndarray
            A np.ndarray which contains the input data that are explained.
        y_batch: np.ndarray
            A np.ndarray which contains the output labels that are explained.
        a_batch: np.ndarray, optional
            A np.ndarray which contains pre-computed attributions i.e., explanations.
        s_batch: np.ndarray, optional
            A np.ndarray which contains segmentation masks that matches the input.
        channel_first: boolean, optional
            Indicates of the image dimensions are channel first, or channel last.
            Inferred from the input shape if None.
        explain_func: callable
            Callable generating attributions.
        explain_func_kwargs: dict, optional
            Keyword arguments to be passed to explain_func on call.
        model_predict_kwargs: dict, optional
            Keyword arguments to be passed to the model's predict method.
        softmax: boolean
            Indicates whether to use softmax probabilities or logits in model prediction.
            This is used for this __call__ only and won't be saved as attribute. If None, self.softmax is used.
        device: string
            Indicated the device on which a torch.Tensor is or will be allocated: "cpu" or "gpu".
        batch_size: int
            The number of instances that are evaluated at a time.
        kwargs: optional
            Keyword arguments.

        Returns
        -------
        evaluation_scores: list
            A score in [0, 1] per instance, higher is better. NaN for an explanation that is constant or not
            finite, which ranks no pixel above another.

        Examples:
        --------
            # Minimal imports.
            >> import quantus
            >> from quantus import LeNet

            # Generate Saliency attributions and evaluate them by calling the metric instance.
            >> metric = quantus.RCAP()
            >> scores = metric(model=LeNet(), x_batch=x_batch, y_batch=y_batch, a_batch=a_batch_saliency)
        """
        return super().__call__(
            model=model,
            x_batch=x_batch,
            y_batch=y_batch,
            a_batch=a_batch,
            s_batch=s_batch,
            custom_batch=None,
            channel_first=channel_first,
            explain_func=explain_func,
            explain_func_kwargs=explain_func_kwargs,
            softmax=softmax,
            device=device,
            model_predict_kwargs=model_predict_kwargs,
            batch_size=batch_size,
            **kwargs,
        )

    def evaluate_batch(
        self,
        model: ModelInterface,
        x_batch: np.ndarray,
        y_batch: np.ndarray,
        a_batch: np.ndarray,
        **kwargs,
    ) -> List[float]:
        """
        This method performs XAI evaluation on a single batch of explanations.
        For more information on the specific logic, we refer the metric’s initialisation docstring.

        Parameters
        ----------
        model: ModelInterface
            A ModelInteface that is subject to explanation.
        x_batch: np.ndarray
            The input to be evaluated on a batch-basis.
        y_batch: np.ndarray
            The output to be evaluated on a batch-basis.
        a_batch: np.ndarray
            The explanation to be evaluated on a batch-basis.
        kwargs:
            Unused.

        Returns
        -------
        scores_batch:
            The evaluation results.
        """
        # One value per position: the channels of an attribution are summed up.
        saliency = a_batch.sum(axis=1, keepdims=True) if a_batch.ndim > 2 else a_batch
        batch_size, axes = len(x_batch), tuple(range(1, saliency.ndim))
        hidden = np.stack(
            [get_baseline_value(value=self.perturb_baseline, arr=x, return_shape=x.shape) for x in x_batch]
        )
        total = saliency.sum(axis=axes)
        products = []
        for percentile in self.percentiles:
            level = np.percentile(saliency, percentile, axis=axes, keepdims=True)
            # A pixel without saliency is never recovered.
            recovered = (saliency >= level) & (saliency > 0)
            share = (saliency * recovered).sum(axis=axes) / np.where(total > 0, total, np.nan)
            x_input = model.shape_input(
                np.where(recovered, x_batch, hidden).astype(x_batch.dtype),
                x_batch.shape,
                channel_first=True,
                batched=True,
            )
            probability = model.predict(x_input)[np.arange(batch_size), y_batch]
            products.append(share * probability)
        ranked = saliency.max(axis=axes) > saliency.min(axis=axes)
        return np.where(ranked, np.mean(products, axis=0), np.nan).tolist()
