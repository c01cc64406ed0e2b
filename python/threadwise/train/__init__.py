"""Training on the CPU: networks, optimizers, gradients of shards, bits that threads do not change.

`MLP` is a network with exact gradients, `fit` trains it, with checkpoints from which training goes
on bit for bit. `SGD`, `Adam` and `AdamW` also step parameters of other programs, and
`aggregate_gradients`, `GradientAccumulator`, `clip_by_global_norm` and `parallel_gradients` serve
data-parallel training of whatever makes gradients.

Sums over a batch and over shards are made in their order, whoever computes them: 1, 2 and 4
threads train the same weights, bit for bit.
"""

from threadwise.train.checkpoint import load_checkpoint, save_checkpoint
from threadwise.train.fit import fit
from threadwise.train.gradients import (
    GradientAccumulator,
    aggregate_gradients,
    clip_by_global_norm,
    parallel_gradients,
)
from threadwise.train.history import EarlyStopping, EpochReport, History
from threadwise.train.losses import Huber
from threadwise.train.mlp import MLP, Gradients
from threadwise.train.optimizers import SGD, Adam, AdamW, Optimizer
from threadwise.train.schedules import (
    ConstantRate,
    CosineRate,
    OneCycleRate,
    Schedule,
    StepRate,
    WarmupRate,
)

__all__ = [
    "MLP",
    "SGD",
    "Adam",
    "AdamW",
    "ConstantRate",
    "CosineRate",
    "EarlyStopping",
    "EpochReport",
    "GradientAccumulator",
    "Gradients",
    "History",
    "Huber",
    "OneCycleRate",
    "Optimizer",
    "Schedule",
    "StepRate",
    "WarmupRate",
    "aggregate_gradients",
    "clip_by_global_norm",
    "fit",
    "load_checkpoint",
    "parallel_gradients",
    "save_checkpoint",
]
