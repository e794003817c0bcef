"""Commands out of declared options: parameters of the command line, and errors in one line."""

from __future__ import annotations

import codecs
import inspect
import json
import operator
import re
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from copy import copy
from functools import wraps
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any, Optional, TypeVar, get_args, get_origin

import typer
from typer.core import TyperGroup

from captum_gag.errors import InputError, in_one_line, printable
from captum_gag.files import plain
from captum_gag.names import FROM_WORKING_DIRECTORY
from captum_gag.options import Option

F = TypeVar("F", bound=Callable[..., Any])

_ARGS = re.compile(r"^    (\w+): (.*(?:\n     .*)*)", re.MULTILINE)
_UsageError: Any = typer.BadParameter.__base__
_ASCII = str.maketrans({"\N{DAGGER}": "#", "\N{ALMOST EQUAL TO}": "~", "\N{EN DASH}": "-"})


def _in_ascii(error: Any) -> tuple[str, int]:
    """Return ASCII in place of characters that the encoding of a terminal lacks."""
    text = error.object[error.start : error.end].translate(_ASCII)
    return text.encode("ascii", "backslashreplace").decode(), error.end


codecs.register_error("in_ascii", _in_ascii)


class Commands(TyperGroup):
    """A group of commands that answers a wrong call in one line and with exit status 2."""

    def main(self, args: Sequence[str] | None = None, *more: Any, **extra: Any) -> Any:
        """Run a command, and leave with its exit status unless ``standalone_mode`` is false."""
        standalone, extra["standalone_mode"] = extra.get("standalone_mode", True), False
        if not standalone:
            return super().main(args, *more, **extra)
        for stream, errors in ((sys.stdin, "surrogateescape"), (sys.stdout, "in_ascii"), (sys.stderr, "in_ascii")):
            # A stream may be closed, or another's; names of files on standard input may be any bytes.
            with suppress(AttributeError):
                stream.reconfigure(errors=errors)  # type: ignore[union-attr]
        # A path that is empty would be the working directory, and a name that is empty the default.
        if any(re.fullmatch(r"(--[\w-]+=)?\s*", word) for word in (sys.argv[1:] if args is None else args)):
            typer.echo("captum-gag: an argument is empty; give a value, or leave its option out", err=True)
            sys.exit(2)
        try:
            status = super().main(args, *more, **extra)
        except typer.Abort:
            status = 1
        except _UsageError as error:
            if type(error).__name__ == "NoArgsIsHelpError":
                error.show()
            else:
                message = " ".join(error.format_message().replace("Value error, ", "").split()).rstrip(".?")
                # An option without its value is refused before it is known which command it belongs to.
                path = error.ctx.command_path if error.ctx else "captum-gag"
                typer.echo(f"captum-gag: {message}; see {path} --help", err=True)
            status = error.exit_code
        sys.exit(status if isinstance(status, int) else 0)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"captum-gag {version('captum-gag')}")
        raise typer.Exit


app = typer.Typer(
    cls=Commands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
)


@app.callback()
def main(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Explain image classifiers with Guided AbsoluteGrad (GAG), score explanations, and judge the scores.

    **demo** and **explain** explain single images. **run** scores many methods by many metrics over a data set;
    **table** and **report** show the scores. **reliability** judges the metrics.
    """


def command(commands: typer.Typer = app, name: str | None = None, **groups: Sequence[Option]) -> Callable[[F], F]:
    """Make a command of a function, which stays as it is.

    Its parameters are arguments, its keyword-only parameters are options, with the lines of ``Args`` as their help.

    Args:
        commands: The group that it belongs to.
        name: Name of the command; None for the function's.
        groups: By a parameter of the function, declared options that the command has too; the function gets those that
            differ from their defaults, as a dict by name.
    """

    def decorate(function: F) -> F:
        signature = inspect.signature(function, eval_str=True)
        text, _, args = (inspect.getdoc(function) or "").partition("\nArgs:\n")
        helps = {name: " ".join(help.split()) for name, help in _ARGS.findall(args)}
        own = [_own(p, helps.get(p.name)) for p in signature.parameters.values() if p.name not in groups]
        declared = [option for options in groups.values() for option in options]
        parameters = [*own, *map(_parameter, declared)]
        parameters.sort(key=lambda parameter: parameter.kind)

        @wraps(function)
        def call(**values: Any) -> None:
            with errors_in_one_line():
                for name, options in groups.items():
                    values[name] = {}
                    for option in options:
                        value = values.pop(option.name)
                        if value in (None, []) or (value == option.default and not option.unset):
                            continue
                        # Typer knows closed ranges only, and takes NaN for a number in any.
                        if not all(getattr(operator, sign)(value, limit) for sign, limit in option.limits.items()):
                            raise InputError(f"{option.flag} {value} must be {option.range}")
                        values[name][option.name] = value
                function(**values)

        call.__doc__ = text
        call.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
        call.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
        commands.command(name)(call)
        return function

    return decorate


def _own(parameter: inspect.Parameter, help: str | None) -> inspect.Parameter:
    """Return a function's parameter as Typer takes it."""
    is_annotated = get_origin(parameter.annotation) is Annotated
    annotation, *infos = get_args(parameter.annotation) if is_annotated else (parameter.annotation,)
    is_option = parameter.kind is inspect.Parameter.KEYWORD_ONLY
    info = copy(infos[0]) if infos else typer.Option() if is_option else typer.Argument()
    info.help = help or info.help
    if is_option:
        info.param_decls = (f"--{parameter.name.replace('_', '-')}",)
    return parameter.replace(annotation=Annotated[annotation, info])


def _parameter(option: Option) -> inspect.Parameter:
    """Return the parameter of the command line for a declared option."""
    several = get_origin(option.annotation) is tuple
    computed = option.default is None or several or option.unset
    info = typer.Option(
        option.flag,
        help=option.help,
        metavar=option.metavar or None,
        min=option.limits.get("ge"),
        max=option.limits.get("le"),
        show_default=option.unset or not computed,
    )
    type = list[str] if several else option.annotation
    return inspect.Parameter(
        option.name,
        inspect.Parameter.KEYWORD_ONLY,
        default=None if computed else option.default,
        annotation=Annotated[Optional[type] if computed else type, info],  # noqa: UP045
    )


@contextmanager
def errors_in_one_line() -> Iterator[None]:
    """Turn errors and warnings into one line on stderr each; after an error, leave with exit status 2.

    Python's development mode shows where an unforeseen error comes from (python -X dev -m captum_gag.cli).
    """
    token = FROM_WORKING_DIRECTORY.set(True)
    try:
        with warnings.catch_warnings():
            warnings.showwarning = lambda message, *_, **__: typer.echo(in_plain_text(message), err=True)
            yield
    except (typer.Exit, typer.Abort):
        raise
    except KeyboardInterrupt:
        typer.echo("captum-gag: interrupted; what is written is kept", err=True)
        raise typer.Exit(130) from None
    except Exception as error:
        if isinstance(error, BrokenPipeError):
            # Where nobody reads the output any more, as after ``| head``, this fails too, and Typer ends quietly; but
            # the pipe may be that of a worker.
            print(flush=True)
        foreseen = isinstance(error, InputError | OSError)
        if sys.flags.dev_mode and not foreseen:
            raise
        where = "(not foreseen; python -X dev -m captum_gag.cli says where)"
        message = str(error) if foreseen else f"{in_one_line(error)} {where}"
        typer.echo(f"captum-gag: {message}", err=True)
        raise typer.Exit(2) from error
    finally:
        FROM_WORKING_DIRECTORY.reset(token)


def in_plain_text(text: object) -> str:
    """Return a text in one line, without characters that steer a terminal."""
    return printable(" ".join(str(text).split()))


def print_table(table: Any, files: Iterable[Path] = ()) -> None:
    """Print what rich lays out, and the files that it was written to."""
    from rich.console import Console

    # What is laid out for 80 characters is cut short in less.
    console = Console()
    console.width = max(80, console.width)
    console.print(table)
    for file in files:
        typer.echo(str(file))


def print_json(value: Any) -> None:
    """Print a value as JSON; NaN and infinity are null."""
    typer.echo(json.dumps(plain(value), indent=1, default=str))
