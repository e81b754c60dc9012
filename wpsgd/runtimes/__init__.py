"""Runtimes: where a strategy runs, and whose clock it is. None of them knows a strategy's name."""
