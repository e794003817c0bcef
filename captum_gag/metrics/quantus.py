"""This package's metrics as Quantus's; the only module that imports Quantus."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import KW_ONLY, fields
from traceback import walk_tb
from typing import Any, ClassVar

import numpy as np
import quantus
import torch
from numpy.typing import NDArray
from quantus.helpers.enums import DataType, EvaluationCategory, ModelType, ScoreDirection
from quantus.metrics.base import Metric as QuantusBase

from captum_gag.baselines import LOCAL
from captum_gag.errors import InputError, in_one_line, shown
from captum_gag.metrics.aopc import AOPCMetric
from captum_gag.metrics.base import CHANNEL_AXIS_HELP, Metric
from captum_gag.metrics.deletion_insertion import DeletionMetric, InsertionMetric
from captum_gag.metrics.explain_func import as_inputs, as_targets
from captum_gag.metrics.faithfulness import FaithfulnessMetric
from captum_gag.metrics.map_batch import MapBatch
from captum_gag.metrics.masking import Context
from captum_gag.metrics.rcap import RCAPMetric
from captum_gag.metrics.readings import warn_of_nan
from captum_gag.metrics.segmentation import LogCoshDiceMetric, SegmentationMAEMetric, SegmentationMetric
from captum_gag.options import declared, option
from captum_gag.outputs import CLASS_AXIS_HELP, OUTPUT_HELP, Output, OutputReader, tensor_of
from captum_gag.tensors import as_tensor, require_dense, require_device
from captum_gag.threads import one_at_a_time


class _Stated:
    """Attribute that Quantus keeps per class, and ours derive from their options: for a class, the defaults."""

    def __init__(self, of: Callable[[Metric | None], Any]) -> None:
        self.of = of

    def __get__(self, metric: Metric | None, owner: type[Metric]) -> Any:
        try:
            return self.of(owner() if metric is None else metric)
        except (TypeError, InputError):  # abstract, or without default for some option
            return self.of(None)


def _direction(metric: Metric | None) -> ScoreDirection | None:
    higher = None if metric is None else metric.higher_is_better
    return {True: ScoreDirection.HIGHER, False: ScoreDirection.LOWER, None: None}[higher]


def _applicability(metric: Metric | None) -> set[DataType]:
    axes = {2: DataType.TABULAR, 3: DataType.TIMESERIES, 4: DataType.IMAGE}
    baseline = getattr(metric, "perturb_baseline", "")
    name = str(baseline.get("type") if isinstance(baseline, dict) else baseline).lower()
    return {axes[count] for count in LOCAL.get(name, axes)}


@declared
class QuantusMetric(Metric, QuantusBase[list[float]]):
    """Base of our metrics as Quantus's: ``class RCAP(QuantusMetric, RCAPMetric)``.

    Attributes:
        details: One dict of arrays per image of the last call: the numbers behind its score.
    """

    name: ClassVar[str]
    data_applicability = _Stated(_applicability)
    model_applicability: ClassVar[set[ModelType]] = {ModelType.TORCH}
    score_direction = _Stated(_direction)
    evaluation_category = EvaluationCategory.FAITHFULNESS

    _: KW_ONLY
    output: Output = option(default="auto", help=OUTPUT_HELP)
    class_axis: int | None = option(default=None, help=CLASS_AXIS_HELP)
    channel_axis: int = option(default=1, help=CHANNEL_AXIS_HELP)
    abs: bool = option(default=False, help="Take magnitudes of ``a_batch`` before the metric's own processing.")
    normalise: bool = option(default=False, help="Normalise ``a_batch`` before the metric's own processing.")
    normalise_func: Callable[..., NDArray[Any]] | None = option(
        default=None, help="Used with ``normalise``; default ``quantus.normalise_by_max``."
    )
    normalise_func_kwargs: dict[str, Any] | None = option(  # type: ignore[assignment]
        default=None, help="Arguments of ``normalise_func``."
    )
    return_aggregate: bool = option(default=False, help="Return one aggregated score instead of one per image.")
    aggregate_func: Callable[..., Any] | None = option(  # type: ignore[assignment]
        default=None, help="Used with ``return_aggregate``; default ``numpy.mean``."
    )
    default_plot_func: Callable[..., Any] | None = option(
        default=None, help="Called by ``plot``; default ``plot_details``."
    )
    # Quantus has properties of these two names; theirs depend on where its tests run.
    disable_warnings: bool = option(default=False, help="Silence the warning about images whose score is undefined.")
    display_progressbar: bool = option(default=False, help="Show a progress bar over the batches.")

    def __post_init__(self) -> None:
        """Initialise Quantus's base class, too."""
        super().__post_init__()
        self.details: list[dict[str, NDArray[Any]]] = []
        self._causes: list[str] = []
        self._n_images: int | None = None
        self._reader = OutputReader(self.output, self.class_axis)
        QuantusBase.__init__(
            self,
            abs=self.abs,
            normalise=self.normalise,
            normalise_func=self.normalise_func,
            normalise_func_kwargs=self.normalise_func_kwargs,
            return_aggregate=self.return_aggregate,
            aggregate_func=self.aggregate_func or np.mean,
            default_plot_func=self.default_plot_func or self.plot_details,
            disable_warnings=self.disable_warnings,
            display_progressbar=self.display_progressbar,
        )

    @one_at_a_time
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
        custom_batch: Any = None,
        **kwargs: Any,
    ) -> list[float]:
        """Score attributions; the arguments are those of every Quantus metric, and tensors are taken for arrays.

        Args:
            model: Torch classifier in evaluation mode; segmentation metrics do without, None.
            x_batch: Images (N, C, H, W), or (N, H, W, C) with ``channel_first=False``; signals (N, C, T), rows (N, F).
            y_batch: Class index of each image, (N,); (N, k) for outputs (N, classes, ...) with k - 1 further axes.
            a_batch: Attributions like the images with their channels first, (N, 1, H, W) or (N, H, W).
            s_batch: Segmentations (N, 1, H, W), for metrics that need them.
            channel_first: Layout of ``x_batch``; inferred when None.
            explain_func: Returns attributions when ``a_batch`` is None.
            explain_func_kwargs: Arguments of ``explain_func``.
            model_predict_kwargs: Further arguments of the model's forward.
            softmax: Read probabilities, by the option ``output``. False takes outputs as they are.
            device: Device to compute on; None for the model's own.
            batch_size: Images at a time.
            custom_batch: What a subclass wants beside these; a list or array has an entry for each image.
            kwargs: Refused by Quantus with a message that names them.

        Returns:
            One score per image, or a list of one with ``return_aggregate``.
        """
        self.details, self._causes = [], []
        self._reader = OutputReader(tensor_of if softmax is False else self.output, self.class_axis)
        x_batch, y_batch, a_batch, s_batch = map(_as_array, (x_batch, y_batch, a_batch, s_batch))
        arrays = {"x_batch": x_batch, "a_batch": a_batch, "s_batch": s_batch}
        if not isinstance(model, torch.nn.Module) and not (model is None and isinstance(self, SegmentationMetric)):
            raise InputError(f"model is {shown(model)}, must be a torch module.")
        _check_call(batch_size, device, arrays, {"channel_first": channel_first, "softmax": softmax})
        self._n_images = len(x_batch)
        with _quantus_errors(type(self).__name__):
            scores: list[float] = super().__call__(
                model,
                *(x_batch, y_batch, a_batch, s_batch),
                *(channel_first, explain_func, explain_func_kwargs, model_predict_kwargs),
                softmax=None,  # Quantus's own would follow outputs that are probabilities already.
                device=device,
                batch_size=batch_size,
                custom_batch=custom_batch,
                **kwargs,
            )
        return scores

    def custom_postprocess(self, **kwargs: Any) -> None:
        """Name the images whose score is undefined; called by Quantus before it aggregates."""
        if not self.disable_warnings:
            warn_of_nan(type(self).__name__, torch.tensor(self.evaluation_scores, dtype=torch.float32), self._causes)

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
        if isinstance(self, SegmentationMetric):
            # They never run the model, so that any will do, or none.
            module, device, named = torch.nn.Identity(), None, {}
        else:
            module, device, named = model.get_model(), model.device, model.model_predict_kwargs
        inputs = as_inputs(x_batch, module, device)
        maps = MapBatch(inputs, as_tensor("a_batch", a_batch).to(inputs.device), channel_axis=self.channel_axis)
        context = Context(
            module,
            as_targets(y_batch),
            self._reader,
            segmentation=None if s_batch is None else as_tensor("s_batch", s_batch).to(inputs.device),
            channel_axis=self.channel_axis,
            arguments=tuple(named.values()),
            keywords=tuple(named),
            rows=(len(self._causes), self._n_images),
        )
        reading = self.judge(maps, context)
        self._causes += reading.causes or [""] * len(x_batch)
        parts = {field.name: getattr(reading, field.name) for field in fields(reading)}
        columns = {name: part.cpu().numpy() for name, part in parts.items() if isinstance(part, torch.Tensor)}
        self.details += [{name: values[row] for name, values in columns.items()} for row in range(len(x_batch))]
        scores: list[float] = reading.score.tolist()
        return scores

    def plot_details(self) -> None:
        """Draw the details of the last call: mean over the images, and the band between their quartiles."""
        import matplotlib.pyplot as plt

        columns = {key: np.stack([details[key] for details in self.details]) for key in self.details[0]}
        steps = columns.pop("fractions", None)
        for key, values in columns.items():
            curves = values.reshape(len(values), -1)
            x = np.arange(1, curves.shape[1] + 1) if steps is None else steps[0]
            [line] = plt.plot(x, np.nanmean(curves, 0), marker=".", label=key.replace("_", " "))
            plt.fill_between(x, *np.nanquantile(curves, [0.25, 0.75], axis=0), alpha=0.2, color=line.get_color())
        plt.xlabel("step" if steps is None else "share of the pixels")
        plt.title(f"{self.name}, {len(self.details)} images")
        plt.legend()


@declared
class RCAP(QuantusMetric, RCAPMetric):
    """RCAP as a Quantus metric; see ``rcap``. ``details`` have the tensors of ``RCAPFactors``, (j,)."""

    name = "ReCover And Predict"


@declared
class Deletion(QuantusMetric, DeletionMetric):
    """Area under the deletion curve (DAUC) as a Quantus metric; see ``deletion``. ``details`` have the curve."""

    name = "Deletion"


@declared
class Insertion(QuantusMetric, InsertionMetric):
    """Area under the insertion curve (IAUC) as a Quantus metric; see ``insertion``. ``details`` as for ``Deletion``."""

    name = "Insertion"


@declared
class AOPC(QuantusMetric, AOPCMetric):
    """AOPC as a Quantus metric; see ``aopc_curve``. ``details`` have "aopc" for every L, an array (n_steps,)."""

    name = "Area Over the Perturbation Curve"


@declared
class Faithfulness(QuantusMetric, FaithfulnessMetric):
    """Faithfulness as a Quantus metric; see ``faithfulness``. ``details`` have the tensors of ``Losses``."""

    name = "Faithfulness"


@declared
class LogCoshDice(QuantusMetric, LogCoshDiceMetric):
    """The Log-Cosh Dice loss as a Quantus metric; see ``log_cosh_dice``. ``details`` have the "scores"."""

    name = "Log-Cosh Dice"
    evaluation_category = EvaluationCategory.LOCALISATION


@declared
class SegmentationMAE(QuantusMetric, SegmentationMAEMetric):
    """The mean absolute error of a map as a Quantus metric; see ``segmentation_mae``. ``details`` have the "scores"."""

    name = "Segmentation MAE"
    evaluation_category = EvaluationCategory.LOCALISATION


QUANTUS_METRICS = (RCAP, Deletion, Insertion, AOPC, Faithfulness, LogCoshDice, SegmentationMAE)


def register_with_quantus() -> None:
    """List the metrics in ``quantus.AVAILABLE_METRICS``, each under its category and name; may be repeated."""
    for metric in QUANTUS_METRICS:
        available: Any = quantus.AVAILABLE_METRICS
        available[metric.evaluation_category.value][metric.name] = metric


def _as_array(values: Any) -> Any:
    """Return a tensor as an array, in single precision where NumPy lacks its own; anything else as it is."""
    if not isinstance(values, torch.Tensor):
        return values
    require_dense("a batch", values)
    values = values.detach().cpu()
    return (values.float() if values.dtype == torch.bfloat16 else values).numpy()


def _check_call(batch_size: Any, device: Any, arrays: Mapping[str, Any], flags: Mapping[str, Any]) -> None:
    """Raise InputError unless the arguments have the types that Quantus takes them to have."""
    for name, array in arrays.items():
        fits = isinstance(array, np.ndarray) and array.ndim > 0 and array.dtype.kind in "fiub"
        if array is not None and (not fits or isinstance(array, np.ma.MaskedArray)):
            raise InputError(f"{name} is {shown(array)}, must be a NumPy array of numbers, (N, ...).")
        if array is not None and not len(array):
            raise InputError(f"{name} is empty, {array.shape}, must have one or more images, (N, ...) with N >= 1.")
    if isinstance(batch_size, bool) or not isinstance(batch_size, int | np.integer) or batch_size < 1:
        raise InputError(f"batch_size is {shown(batch_size)}, must be an integer >= 1.")
    if device is not None:
        require_device(device)
    for name, flag in flags.items():
        if not isinstance(flag, bool | None):
            raise InputError(f"{name} is {shown(flag)}, must be True, False or None.")


@contextmanager
def _quantus_errors(name: str) -> Iterator[None]:
    """Turn errors that Quantus itself raises into InputError; those of a user's own code stay as they are."""
    try:
        yield
    except InputError:
        raise
    # It asserts, indexes beyond the end, and compares arrays with None.
    except Exception as error:
        *_, (frame, _) = walk_tb(error.__traceback__)
        if str(frame.f_globals.get("__name__")).partition(".")[0] != "quantus":
            raise
        raise InputError(f"{name}: Quantus refuses its arguments: {in_one_line(error)}") from error
