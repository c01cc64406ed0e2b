"""What comes of training, epoch by epoch, and when it stops."""

from dataclasses import dataclass, field

from threadwise.errors import DomainError

__all__ = ["EarlyStopping", "EpochReport", "History"]


@dataclass(frozen=True)
class EpochReport:
    """What came of an epoch."""

    epoch: int
    """Its number, from 0."""
    steps: int
    """Steps since the beginning of training."""
    loss: float
    """The mean of the losses of its batches, each before its step, weighted by their rows."""
    validation_loss: float | None
    """The mean loss of the validation rows after it; None without any."""
    validation_accuracy: float | None
    """The share of validation rows whose label is the largest output; None without labels."""
    lr: float
    """The learning rate of its last step."""
    seconds: float
    """How long it took."""


@dataclass(frozen=True)
class EarlyStopping:
    """Stop when the loss has not become smaller for a while.

    The loss is that of the validation rows, or without any that of the training rows.
    """

    patience: int = 5
    """Epochs without a smaller loss after which training stops."""
    min_delta: float = 0.0
    """By how much a loss must be smaller to count."""
    restore_best: bool = True
    """Whether the model ends with the parameters of its best epoch."""

    def __post_init__(self) -> None:
        if self.patience < 1 or not self.min_delta >= 0:
            raise DomainError(
                f"patience is {self.patience} and min_delta {self.min_delta}, expected 1 or more, "
                "and 0 or more"
            )


@dataclass
class History:
    """What came of a training."""

    epochs: list[EpochReport] = field(default_factory=list)
    """A report for each epoch, those before a resumption too."""
    best_epoch: int | None = None
    """The epoch with the smallest loss, if early stopping looked for it."""
    stopped_early: bool = False
    """Whether early stopping, or a callback, ended it before its last epoch."""

    @property
    def losses(self) -> list[float]:
        """The training loss of each epoch."""
        return [report.loss for report in self.epochs]
