"""What a metric is: its options, declared once, and what it reads of images and maps; its function follows."""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any, Protocol, TypeVar

from torch import Tensor
from typing_extensions import ParamSpec

from captum_gag.baselines import BaselineLike
from captum_gag.errors import warn
from captum_gag.metrics.map_batch import MapBatch
from captum_gag.metrics.masking import Model, Plan, run_plans
from captum_gag.metrics.readings import Reading
from captum_gag.options import declared, option, options_of
from captum_gag.outputs import OUTPUT_HELP, Output
from captum_gag.tensors import Target

P = ParamSpec("P")
T = TypeVar("T")
R = TypeVar("R", covariant=True)


@declared
class Metric(ABC):
    """A metric: options, and a score for each image's map.

    Attributes:
        higher_is_better: Which way its scores point; None if it is not known.
        needs_segmentation: Whether ``evaluate`` needs the ``segmentation``.
        has_steps: Whether its readings have a score for each number of steps, ``at(steps)``.
    """

    needs_segmentation = False
    has_steps = False

    @property
    def higher_is_better(self) -> bool | None:
        """Which way its scores point; None if it is not known."""
        return None

    def __post_init__(self) -> None:
        """Refuse options that do not go together."""
        self.check()

    def check(self) -> None:  # noqa: B027 (most options go together)
        """Refuse options that do not go together, with an InputError; called when the metric is made."""

    @abstractmethod
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
    ) -> Reading:
        """Judge one map of each image.

        Args:
            model: From images (B, C, H, W), or other inputs, to class scores (B, classes), in evaluation mode.
            inputs: Images (N, C, H, W), any (N, C, *positions) or tables (N, F), as the model takes them, on its
                device.
            maps: Attributions like the inputs, or maps (N, *positions) or (N, 1, *positions).
            target: Class of all images, or of each.
            segmentation: Binary masks (N, 1, *positions) or (N, *positions), for metrics that need them.
            output: What the model returns; see ``captum_gag.outputs``.
            channel_axis: The axis of the values that share one position: 1, or -1 for token embeddings (N, T, E).
            internal_batch_size: Images in one forward pass. None picks a number.

        Raises:
            InputError: If shapes or targets have no meaning.
        """


@declared
class MaskingMetric(Metric):
    """A metric that looks at what the model says of masked images; it states which, and how it reads the answers."""

    @abstractmethod
    def plan(self, batch: MapBatch) -> Plan:
        """Return the masked images that this metric needs of a batch, and what it makes of their probabilities."""

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
    ) -> Reading:
        """Judge one map of each image; see ``Metric``."""
        batch = MapBatch(inputs, maps, channel_axis=channel_axis)
        [reading] = run_plans([self.plan(batch)], batch.fed_to(model), target, output, internal_batch_size)
        return reading


def baseline_option(default: BaselineLike) -> Any:
    """Declare the option that says what hidden pixels show."""
    return option(
        default=default,
        help='What hidden pixels show: a name ("black", "mean", "uniform_rgb", "blur", "road"; in pixel space), a dict '
        "of type (such a name) and its options, a number or tensor (in model space), or a callable from images to "
        "images.",
    )


def normalization_option() -> Any:
    """Declare the option that says how the model's input was normalised."""
    return option(default=None, help="(mean, std) by which pixels in [0, 1] became the model's input.")


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
        channel_axis: int = 1,
        internal_batch_size: int | None = None,
        *args: P.args,
        **options: P.kwargs,
    ) -> R:
        """Judge one map of each image."""


_ARGUMENTS = {
    "model": "From images (B, C, H, W), or other inputs, to class scores (B, classes), in evaluation mode.",
    "inputs": "Images (N, C, H, W), any (N, C, *positions) or tables (N, F), as the model takes them, on its device.",
    "maps": "Attributions like the inputs, or maps (N, *positions) or (N, 1, *positions), of any scale. Another "
    "resolution than the inputs' is interpolated to it, with a warning.",
    "target": "Class of all images, or of each; a tuple (class, ...) for outputs (B, classes, ...) with further axes.",
}
_READING = {
    "output": OUTPUT_HELP,
    "channel_axis": "The axis of the values that share one position: 1, or -1 for token embeddings (N, T, E).",
    "internal_batch_size": "Images in one forward pass. None picks a number.",
}


def function_of(metric: Callable[P, MaskingMetric]) -> Callable[[Callable[[Any], T]], MetricFunction[P, T]]:
    """Make a function of a metric: ``function(model, inputs, maps, target, *, options, output, ...)``.

    What is decorated says what the function makes of the metric's reading. Signature and ``Args`` come from the
    metric's options.
    """
    made: Any = metric
    keyword = inspect.Parameter.KEYWORD_ONLY
    options = [each.replace(kind=keyword) for each in inspect.signature(made).parameters.values()]
    common = inspect.signature(MetricFunction.__call__).parameters
    parameters = [common[name] for name in _ARGUMENTS]
    parameters += [*options, *(common[name].replace(kind=keyword) for name in _READING)]
    described = {**_ARGUMENTS, **{each.name: each.help for each in options_of(made)}, **_READING}

    def decorate(make: Callable[[Any], T]) -> MetricFunction[P, T]:
        @wraps(make)
        def function(
            model: Model,
            inputs: Tensor,
            maps: Tensor,
            target: Target,
            *,
            output: Output = "auto",
            channel_axis: int = 1,
            internal_batch_size: int | None = None,
            **options: Any,
        ) -> T:
            metric = made(**options)
            common = {"output": output, "channel_axis": channel_axis, "internal_batch_size": internal_batch_size}
            return make(metric.evaluate(model, inputs, maps, target, **common))

        head, returns, tail = inspect.cleandoc(make.__doc__ or "").partition("Returns:")
        arguments = "".join(f"    {name}: {text}\n" for name, text in described.items())
        function.__doc__ = f"{head}Args:\n{arguments}\n{returns}{tail}"
        signature: Any = function
        signature.__signature__ = inspect.Signature(
            parameters, return_annotation=inspect.signature(make).return_annotation
        )
        return function  # type: ignore[return-value]

    return decorate


def defined(metric: str, scores: Tensor, causes: Sequence[str]) -> Tensor:
    """Return scores as they are, after one warning that names the images for which they are NaN, and why.

    Args:
        metric: Its name, for the warning.
        scores: Shape (N,).
        causes: Of the reading: why each is NaN.
    """
    undefined: dict[str, list[str]] = {}
    for index, (score, cause) in enumerate(zip(scores.tolist(), causes, strict=True)):
        if score != score:
            undefined.setdefault(cause, []).append(str(index))
    if undefined:
        named = [index for some in undefined.values() for index in some]
        said = [f"{cause} (image {', '.join(some)})" for cause, some in undefined.items()]
        why = said if len(undefined) > 1 else list(undefined)
        warn(f"{metric} is NaN for image {', '.join(sorted(named, key=int))}: {'; '.join(why)}.")
    return scores
