"""Predictions for many batches, and how sure a model is of them."""

from threadwise.inference.batches import Predictions, predict_batches
from threadwise.inference.uncertainty import Uncertainty, predict_with_uncertainty

__all__ = ["Predictions", "Uncertainty", "predict_batches", "predict_with_uncertainty"]
