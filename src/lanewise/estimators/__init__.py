"""The race behind scikit-learn's ``fit``, ``predict`` and ``predict_proba``."""

from lanewise.estimators.searching import LanewiseClassifier, LanewiseRegressor

__all__ = ["LanewiseClassifier", "LanewiseRegressor"]
