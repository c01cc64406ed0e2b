"""What is done around a model: folds, searches, ensembles, features; in parallel, reproducibly.

Nothing here depends on the number of threads but the time that it takes. Every result says how many
threads made it, and how many could have: a cross-validation of five folds has no use for eight.
"""

from threadwise._mapped import Mapped
from threadwise.workflows.batched import elementwise, matvec_batch
from threadwise.workflows.crossvalidation import CrossValidation, Fold, cross_validate
from threadwise.workflows.ensemble import Ensemble, ensemble_predict
from threadwise.workflows.folds import GroupKFold, KFold, StratifiedKFold, TimeSeriesSplit
from threadwise.workflows.items import augment, extract_features, preprocess
from threadwise.workflows.rolling import rolling, windows
from threadwise.workflows.scaling import Scaling, min_max, standardize
from threadwise.workflows.search import GridSearch, Trial, grid_search

__all__ = [
    "CrossValidation",
    "Ensemble",
    "Fold",
    "GridSearch",
    "GroupKFold",
    "KFold",
    "Mapped",
    "Scaling",
    "StratifiedKFold",
    "TimeSeriesSplit",
    "Trial",
    "augment",
    "cross_validate",
    "elementwise",
    "ensemble_predict",
    "extract_features",
    "grid_search",
    "matvec_batch",
    "min_max",
    "preprocess",
    "rolling",
    "standardize",
    "windows",
]
