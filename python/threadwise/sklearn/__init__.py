"""Estimators of scikit-learn that train threadwise's networks; the extra ``sklearn``.

`MLPClassifier` and `MLPRegressor` go where scikit-learn's own estimators go: into pipelines,
searches, cross-validations, ensembles. They train the same weights, bit for bit, for any number of
threads.
"""

from threadwise.sklearn.classifier import MLPClassifier
from threadwise.sklearn.regressor import MLPRegressor

__all__ = ["MLPClassifier", "MLPRegressor"]
