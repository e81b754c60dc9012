"""Entry point: turns errors into one line and an exit code, and never leaves a rank behind."""

from __future__ import annotations

import logging
import os
import sys
import time
import traceback
from typing import NoReturn

from wpsgd.errors import LaunchError, PeerFailed, WPSGDError
from wpsgd.launcher import launched, launched_rank

GRACE = 5.0  # seconds in which the rank that failed ends the others
HEAD_START = 0.25  # seconds that a failing rank waits for each rank before it to report first
READ = 0.2  # seconds for the launcher to read what was said: it may drop that where it ends all ranks
INTERRUPTED = 130  # what typer answers after a Ctrl-C


class _Notes(logging.Handler):
    """Shows what is said where nobody knows of commands and their progress."""

    def emit(self, record: logging.LogRecord) -> None:
        print(f"note: {record.getMessage()}", file=sys.stderr)


NOTES = _Notes(logging.WARNING)


def main() -> NoReturn:
    """Runs a command: exit code 0 when it did its work, 1 when it failed, 2 when it was used wrongly."""
    logging.getLogger("wpsgd").addHandler(logging.NullHandler())  # errors are printed here, and once
    logging.getLogger("wpsgd.kernels").addHandler(NOTES)
    try:
        code = _command()
        sys.stdout.flush()
    except PeerFailed:
        time.sleep(GRACE)  # the rank that failed reports and aborts meanwhile
        _leave(1, alone=True)
    except WPSGDError as error:
        _fail(error)
    except KeyboardInterrupt:
        _interrupted()
    except BrokenPipeError:
        _leave(1, alone=True)
    except OSError as error:
        _fail(WPSGDError(f"{error.filename or 'output'}: {error.strerror or error}"), error)
    except Exception:
        _first_come()
        traceback.print_exc()
        _leave(1, alone=True)
    sys.exit(code)


def _command() -> int:
    from wpsgd.experiment.cli import run_command  # within reach of the handlers of `main`

    code = run_command()
    if code == INTERRUPTED:
        raise KeyboardInterrupt
    return code


def _fail(error: WPSGDError, cause: OSError | None = None) -> NoReturn:
    # ranks that the launcher failed to bring together all see the same
    agreed = error.agreed or isinstance(error, LaunchError)
    if cause is not None:
        logging.getLogger("wpsgd").error("%s", error, exc_info=cause)
    if agreed and launched_rank() != 0:
        _leave(error.exit_code, alone=False)
    if not agreed:
        _first_come()
    for line in str(error).splitlines():
        print(f"error: {line}", file=sys.stderr)
    _leave(error.exit_code, alone=not agreed)


def _interrupted() -> NoReturn:
    if launched_rank() == 0:
        print("interrupted", file=sys.stderr)
    _leave(1, alone=True)


def _first_come() -> None:
    # ranks that fail together would all report: the lowest does, and ends the others
    time.sleep(min(HEAD_START * launched_rank(), 4 * HEAD_START))


def _leave(code: int, *, alone: bool) -> NoReturn:
    """Ends this process; `alone`: the other ranks are still at work, and are ended too."""
    try:
        sys.stdout.flush()
    except OSError:  # reported already; the interpreter would try again, and complain
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.stderr.flush()
    if alone and launched():
        from wpsgd.runtimes.mpi import abort

        time.sleep(READ)
        abort(code)
    sys.exit(code)


if __name__ == "__main__":
    main()
