"""Data for training and inference: batches that are ready when they are wanted.

`DataLoader` makes batches of a data set in threads, ahead of the loop that uses them, in order;
`Subset` is some of its rows, without a copy.
"""

from threadwise.data.loader import Cursor, DataLoader
from threadwise.data.sources import Subset

__all__ = ["Cursor", "DataLoader", "Subset"]
