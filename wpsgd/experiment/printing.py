"""How results reach stdout: as wide as a terminal is, and wide enough where there is none."""

from __future__ import annotations

import sys
from collections.abc import Mapping

from rich.console import Console

PIPED = 160  # columns of a table in a file or a pipe, where folded cells only hinder


def wide_console() -> Console:
    """A console on stdout."""
    return Console(width=None if sys.stdout.isatty() else PIPED, highlight=False)


def print_line(console: Console, line: str) -> None:
    """A line as it is: neither coloured nor folded."""
    console.print(line, highlight=False, markup=False, soft_wrap=True)


def note(line: str) -> None:
    """A line that the user must see, on stderr."""
    print(f"note: {line}", file=sys.stderr)


def print_facts(facts: Mapping[str, object]) -> None:
    """A fact a line, names and values in two columns."""
    width = max(len(name) for name in facts) + 2
    for name, value in facts.items():
        print(f"{name:{width}}{value:,}" if isinstance(value, int) else f"{name:{width}}{value}")
