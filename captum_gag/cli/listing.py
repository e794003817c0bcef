"""``captum-gag methods``, ``metrics`` and ``suites``: what there is to choose from."""

from __future__ import annotations

import typer

from captum_gag.cli.common import Json, print_json
from captum_gag.cli.lists import listed


def methods(json: Json = False) -> None:
    """List the methods that explain --method takes: what each is, its parts, where it was published.

    GAG, and G and GA variants, take any percentile: GAG-70, SG-GA50. Grad-CAM takes a layer: Grad-CAM:layer4.1.
    A name followed by ^R gives its reversed map (Proposition 1); ^sharp, ^binary and ^pixel manipulate it to fool a
    metric. Random:7 is the random ordering of seed 7. captum:CLASS is any class of captum.attr. With --json also every
    type of method and every transform with its options: name, type, default, range, help.
    """
    if json:
        print_json({name: listed(name) for name in ("methods", "types", "transforms")})
        return
    from rich.box import SIMPLE
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table("method", "what it is", "parts", "source", box=SIMPLE)
    for row in listed("methods"):
        table.add_row(*map(Text, row.values()))
    Console().print(table)


def suites(json: Json = False) -> None:
    """List the suites that captum-gag run takes by name."""
    if json:
        print_json(listed("suites"))
        return
    for each in listed("suites"):
        typer.echo(f"{each['name']}: {each['title']}")


def metrics(json: Json = False) -> None:
    """List the metrics that a suite takes by type; Quantus's own are taken as quantus:Class.

    With --json also their options: name, type, default, range, help.
    """
    if json:
        print_json(listed("metrics"))
        return
    for each in listed("metrics"):
        typer.echo(f"{each['type']}: {each['summary']} {each['better'].capitalize()} is better.")
