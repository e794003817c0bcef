"""``captum_gag.compare``: which explanation to trust, for a model and images that are Python objects."""

from __future__ import annotations

import html
import shutil
import weakref
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from copy import copy
from functools import cached_property
from pathlib import Path
from tempfile import mkdtemp
from typing import Any, Literal

import numpy as np
import pandas as pd
import torch
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import nn

from captum_gag.baselines import Normalization
from captum_gag.data import dataset
from captum_gag.data.datasets import ImageData
from captum_gag.data.held import HeldData
from captum_gag.errors import InputError, first_line, in_one_line, shown, warn
from captum_gag.model_probe import require_evaluation_mode
from captum_gag.models.loading import Classifier, name_of, tensor_classifier
from captum_gag.modules import modules_inside
from captum_gag.names import parse_data
from captum_gag.outputs import Output
from captum_gag.report import tables
from captum_gag.report.figures import map_grid
from captum_gag.report.page import write_page
from captum_gag.report.reliability_figures import means
from captum_gag.report.style import as_svg
from captum_gag.report.summary import Summary, sentences, summarised
from captum_gag.runs.config import IN_PYTHON, Config
from captum_gag.runs.execution import execute, progress_bar
from captum_gag.runs.executors import Bench, Chunk, Done, Executor, in_this_process
from captum_gag.runs.identity import structure
from captum_gag.runs.scorer import Scorer
from captum_gag.runs.spec import make_suite, read_suite
from captum_gag.runs.stopping import require_answerable
from captum_gag.runs.store import Run


def compare(
    model: nn.Module | Classifier,
    data: Any,
    methods: Sequence[Any] | Mapping[str, Any] | None = None,
    metrics: Sequence[str] | Mapping[str, Mapping[str, Any]] | None = None,
    *,
    n_samples: int = 20,
    seed: int = 0,
    limit: int | None = None,
    until: Literal["done", "decided"] = "done",
    against: str = "best",
    output: Output | None = None,
    normalization: Normalization | None = None,
    labels: Sequence[str] | None = None,
    out: str | Path | None = None,
    save_maps: bool = True,
    show_progress: bool = True,
    log_to: Callable[[list[dict[str, Any]]], object] | None = None,
) -> Comparison:
    """Score explanations of a model by several metrics, and tell which one may be trusted.

    The scores are those of ``captum-gag run`` on the same images.

    Args:
        model: In evaluation mode, on any device; it is not changed. A ``Classifier`` has its preprocessing and takes
            photographs; any other module takes tensors as they are.
        data: (images, labels), where labels may be None to explain the predicted classes; images (N, C, H, W) alone; a
            ``DataLoader`` or a ``Dataset`` of (image, label), perhaps with a segmentation; a folder of photographs; or
            a data set of ``captum_gag.data.dataset``. Images are what the model takes; for a ``Classifier``
            photographs, 8 bits or in [0, 1].
        methods: Names, such as "GAG-85", "Occlusion" or "captum:Saliency", or by label type and options, as in a
            suite's file; those of the suite ``compare`` have its options. None: all of these.
        metrics: Likewise, such as ["RCAP", "quantus:Sparseness"] or {"Deletion": {"perturb_baseline": "black"}}.
        n_samples: Gradients per image, for the methods that sample and do not say.
        seed: Of all noise, and of the images drawn.
        limit: Images at most, drawn by the seed, as many of each class as can be. None takes all.
        until: "decided" takes images in random order and stops as soon as every metric has decided which methods are
            better on most images than ``against``, or at the limit.
        against: The method that all others are compared with, or "best".
        output: What the model returns: "logits", "probabilities", "logit", "sigmoid", "log_probabilities", or a
            callable from that to probabilities (N, classes). None: what the ``Classifier`` says, else it is decided by
            the outputs where they leave no doubt.
        normalization: (mean, std) by which pixels in [0, 1] became the images, so that metrics know black. Needed where
            images are no pixels in [0, 1]; (0, 1) says that they are, (0, 1 / 255) that white is 255. A ``Classifier``
            has its own.
        labels: Names of the classes. None: those of the ``Classifier`` or of the data set.
        out: Directory to keep the run in: the same call goes on with it. None keeps it as long as the result.
        save_maps: Keep maps and small photographs, for ``maps``, ``plot_maps`` and the page.
        show_progress: Show a progress bar.
        log_to: Called with the records of each image as it is done; where it fails, a warning says so.

    Raises:
        InputError: An argument cannot be used, or no score could be computed. An image that fails costs its own scores
            only; a warning counts them.
    """
    if log_to is not None and not callable(log_to):
        raise InputError(f"log_to is of type {type(log_to).__name__}, must be a function of the records of an image")
    images = _data(data, isinstance(model, Classifier), normalization is None)
    classifier = _classifier(model, images, output, normalization, labels)
    suite = _suite(methods, metrics, n_samples)
    spec: dict[str, Any] = {"type": IN_PYTHON, "name": classifier.name, "structure": structure(classifier.model)}
    spec |= {"mean": classifier.mean, "std": classifier.std, "output": name_of(classifier.output)}
    dtype = next(classifier.model.parameters(), torch.zeros(())).dtype
    options: dict[str, Any] = {"limit": limit, "seed": seed, "until": until, "against": against, "save_maps": save_maps}
    options |= {"device": classifier.device, "dtype": str(dtype).removeprefix("torch.")}
    try:
        config = Config(suite, spec, images.spec(), threads=torch.get_num_threads(), **options)
        made = make_suite(suite, classifier.normalization)
    except InputError as error:
        raise InputError(str(error).removeprefix("Config: ").removeprefix("SuiteFile: ")) from error
    require_answerable(config, made)
    scorer = Scorer(classifier, made, seed, dtype, images)
    if labels is not None and (isinstance(labels, str | Mapping) or len(labels) != (scorer.classes or len(labels))):
        raise InputError(f"labels are {shown(labels)}, must be a list of {scorer.classes} names, one for each class")
    bench = Bench(config, images, scorer)
    directory = Path(mkdtemp(prefix="captum-gag-") if out is None else out)
    try:
        run = Run.create(directory, config, bench.identity())
    except OSError as error:
        raise InputError(f"out is {directory}, which cannot be made: {first_line(error)}") from error
    if out is None:
        weakref.finalize(run, shutil.rmtree, run.directory, ignore_errors=True)
    execute(run, _logging(log_to), bench=bench, track=progress_bar if show_progress else None, say=lambda line: None)
    result = Comparison(run)
    failed = tables.failures(result.scores)
    if result.scores["score"].isna().all():
        reason = failed["error"].iloc[0] if len(failed) else "every score is undefined"
        raise InputError(f"no score could be computed: {reason}")
    if len(failed):
        first = failed.iloc[0]
        warn(
            f"{failed['cells'].sum()} of {len(result.scores)} scores could not be computed, first of {first['method']} "
            f"on {first['image']}: {first['error']}; the column error of .scores has all"
        )
    return result


class Comparison:
    """Scores of explanations, and what they tell; shown in a notebook, its verdict and means.

    Attributes:
        run: The run that holds records and maps.
    """

    def __init__(self, run: Run) -> None:
        """Take a run that is done."""
        self.run = run

    @cached_property
    def scores(self) -> pd.DataFrame:
        """A row per image, method and metric: score, classes, probabilities and error, as a run's records have them."""
        return self.run.scores()

    @cached_property
    def maps(self) -> dict[str, dict[str, NDArray[np.float32]]]:
        """By image and method the map, (H, W) in [0, 1]; empty without ``save_maps``."""
        of_images = {image: self.run.maps(image) for image in self.scores["image"].unique()}
        return {image: {name: each.numpy() for name, each in maps.items()} for image, maps in of_images.items() if maps}

    @cached_property
    def _summary(self) -> Summary:
        return summarised(self.scores, [self.run])

    @property
    def verdict(self) -> pd.DataFrame:
        """A row per metric: the best explanation, whether it is decided, and why not; see ``reliability.verdict``."""
        return self._summary.verdicts

    def table(self) -> pd.DataFrame:
        """Return mean scores with 95 % intervals as text: a row per method, a column per metric."""
        return tables.headed_cells(self._summary.rows)

    def plot(self) -> Figure:
        """Draw mean scores with 95 % intervals, a panel per metric with its verdict; black may be best."""
        states = self.verdict.set_index("metric")[["best", "state"]]
        captions = {
            metric: row["state"] if row["state"] != "decided" else f"{row['best']} ({row['state']})"
            for metric, row in states.iterrows()
        }
        return means(self._summary.rows, {str(metric): text for metric, text in captions.items()})

    def plot_maps(self, image: int | str = 0, *, overlay: bool = False) -> Figure:
        """Draw an image with the map of each method and its score by the first metric.

        Args:
            image: Its number among the images scored, or its name.
            overlay: Draw the maps over the image in grey.

        Raises:
            InputError: There is no such image, or its maps were not kept.
        """
        names = list(self.scores["image"].unique())
        inside = isinstance(image, int) and -len(names) <= image < len(names)
        name = names[int(image)] if inside else str(image)
        if name not in names:
            raise InputError(f"there is no image {image!r}; must be below {len(names)}, or a name such as {names[0]!r}")
        photograph, errors = self.run.photograph(name), self.scores.loc[self.scores["image"].eq(name), "error"]
        if photograph is None:
            reason = next(filter(None, errors), "they were not kept; compare with save_maps=True")
            raise InputError(f"image {name!r} has no maps: {reason}")
        of_image = self.scores[self.scores["image"].eq(name) & self.scores["metric"].eq(self.scores["metric"].iloc[0])]
        first = of_image.iloc[0]
        title = f"{name}: {first['label']} {first['probability']:.0%}"
        photo = np.asarray(photograph.photo, dtype=np.float32) / 255
        scores = {title: dict(zip(of_image["method"], of_image["score"], strict=True))}
        kept = self.run.maps(name)
        maps = {title: {method: kept[method].numpy() for method in of_image["method"] if method in kept}}
        return map_grid({title: photo}, maps, scores, metric=first["metric"], overlay=overlay)

    def report(self, path: str | Path) -> Path:
        """Write the comparison as one HTML page; see ``captum-gag report``."""
        return write_page(self.run, Path(path))

    def to_latex(self) -> str:
        """Return mean scores with 95 % intervals as a LaTeX table for booktabs."""
        return tables.latex_table(self._summary.rows, self._sentences)

    @property
    def _sentences(self) -> list[str]:
        return [*sentences(self.verdict), self._summary.assumption]

    def __str__(self) -> str:
        """Return the verdicts in words, and the means."""
        return "\n".join([*sentences(self.verdict), "", self.table().to_string()])

    def _repr_html_(self) -> str:
        """Return verdicts and means for a notebook."""
        words = "".join(f"<p>{html.escape(sentence)}</p>" for sentence in self._sentences)
        return f"{words}{as_svg(self.plot())}{self.table().to_html()}"


def _logging(log_to: Callable[[list[dict[str, Any]]], object] | None) -> Executor:
    """Return an executor of this process that hands on the records of each image; a tracker that fails ends nothing."""

    def executor(bench: Bench, chunks: Iterable[Chunk]) -> Generator[list[Done], None, None]:
        has_failed = False
        for chunk in in_this_process(bench, chunks):
            yield chunk
            for done in chunk if log_to is not None else ():
                try:
                    log_to(done.rows)  # type: ignore[misc]
                # The user's own function can fail in any way.
                except Exception as error:
                    if not has_failed:
                        warn(f"log_to failed, first for {done.image}: {in_one_line(error)}; the scores are kept")
                    has_failed = True

    return executor


def _suite(methods: Any, metrics: Any, n_samples: int) -> dict[str, Any]:
    """Return the suite ``compare`` with other methods and metrics; those that it has are as it has them."""
    suite = read_suite("compare") | {"title": "Which explanation?", "n_samples": n_samples}
    if methods is not None and not isinstance(methods, Mapping):
        tables = {each["label"]: each for each in suite["methods"] if isinstance(each, Mapping)}
        names = [methods] if isinstance(methods, str) else methods
        methods = [tables.get(each, each) if isinstance(each, str) else each for each in names]
    if metrics is not None and not isinstance(metrics, Mapping):
        names = [metrics] if isinstance(metrics, str) else list(metrics)
        if not all(isinstance(each, str) for each in names):
            raise InputError(f"metrics are {shown(names)}, must be names, or options by label as in a suite's file")
        metrics = {name: suite["metrics"].get(name, {}) for name in names}
    given = {"methods": methods, "metrics": metrics}
    return suite | {name: each for name, each in given.items() if each is not None}


def _data(data: Any, has_preprocessing: bool, in_pixels: bool) -> ImageData:
    if isinstance(data, str | Path):
        data = dataset(parse_data(str(data)))
    if isinstance(data, ImageData) and not has_preprocessing:
        raise InputError(
            f"{data}: holds photographs, and the model takes tensors; give captum_gag.models.Classifier(name, model, "
            "mean, std, resize, crop), which has the preprocessing, or the images as tensors"
        )
    images = data if isinstance(data, ImageData) else HeldData(data, not has_preprocessing, in_pixels)
    len(images)
    return images


def _classifier(model: Any, data: Any, output: Output | None, normalization: Any, labels: Any) -> Classifier:
    """Return the model with what it needs to know; ask it by the first image."""
    if not isinstance(model, Classifier | nn.Module):
        raise InputError(
            f"model is a {type(model).__name__}, must be a torch.nn.Module or a captum_gag.models.Classifier"
        )
    if isinstance(model, Classifier):
        if normalization is not None or labels is not None:
            raise InputError("a Classifier has its own normalization and labels; leave them out")
        require_evaluation_mode(modules_inside(model.model))
        declared = copy(model)
        declared.output = model.output if output is None else output
        return declared
    require_evaluation_mode(modules_inside(model))
    image = data.first_image()
    names = list(map(str, labels)) if labels is not None else list(dict(data.class_names).values()) or None
    classifier = tensor_classifier(model, image, normalization, names, "auto" if output is None else output)
    try:
        parameter = next(model.parameters(), image)
        with torch.no_grad():
            model(image[None].to(parameter.device, parameter.dtype))
    # The user's model can fail in any way.
    except Exception as error:
        shape = tuple(image.shape)
        raise InputError(f"the model does not take the first image, {shape}: {in_one_line(error)}") from error
    return classifier
