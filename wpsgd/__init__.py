"""Linear SVMs on unequal machines: WP-SGD and its relatives, with honest wall clocks.

Importing this package imports neither MPI nor matplotlib.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from wpsgd.estimator import WPSGDClassifier

__version__ = "0.1.0"
__all__ = ["WPSGDClassifier", "__version__"]


def __getattr__(name: str) -> Any:
    """The estimator, imported once somebody asks for it: scikit-learn and Numba take seconds."""
    if name == "WPSGDClassifier":
        from wpsgd.estimator import WPSGDClassifier

        return WPSGDClassifier
    raise AttributeError(f"module 'wpsgd' has no attribute {name!r}")
