"""Suites: which methods are judged by which metrics, as data. The papers' tables, or a user's own TOML file."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

from captum_gag.attr.catalogue import Method, method, options_of_spec, parse
from captum_gag.attr.known_maps import KnownMap
from captum_gag.baselines import Normalization
from captum_gag.errors import InputError, first_line
from captum_gag.files import tomllib
from captum_gag.metrics.catalogue import Metric, metric
from captum_gag.reliability.scores import metric_label
from captum_gag.runs import orderings
from captum_gag.runs.published import huang_liu_cases, means
from captum_gag.specs import declared, option, unknown

_FOLDER = files("captum_gag.runs").joinpath("suites")

CASES = tuple(huang_liu_cases())
"""The data sets with their models that Huang & Liu (2024) have columns for."""


class MetricEntry(NamedTuple):
    """A metric of a suite, ready to score.

    Attributes:
        label: What its records say.
        variant: Which of several settings of the same metric this is; "" for the only one.
        metric: The metric itself.
        steps: For AOPC: the numbers of steps that get a record each. Empty for one record.
    """

    label: str
    variant: str
    metric: Metric
    steps: tuple[int, ...] = ()


class Suite(NamedTuple):
    """Methods and metrics, built.

    Attributes:
        title: What the suite is called.
        methods: By label.
        bases: By the label of a method that transforms another's maps: the label of the other.
        metrics: In the order of the suite.
        confidence: Images with a lower probability of their true class are left out.
        published: Per metric, published means by method; and ``source``.
        truth: The labels of the metrics that know which maps are right.
    """

    title: str
    methods: dict[str, Method]
    bases: dict[str, str]
    metrics: tuple[MetricEntry, ...]
    confidence: float
    published: dict[str, Any]
    truth: tuple[str, ...] = ()


@declared
class SuiteFile:
    """What a suite's TOML file, or a dict like it, may say."""

    methods: dict[str, Any] | tuple[Any, ...] = option(help="Names, or by label what each is: type and options.")
    metrics: dict[str, Any] = option(help="By label: type (default: the label), options, steps and variants.")
    title: str = option(default="own suite", help="What the suite is called.")
    n_samples: int = option(default=20, help="Gradients per image, for the methods that sample and do not say.", ge=1)
    confidence: float = option(default=0.0, help="Leave out images with less in their true class.", ge=0, le=1)
    random_orderings: int = option(default=0, help="Add so many random orderings, kept as one method.", ge=0)
    truth: tuple[str, ...] = option(
        default=(), help="Labels of the metrics that know which maps are right, for the others to be held against."
    )
    published: dict[str, Any] = option(
        default={},
        help="What to compare with: a paper and its tables, such as paper = huang-liu-2024 and table = 2; or by metric "
        "and method the means, and their source.",
    )
    case: str = option(default=CASES[0], help="Whose column of the paper's tables: imagenet-s, isic or places365.")

    def __post_init__(self) -> None:
        """Refuse a case that the paper has not, a truth that is no metric, and published values that are none."""
        if self.case not in CASES:
            raise unknown("case", self.case, CASES)
        tables = {name: each for name, each in self.metrics.items() if isinstance(each, Mapping)}
        plain = [name for name, each in tables.items() if not {"variants", "steps"} & set(each)]
        for each in self.truth:
            if each not in plain:
                raise unknown("truth", each, plain)
        self.published_means()

    def published_means(self) -> dict[str, Any]:
        """Return the published means by metric and method, of this case; and ``source``."""
        return means(self.published, self.case)


def suite_names() -> list[str]:
    """Return the names of the suites that come with the package."""
    return sorted(file.name.removesuffix(".toml") for file in _FOLDER.iterdir() if file.name.endswith(".toml"))


def read_suite(name: str) -> dict[str, Any]:
    """Read what a suite says.

    Args:
        name: One of ``suite_names``, or the path of a TOML file.

    Raises:
        InputError: There is no such suite, or it is no TOML.
    """
    if name in suite_names():
        text = _FOLDER.joinpath(f"{name}.toml").read_text(encoding="utf-8")
    elif Path(name).is_file():
        text = Path(name).read_bytes().decode("utf-8", "replace")
    else:
        raise InputError(f"there is no suite {name!r}; expected {', '.join(suite_names())} or a TOML file")
    try:
        return dict(tomllib.loads(text))
    # Thousands of brackets, or of digits, are no TOML that Python reads.
    except (ValueError, RecursionError) as error:
        raise InputError(f"suite {name}: cannot be read as TOML: {first_line(error)}") from error


def labels_of(said: SuiteFile) -> tuple[list[str], list[str]]:
    """Return the labels of the methods and of the metrics of a suite, as tables show them, without building any."""
    methods = [name for name, _ in _labelled(said)] + [orderings.LABEL] * bool(said.random_orderings)
    metrics = [
        metric_label(name, variant, steps)
        for name, each in said.metrics.items()
        for variant in each.get("variants") or ("",)
        for steps in tuple(_checked_steps(name, each.get("steps") or ())) or (None,)
    ]
    return methods, metrics


def make_suite(data: Mapping[str, Any], normalization: Normalization | None = None) -> Suite:
    """Build the methods and metrics of a suite.

    Args:
        data: What the TOML file says; see ``SuiteFile``. A method is a name of the catalogue, or a table with ``type``
            or ``of`` and ``transform`` and its options, under its label; a metric a table with ``type`` and its
            options, ``steps`` (AOPC: a record for each number of steps) and ``variants``, tables of further options.
        normalization: (mean, std) of the model's input, for the metrics, and the methods that ask for it.

    Raises:
        InputError: It says something that has no meaning.
    """
    said = SuiteFile(**data)
    given = dict(_labelled(said))
    if not (given or said.random_orderings) or not said.metrics:
        raise InputError("expected at least one entry under methods, and one table [metrics.LABEL]")
    specs = {label: _method_spec(label, each) for label, each in given.items()}
    shared = {"n_samples": said.n_samples} | ({} if normalization is None else {"normalization": normalization})
    for label, spec in specs.items():
        # A method that transforms one of the suite takes what that was given, a class of Captum what Captum does.
        if not str(spec.get("type", "")).startswith("captum:") and spec.get("of") not in list(specs):
            known = options_of_spec(spec)
            specs[label] = {**{name: value for name, value in shared.items() if name in known}, **spec}
    methods: dict[str, Method] = {}
    for label in specs:
        _build(label, specs, methods, ())
    bases = {label: spec["of"] for label, spec in specs.items() if isinstance(spec.get("of"), str)}
    faults = {label: each.transform for label, each in methods.items() if isinstance(each, KnownMap)}
    truth = next((label for label, fault in faults.items() if not fault), "Truth")
    bases |= {label: truth for label, fault in faults.items() if fault}
    metrics = tuple(entry for label, each in said.metrics.items() for entry in _entries(label, each, normalization))
    ordered = {label: methods[label] for label in specs}
    if said.random_orderings:
        ordered[orderings.LABEL] = orderings.RandomOrderings(n=said.random_orderings)
    return Suite(said.title, ordered, bases, metrics, said.confidence, said.published_means(), tuple(said.truth))


def _labelled(said: SuiteFile) -> Iterator[tuple[str, Any]]:
    """Yield each method's label and what it says, whichever way the suite lists them."""
    listed = said.methods.items() if isinstance(said.methods, dict) else map(_label, said.methods)
    labels = {orderings.LABEL} if said.random_orderings else set()
    for label, each in listed:
        if label in labels:
            raise InputError(f"method {label!r} comes twice; give one of them a label of its own")
        labels.add(label)
        yield label, each


def _label(each: Any) -> tuple[str, Any]:
    if isinstance(each, str):
        return each, {}
    if not isinstance(each, Mapping) or not {"label", "type"} & set(each):
        raise InputError(f"method {each!r} has no meaning; expected a name, or a table with type and options")
    rest = {key: value for key, value in each.items() if key != "label"}
    return str(each.get("label", each.get("type"))), rest


def _method_spec(label: str, each: Any) -> dict[str, Any]:
    """Return type and options of a method; a name, as its label or as its type, is parsed here."""
    if isinstance(each, str):
        each = {"type": each}
    if not isinstance(each, Mapping):
        raise InputError(f"method {label!r} is {each!r}; expected a table of options, perhaps with type")
    options = dict(each)
    return options if "of" in options else {**parse(str(options.pop("type", label))), **options}


def _build(
    label: str, specs: Mapping[str, dict[str, Any]], methods: dict[str, Method], above: tuple[str, ...]
) -> Method:
    """Build a method, and before it the one of the suite that it transforms."""
    if label in above:
        raise InputError(f"method {label!r} transforms itself: {' of '.join([*above, label])}")
    if label not in methods:
        spec = specs[label]
        of = spec.get("of")
        if isinstance(of, str) and of in specs:
            spec = {**spec, "of": _build(of, specs, methods, (*above, label))}
        try:
            methods[label] = method(spec)
        except InputError as error:
            raise InputError(f"method {label!r}: {error}") from error
    return methods[label]


def _entries(label: str, each: Any, normalization: Normalization | None) -> Iterator[MetricEntry]:
    """Yield a metric of a suite in each of its variants."""
    if not isinstance(each, Mapping):
        raise InputError(f"metric {label!r} is {each!r}; expected a table of options, perhaps with type")
    options = dict(each)
    kind, steps, variants = (options.pop(key, None) for key in ("type", "steps", "variants"))
    if variants is not None and not (
        isinstance(variants, Mapping) and all(isinstance(v, Mapping) for v in variants.values())
    ):
        raise InputError(f"metric {label!r} has variants {variants!r}; expected tables of options by name")
    for variant, further in (variants or {"": {}}).items():
        try:
            made = metric(str(kind or label), {**options, **further}, normalization)
        except InputError as error:
            raise InputError(f"metric {label!r}: {error}") from error
        if steps is not None and not made.has_steps:
            raise InputError(f"metric {label!r} has steps {steps!r}, but no steps that could get a record each")
        wanted = tuple(_checked_steps(label, steps or ()))
        if wanted:
            most = {**options, **further}.get("n_steps", max(wanted))
            if most < max(wanted):
                raise InputError(f"metric {label!r} has steps {steps!r}, but takes n_steps = {most}; take more")
            # No more steps are taken than get a record, unless the suite says so.
            made = metric(str(kind or label), {"n_steps": max(wanted), **options, **further}, normalization)
        yield MetricEntry(label, variant, made, wanted)


def _checked_steps(label: str, steps: Any) -> Iterator[int]:
    for each in steps if isinstance(steps, list | tuple) else (steps,):
        if not isinstance(each, int) or isinstance(each, bool) or each < 1:
            raise InputError(f"metric {label!r} has steps {steps!r}; expected a list of integers of at least 1")
        yield each
