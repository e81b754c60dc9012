"""Asks to leave, by signal or by the clock, are granted at the next boundary between two rounds."""

from __future__ import annotations

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import inf
from types import FrameType

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)
ECHO = 0.5  # seconds: a launcher may pass on the Ctrl-C that its ranks have had from the terminal


class Stop:
    """Says when a run should end. The first Ctrl-C, SIGTERM or SIGUSR1 asks; a second Ctrl-C ends at once.

    max_seconds: of wall clock from now on
    training: whether there are boundaries to wait for; before that, any signal ends at once
    told: called with a line for the reader when a signal has come
    """

    def __init__(self, max_seconds: float | None = None) -> None:
        self.max_seconds = max_seconds
        self.signalled: str | None = None
        self.training = False
        self.told: Callable[[str], None] = lambda line: None
        self._ends = inf if max_seconds is None else time.monotonic() + max_seconds
        self._interrupted_at = inf

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Handles the signals meanwhile; to be used in the main thread."""
        before = {number: signal.signal(number, self._note) for number in SIGNALS}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        now = time.monotonic()
        if not self.training or (number == signal.SIGINT and now - self._interrupted_at > ECHO):
            raise KeyboardInterrupt
        if number == signal.SIGINT:
            self._interrupted_at = min(now, self._interrupted_at)
        if self.signalled is None:
            self.signalled = signal.Signals(number).name
            self.told(f"{self.signalled}: leaving after this round; Ctrl-C ends at once")

    def __call__(self) -> bool:
        """Whether it is time to leave."""
        return self.signalled is not None or self.out_of_time

    @property
    def out_of_time(self) -> bool:
        return time.monotonic() >= self._ends
