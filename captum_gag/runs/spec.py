"""Suites, built of what they say: which methods are judged by which metrics."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from captum_gag.attr.catalogue import merged, method, options_of_spec
from captum_gag.attr.methods import Method
from captum_gag.baselines import Normalization
from captum_gag.errors import InputError
from captum_gag.metrics.base import Metric
from captum_gag.metrics.catalogue import metric
from captum_gag.names import parse_method
from captum_gag.runs.orderings import RandomOrderings
from captum_gag.runs.suite_file import ORDERINGS, checked_steps, labelled
from captum_gag.runs.suite_file import SuiteFile as SuiteFile
from captum_gag.runs.suite_file import read_suite as read_suite
from captum_gag.runs.suite_file import suite_names as suite_names


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
        truth: The labels of the metrics that know which maps are right.
    """

    title: str
    methods: dict[str, Method]
    bases: dict[str, str]
    metrics: tuple[MetricEntry, ...]
    confidence: float
    truth: tuple[str, ...] = ()

    def judges(self, label: str, metric: Metric) -> bool:
        """Return whether a metric judges a method: displaced maps not by one that explains again, at the cost of that.

        It compares attributions with attributions, and to it one place is as good as another.
        """
        return self.methods[label].control != "displaced" or not getattr(metric, "explains_again", 0)


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
    given = dict(labelled(said))
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
    faults = {label: each.transform for label, each in methods.items() if each.control == "truth"}
    truth = next((label for label, fault in faults.items() if not fault), "Truth")
    bases |= {label: truth for label, fault in faults.items() if fault}
    metrics = tuple(entry for label, each in said.metrics.items() for entry in _entries(label, each, normalization))
    ordered = {label: methods[label] for label in specs}
    if said.random_orderings:
        ordered[ORDERINGS] = RandomOrderings(n=said.random_orderings)
    return Suite(said.title, ordered, bases, metrics, said.confidence, tuple(said.truth))


def _method_spec(label: str, each: Any) -> dict[str, Any]:
    """Return type and options of a method; a name, as its label or as its type, is parsed here."""
    if isinstance(each, str):
        each = {"type": each}
    if not isinstance(each, Mapping):
        raise InputError(f"method {label!r} is {each!r}; expected a table of options, perhaps with type")
    options = dict(each)
    return options if "of" in options else merged(parse_method(str(options.pop("type", label))), options)


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
        wanted = tuple(checked_steps(label, steps or ()))
        if wanted:
            most = {**options, **further}.get("n_steps", max(wanted))
            if most < max(wanted):
                raise InputError(f"metric {label!r} has steps {steps!r}, but takes n_steps = {most}; take more")
            # No more steps are taken than get a record, unless the suite says so.
            made = metric(str(kind or label), {"n_steps": max(wanted), **options, **further}, normalization)
        yield MetricEntry(label, variant, made, wanted)
