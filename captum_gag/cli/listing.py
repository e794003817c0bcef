"""``captum-gag suites`` and ``metrics``: what a run is made of."""

from __future__ import annotations

import typer

from captum_gag.cli.common import Json, print_json


def suites(json: Json = False) -> None:
    """List the suites that captum-gag run takes by name."""
    from captum_gag.runs.spec import make_suite, read_suite, suite_names

    found = [
        {
            "name": name,
            "title": suite.title,
            "methods": list(suite.methods),
            "metrics": [" ".join(filter(None, (each.label, each.variant))) for each in suite.metrics],
        }
        for name, suite in ((name, make_suite(read_suite(name))) for name in suite_names())
    ]
    if json:
        print_json(found)
        return
    for each in found:
        typer.echo(f"{each['name']}: {each['title']}")


def metrics(json: Json = False) -> None:
    """List the metrics that a suite takes by type; Quantus's own are taken as quantus:Class.

    With --json also their options: name, type, default, range, help.
    """
    from captum_gag.metrics.catalogue import rows

    if json:
        print_json(rows())
        return
    for each in rows():
        typer.echo(f"{each['type']}: {each['summary']} {each['better'].capitalize()} is better.")
