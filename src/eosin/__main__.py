"""Entry point: one line of cause and mend instead of a traceback, and the contract's statuses."""

from __future__ import annotations

import os
import sys
import traceback

import click

from eosin.core.errors import EosinError

_GLOBAL_FLAGS = ("--debug", "--offline")

# GNU OpenMP's threads spin while they wait for each other, by default for milliseconds. Where other
# work wants the same cores that starves the very thread they wait for: on two cores with three busy
# neighbours a training step of the light CNN took 230 ms, and 5.7 ms with this limit (4.4 ms on an
# idle machine either way). It must be set before torch is imported; a user's own value stands.
os.environ.setdefault("GOMP_SPINCOUNT", "3000")


def run(arguments: list[str] | None = None) -> None:
    """Run the command and leave with its exit status.

    Args:
        arguments: Without the program's name; the process's own by default.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    # Both may stand anywhere in the line.
    debug = "--debug" in given
    if "--offline" in given:
        os.environ["EOSIN_OFFLINE"] = "1"
    rest = [argument for argument in given if argument not in _GLOBAL_FLAGS]
    sys.exit(_call(rest, debug=debug))


def _call(arguments: list[str], *, debug: bool) -> int:
    from eosin.cli import app

    try:
        status = app(arguments, prog_name="eosin", standalone_mode=False)
    except EosinError as error:
        return _fail(str(error), error.exit_status, debug=debug)
    except (click.Abort, KeyboardInterrupt):
        return _fail("interrupted", 1, debug=debug)
    except click.ClickException as error:
        return _fail(f"{error.format_message()} See `eosin --help`", error.exit_code, debug=debug)
    except BrokenPipeError:
        # The reader of our output left (`eosin … | head`): nothing to say, nobody to tell.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except MemoryError:
        return _fail("memory ran out", 1, debug=debug)
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        return _fail(f"{error.strerror or error}{where}", 1, debug=debug)
    except Exception as error:  # noqa: BLE001 -- the last resort of a command
        cause = " ".join(str(error).split()) or "no message"
        text = f"internal error: {type(error).__name__}: {cause}. --debug shows where"
        return _fail(text, 1, debug=debug)
    return status if isinstance(status, int) else 0


def _fail(text: str, status: int, *, debug: bool) -> int:
    if debug:
        traceback.print_exc()
    sys.stderr.write(f"eosin: {text}\n")
    return status


if __name__ == "__main__":
    run()
