"""Runs the command line on ranks of which the second raises, and notes that it did."""

from __future__ import annotations

import os
from pathlib import Path

from wpsgd.experiment.__main__ import main
from wpsgd.launcher import launched_rank
from wpsgd.learners.sgd import SGDLearner

advance = SGDLearner.advance


def advance_or_fail(learner: SGDLearner, rows: int) -> None:
    advance(learner, rows)
    if launched_rank() == 1 and learner.steps > 50:
        Path(os.environ["FAILED"]).touch()
        raise RuntimeError("the second rank has had enough")


if __name__ == "__main__":
    SGDLearner.advance = advance_or_fail  # type: ignore[method-assign]
    main()
