"""Base classes of the metrics, types of their common options, and the functions that follow from a metric."""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from functools import wraps
from typing import Annotated, Any, Protocol, TypeVar

from pydantic import Field
from torch import Tensor
from typing_extensions import ParamSpec

from captum_gag.baselines import BaselineLike, Normalization, resolve
from captum_gag.metrics.map_batch import MapBatch, batch_of
from captum_gag.metrics.masking import Context, Model, Plan, run_plans
from captum_gag.metrics.readings import Reading
from captum_gag.options import declared, options_of
from captum_gag.outputs import CLASS_AXIS_HELP, OUTPUT_HELP, Output, OutputReader
from captum_gag.tensors import Target

P = ParamSpec("P")
T = TypeVar("T")
R = TypeVar("R", covariant=True)

BaselineOption = Annotated[
    BaselineLike,
    Field(
        description='What hidden pixels show: a name ("black", "white", "mean", "uniform", "blur", "road"; in pixel '
        "space), a dict of type (such a name) and its options, a number or tensor (in model space), or a callable from "
        "images to images."
    ),
]
"""Type of a metric's option ``perturb_baseline``."""

NormalizationOption = Annotated[
    Normalization | None, Field(description="(mean, std) by which pixels in [0, 1] became the model's input.")
]
"""Type of a metric's option ``normalization``."""


@declared
class Metric(ABC):
    """A metric: options, and a score for each image's map.

    Attributes:
        needs_segmentation: Whether ``evaluate`` needs the ``segmentation``.
        has_steps: Whether its readings have a score for each number of steps, ``at(steps)``.
    """

    needs_segmentation = False
    has_steps = False

    @property
    def higher_is_better(self) -> bool | None:
        """Direction of its scores; None if it is unknown."""
        return None

    def __post_init__(self) -> None:  # noqa: B027 (most options fit together)
        """Raise InputError unless the options fit together."""

    def evaluate(
        self,
        model: Model,
        inputs: Tensor,
        maps: Tensor,
        target: Target,
        segmentation: Tensor | None = None,
        *,
        output: Output = "auto",
        class_axis: int | None = None,
        channel_axis: int = 1,
        internal_batch_size: int | None = None,
        additional_forward_args: Any = None,
        explain: Callable[[Any, Tensor, Tensor], Tensor] | None = None,
    ) -> Reading:
        """Return the reading of one map of each image.

        Arguments are those of the metrics' functions, such as ``rcap``, and for some metrics binary masks
        ``segmentation``, (N, 1, *positions) or (N, *positions), or ``explain``, from (model, images, targets) to
        attributions, for those of Quantus that explain again.

        Raises:
            InputError: If shapes, targets or outputs do not fit.
        """
        batch = batch_of(inputs, maps, channel_axis)
        reader = OutputReader.of(output, class_axis)
        context = Context(model, target, reader, internal_batch_size, segmentation, explain, channel_axis)
        return self.judge(batch, context.with_arguments(additional_forward_args))

    @abstractmethod
    def judge(self, batch: MapBatch, context: Context) -> Reading:
        """Return the reading of a batch; the other arguments of ``evaluate`` are in the context."""


@declared
class MaskingMetric(Metric):
    """A metric of the model's probabilities for masked images; its ``plan`` says which, and how it reads them."""

    def __post_init__(self) -> None:
        """Raise InputError if the options ``perturb_baseline`` and ``normalization`` do not fit together."""
        super().__post_init__()
        options = vars(self)
        if "perturb_baseline" in options:
            resolve(options["perturb_baseline"], options.get("normalization"))

    @abstractmethod
    def plan(self, batch: MapBatch) -> Plan:
        """Return the masked images that this metric needs of a batch, and its reading of their probabilities."""

    def judge(self, batch: MapBatch, context: Context) -> Reading:
        """Return the reading of a batch, after the forward passes that it needs."""
        return run_plans([self.plan(batch)], context._replace(layout=batch.layout))[0]


class MetricFunction(Protocol[P, R]):
    """A metric as a function; P are the metric's options, which are keyword-only."""

    __name__: str

    def __call__(
        self,
        model: Model,
        inputs: Tensor,
        maps: Tensor,
        target: Target,
        output: Output = "auto",
        class_axis: int | None = None,
        channel_axis: int = 1,
        internal_batch_size: int | None = None,
        additional_forward_args: Any = None,
        *args: P.args,
        **options: P.kwargs,
    ) -> R:
        """Judge one map of each image."""


CHANNEL_AXIS_HELP = "The axis of the values that share one position: 1, or -1 for token embeddings (N, T, E)."
ARGUMENTS_HELP = (
    "Further arguments of the model. Of a tensor of N rows each goes with its image, where the model's outputs show "
    "that it does; everything else is passed as it is."
)
_ARGUMENTS = {
    "model": "From images (B, C, H, W), or other inputs, to class scores (B, classes), in evaluation mode.",
    "inputs": "Images (N, C, H, W), any (N, C, *positions) or tables (N, F), as the model takes them, on its device; "
    "or a tuple of several inputs.",
    "maps": "Attributions like the inputs, or maps (N, *positions) or (N, 1, *positions), of any scale. Another "
    "resolution than the inputs' is interpolated to it, with a warning. Of several inputs a tuple, with None for those "
    "that stay as they are; the positions of all maps are ranked together.",
    "target": "Class of all images, or one per image; a tuple (class, ...) for outputs (B, classes, ...) with further "
    "axes.",
}
_MODEL_OPTIONS = {
    "output": OUTPUT_HELP,
    "class_axis": CLASS_AXIS_HELP,
    "channel_axis": CHANNEL_AXIS_HELP,
    "internal_batch_size": "Images in one forward pass. None picks a number.",
    "additional_forward_args": ARGUMENTS_HELP,
}


def function_of(metric: Callable[P, MaskingMetric]) -> Callable[[Callable[[Any], T]], MetricFunction[P, T]]:
    """Return a decorator that makes a metric's function: ``function(model, inputs, maps, target, *, options, ...)``.

    The decorated function turns the metric's reading into the result. Signature, ``Args`` and ``Raises`` follow from
    the metric's options.
    """
    cls: Any = metric
    common = inspect.signature(MetricFunction.__call__).parameters

    def keywords(parameters: Iterable[inspect.Parameter]) -> list[inspect.Parameter]:
        return [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in parameters]

    parameters = [
        *(common[name] for name in _ARGUMENTS),
        *keywords(inspect.signature(cls).parameters.values()),
        *keywords(common[name] for name in _MODEL_OPTIONS),
    ]
    helps = {**_ARGUMENTS, **{declared.name: declared.help for declared in options_of(cls)}, **_MODEL_OPTIONS}

    def decorate(result_of: Callable[[Any], T]) -> MetricFunction[P, T]:
        @wraps(result_of)
        def function(model: Model, inputs: Tensor, maps: Tensor, target: Target, **options: Any) -> T:
            model_options = {name: options.pop(name) for name in _MODEL_OPTIONS if name in options}
            return result_of(cls(**options).evaluate(model, inputs, maps, target, **model_options))

        head, returns, tail = inspect.cleandoc(result_of.__doc__ or "").partition("Returns:")
        arguments = "\n".join(["Args:", *(f"    {name}: {text}" for name, text in helps.items())])
        raises = "Raises:\n    InputError: If shapes, targets or options do not fit."
        function.__doc__ = "\n\n".join(filter(None, [head.rstrip(), arguments, returns + tail, raises]))
        result = inspect.signature(result_of).return_annotation
        function.__signature__ = inspect.Signature(parameters, return_annotation=result)  # type: ignore[attr-defined]
        return function  # type: ignore[return-value]

    return decorate
