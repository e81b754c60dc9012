"""Whose fault an error is, and the exit code that says so.

Every message is one line: what was wrong, where, and what is allowed.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class WPSGDError(Exception):
    """Anything the project reports in one line rather than with a traceback; ends a command with code 1."""

    exit_code = 1
    agreed = False  # whether every rank of a run raises the same: then one of them reports it


class ConfigError(WPSGDError, ValueError):
    """A setting, an argument or a command line that cannot be meant; ends a command with code 2."""

    exit_code = 2


class LaunchError(ConfigError):
    """The ranks that were asked for are not the ranks that were started."""


class DataError(WPSGDError, ValueError):
    """Rows, labels or a file that cannot be trained on."""


class ProtocolError(WPSGDError, RuntimeError):
    """A strategy broke a rule of the requests: mismatched collectives, or mail that nobody received."""


class Deadlock(ProtocolError):
    """Nodes wait for one another and none can move; the message lists each node, its request and its line."""


class Diverged(WPSGDError, ArithmeticError):
    """Weights stopped being finite numbers; the message says at which step and what to lower."""


class CheckpointError(WPSGDError):
    """A checkpoint that cannot be written, or none that can be read."""


class RankLost(WPSGDError):
    """A rank is gone."""


class PeerFailed(RankLost):
    """Another rank's program raised; that rank reports why, this one only ends."""


def nearest(word: str, allowed: Iterable[str]) -> str:
    """`"; did you mean 'x'?"` where one of `allowed` is spelt like `word`, else an empty string."""
    close = difflib.get_close_matches(word, list(allowed), n=1)
    return f"; did you mean {close[0]!r}?" if close else ""
