"""Options that every command takes, before or after its name; each acts as soon as it is read."""

from __future__ import annotations

import os
import shlex
import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from eosin.cli import messages
from eosin.core.errors import EosinError, InterruptedRunError, UsageError
from eosin.core.plugins import load_plugin
from eosin.core.threads import limit_threads

#: `-h` beside `--help`, everywhere.
CONTEXT = {"help_option_names": ["-h", "--help"]}


def _verbose(context: typer.Context, is_given: bool) -> None:
    if is_given and not context.resilient_parsing:
        for handler in messages.terminal_messages():
            handler.make_verbose()


def _quiet(context: typer.Context, is_given: bool) -> None:
    if is_given and not context.resilient_parsing:
        for handler in messages.terminal_messages():
            handler.make_quiet()


def _keep(context: typer.Context, path: Path | None) -> None:
    if path is not None and not context.resilient_parsing:
        messages.keep_messages(path, shlex.join(["eosin", *sys.argv[1:]]))


def _limit(context: typer.Context, threads: int | None) -> None:
    if threads is not None and not context.resilient_parsing:
        limit_threads(threads)


def _load(context: typer.Context, names: list[str] | None) -> None:
    if not context.resilient_parsing:
        for name in names or ():
            with redirect_stdout(sys.stderr):  # stdout is for the command's result
                _load_one(name)


def _load_one(name: str) -> None:
    try:
        load_plugin(name)
    except UsageError as error:
        if "torchvision::" not in error.message:
            raise
        _prepare_torchvision()
        load_plugin(name)


def _prepare_torchvision() -> None:
    """Make torchvision importable for a plugin beside a PyTorch without CUDA."""
    from eosin.runtime.door import import_companion

    import_companion("torchvision")


def _go_offline(context: typer.Context, is_given: bool) -> None:
    if is_given and not context.resilient_parsing:
        os.environ["EOSIN_OFFLINE"] = "1"


def _options(
    verbose: Annotated[
        bool,
        typer.Option(
            "-v", "--verbose", callback=_verbose, expose_value=False, help="Print details."
        ),
    ] = False,
    quiet: Annotated[
        bool,
        typer.Option(
            "-q", "--quiet", callback=_quiet, expose_value=False, help="No progress messages."
        ),
    ] = False,
    log_file: Annotated[
        Path | None,
        typer.Option(
            "--log-file",
            metavar="FILE",
            callback=_keep,
            expose_value=False,
            help="Append all messages to a file.",
        ),
    ] = None,
    threads: Annotated[
        int | None,
        typer.Option(
            "--threads",
            metavar="N",
            min=1,
            callback=_limit,
            expose_value=False,
            help="Use at most N CPU threads.",
        ),
    ] = None,
    offline: Annotated[
        bool,
        typer.Option(
            "--offline", callback=_go_offline, expose_value=False, help="Never access the network."
        ),
    ] = False,
    plugins: Annotated[
        list[str] | None,
        typer.Option(
            "--plugin",
            metavar="MODULE",
            callback=_load,
            expose_value=False,
            help="Import a module that registers your own parts (repeatable).",
        ),
    ] = None,
    debug: Annotated[
        bool,
        # Acted upon by the entry point, which also prints errors of the command line itself.
        typer.Option("--debug", expose_value=False, help="Show the traceback of an error."),
    ] = False,
) -> None:
    """Declare the options; Typer makes them from this signature."""


def _make_options() -> list[Any]:
    declared = typer.Typer(add_completion=False, rich_markup_mode=None)
    declared.command()(_options)
    return list(typer.main.get_command(declared).params)


class Group(TyperGroup):
    """Group of commands that all take the shared options, as the group does itself."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        for command in (self, *self.commands.values()):
            if command is self or not isinstance(command, Group):
                command.params.extend(_make_options())

    def invoke(self, ctx: Any) -> Any:
        """Run the command; Ctrl-C with a way to go on is an error like others, with one line."""
        try:
            return super().invoke(ctx)
        except InterruptedRunError as error:
            # Typer would drop the message of a KeyboardInterrupt.
            failure = EosinError(error.message, hint=error.hint)
            failure.exit_status = error.exit_status
            raise failure from error
