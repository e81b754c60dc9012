"""The scikit-learn face."""

from wpsgd.estimator.classifier import WPSGDClassifier

__all__ = ["WPSGDClassifier"]
