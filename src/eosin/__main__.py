"""Entry point of the command: one line of cause and hint per error, and the exit statuses."""

from __future__ import annotations

import gc
import io
import json
import logging
import os
import sys
import traceback
from contextlib import suppress
from typing import Any

import typer

from eosin.cli.messages import messages_on_stderr, record_failure
from eosin.core.errors import INTERRUPTED, EosinError, is_lack_of_memory
from eosin.core.files import hint_of
from eosin.core.hints import typed_hints, typed_value
from eosin.core.places import cache_folder
from eosin.core.text import listing, one_line, shorten

# Newer versions of Typer carry a copy of click, older ones import it: the base class of both
# copies' errors.
_CommandLineError: type[Exception] = next(
    kind for kind in typer.BadParameter.__mro__ if kind.__name__ == "ClickException"
)
_NO_MEMORY = (
    "memory ran out. Use fewer or smaller images, a smaller train.batch_size, or a machine with "
    "more memory"
)
#: Commands that others have, and what does it here.
_ELSEWHERE = {
    "split": "eosin train draws the split, as data.split of the recipe says. To see it without "
    "training: eosin train SOURCE --plan",
}
_STOPPED = "interrupted; no partial files were left"
#: Most characters of a line on stderr, whatever a file's name or content adds.
_LONGEST_LINE = 2000
_TRAIN_EXTRA = frozenset({"torch", "torchvision", "timm", "onnx"})

# GNU OpenMP's threads spin while they wait for each other, by default for milliseconds. With other
# work on the same cores that starves the very thread they wait for: on two cores with three busy
# neighbours a training step of the light CNN took 230 ms, and 5.7 ms with this limit (4.4 ms on an
# idle machine either way). It must be set before torch is imported; a user's own value stays.
os.environ.setdefault("GOMP_SPINCOUNT", "3000")
# The font list of matplotlib goes to the cache: $EOSIN_CACHE moves it, and the user's home stays
# clean. Only for the command: in a Python program the choice is the user's.
os.environ.setdefault("MPLCONFIGDIR", str(cache_folder() / "matplotlib"))
# If the cache is not writable, matplotlib warns and takes a temporary folder: no news for the user.
logging.getLogger("matplotlib").setLevel(logging.ERROR)


def run(arguments: list[str] | None = None) -> None:
    """Run the command and exit with its status; ``arguments`` come without the program's name."""
    # Imports make many objects and no garbage: fewer collections save a tenth of a second.
    gc.set_threshold(50_000, 20, 20)
    given = list(sys.argv[1:] if arguments is None else arguments)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # A terminal without "–", or a file name with invalid bytes, must not end the work.
            stream.reconfigure(errors="backslashreplace")
    sys.exit(call(given, debug="--debug" in given))


def call(arguments: list[str], *, debug: bool = False) -> int:
    """Run the command and return its exit status; arguments as for :func:`run`."""
    with messages_on_stderr(), typed_hints(arguments):
        failure, status, error = _call(arguments, debug=debug)
        if failure is None:
            return status
        if "--json" in arguments:
            _print_failure(failure, status)
        return _fail(failure, status, error)


def _call(arguments: list[str], *, debug: bool) -> tuple[str | None, int, BaseException | None]:
    """Return what failed, None if nothing; the exit status; the error."""
    nul = next((argument for argument in arguments if "\0" in argument), None)
    if nul is not None:
        text = f"an argument contains the character NUL, which no name can contain: {nul}"
        return text, 2, None
    if "" in arguments:
        # A path without characters is the working folder, which nobody named.
        before = arguments[arguments.index("") - 1]
        what = f"the value of {before}" if before.startswith("-") else "an argument"
        return f"{what} is empty: is it a variable that is not set?", 2, None
    try:
        from eosin.cli.app import app

        status = app(arguments, prog_name="eosin", standalone_mode=False)
    except BrokenPipeError:
        # The reader of the output closed the pipe (`eosin … | head`): there is nobody to print to.
        for stream in (sys.stdout, sys.stderr):
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
        return None, 1, None
    except (KeyboardInterrupt, Exception) as error:  # noqa: BLE001 -- the last resort of a command
        if debug:
            traceback.print_exc()
        return *_diagnose(error), error
    if status == INTERRUPTED:  # Typer's, after Ctrl-C
        return _STOPPED, INTERRUPTED, None
    return None, status if isinstance(status, int) else 0, None


def _diagnose(error: BaseException) -> tuple[str, int]:
    """Return the message of an error, and the exit status."""
    match error:
        case EosinError():
            return _joined(str(error)), error.exit_status
        case _CommandLineError():
            return _correct(error), getattr(error, "exit_code", 2)
        case _ if is_lack_of_memory(error):
            return _NO_MEMORY, 1
        case KeyboardInterrupt() | typer.Abort():
            return _STOPPED, INTERRUPTED
        case ImportError() if str(error.name).partition(".")[0] in _TRAIN_EXTRA:
            from eosin.runtime.door import missing_train_extra

            return str(missing_train_extra()), 1
        case OSError():
            where = f" ({error.filename})" if error.filename else ""
            hint = hint_of(error)
            return f"{error.strerror or error}{where}{f'. {hint}' if hint else ''}", 1
        case RuntimeError() if "ymlink loop" in str(error):  # of Path.resolve, before Python 3.13
            return f"{_joined(str(error))}. Remove the link: it leads back to itself", 1
        case RuntimeError() if "can't start new thread" in str(error):
            return "no more threads can be started: raise the limit (ulimit -u)", 1
    cause = _joined(str(error)) or "no message"
    return f"internal error: {type(error).__name__}: {cause}. --debug shows where", 1


def _correct(error: Any) -> str:
    """Format a usage error with the command that shows the options."""
    if type(error).__name__ == "NoArgsIsHelpError":
        return f"missing command\n{error.format_message()}"
    for name, where in _ELSEWHERE.items():
        if f"No such command '{name}'" in str(error):
            return f"No such command '{name}'. {where}"
    near = [f"'{name}'" for name in getattr(error, "possibilities", None) or ()]
    # Of a wrong value the formatted message names the option, whose own message does not.
    is_value = isinstance(error, typer.BadParameter)
    text = str(error.format_message() if is_value else error.message or error.format_message())
    text = text.rstrip(".")
    if setting := _find_setting(error):
        text += f". Did you mean '--set {setting}'?"
    elif near:
        text += f". Did you mean {listing(near, 'or')}?"
    path = error.ctx.command_path if getattr(error, "ctx", None) is not None else "eosin"
    return f"{text}{'' if text.endswith('?') else '.'} See `{path} --help`"


def _find_setting(error: Any) -> str:
    """Return the setting of the recipe that was typed as an option, ``seed=1``; empty if none."""
    option = str(getattr(error, "option_name", None) or "")
    command = getattr(getattr(error, "ctx", None), "command", None)
    if not any("--set" in one.opts for one in getattr(command, "params", ())):
        return ""
    from eosin.recipe.reading import find_key

    key = find_key(option.lstrip("-").replace("-", "_"))
    return f"{key}={typed_value(option) or 'VALUE'}" if key else ""


def _joined(text: str) -> str:
    """Join the lines of a text; libraries break theirs over several."""
    return " ".join(text.splitlines())


def _print_failure(text: str, status: int) -> None:
    """Print a failure where a program expects the JSON document of the result."""
    with suppress(OSError, ValueError):  # stdout may be closed, or its disk full
        typer.echo(json.dumps({"error": text, "exit_status": status}, indent=2))


def _fail(text: str, status: int, error: BaseException | None = None) -> int:
    record_failure(text, error)
    lines = "\n".join(one_line(shorten(line, _LONGEST_LINE)) for line in text.split("\n"))
    sys.stderr.write(f"eosin: {lines}\n")
    return status


if __name__ == "__main__":
    run()
