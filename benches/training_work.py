"""What `training.py` times, of one library: prints a line of JSON for each case.

Usage: python benches/training_work.py threadwise|torch|sklearn. Needs the library, NumPy and, for
the digits, scikit-learn's data.
"""

import json
import sys
import time
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any

import numpy as np

NETWORKS = {
    "784-128-10, 64 rows": (64, [784, 128, 10], 200),
    "784-512-256-10, 256 rows": (256, [784, 512, 256, 10], 20),
    "1024-2048-2048-1000, 512 rows": (512, [1024, 2048, 2048, 1000], 2),
}
"""Rows of a batch, sizes of layers, and how many steps are timed together."""

SHARDS, NUMBERS = 8, 10_000_000
DIGITS: dict[str, Any] = {"random_state": 0, "batch_size": 64}


def tell(case: str, work: Callable[[], object], calls: int = 1, times: int = 5) -> None:
    """Print the seconds of a call, several times."""
    work()
    seconds = []
    for _ in range(times):
        since = time.perf_counter()
        for _ in range(calls):
            work()
        seconds.append((time.perf_counter() - since) / calls)
    print(json.dumps({"case": case, "seconds": seconds}), flush=True)


def batch(rows: int, sizes: list[int]) -> tuple[Any, Any]:
    """Return inputs and labels."""
    rng = np.random.default_rng(0)
    return rng.standard_normal((rows, sizes[0]), np.float32), rng.integers(0, sizes[-1], rows)


def shards() -> list[Any]:
    """Return the gradients of some shards."""
    rng = np.random.default_rng(1)
    return [rng.standard_normal(NUMBERS, np.float32) for _ in range(SHARDS)]


def floor(arrays: list[Any]) -> Callable[[], object]:
    """Return what reads and writes as many bytes on two threads, and computes next to nothing."""
    half, out = NUMBERS // 2, np.zeros(NUMBERS, np.float32)

    def some(first: int) -> None:
        for array in arrays:
            # The largest of whole words is found as fast as memory brings them.
            array[first : first + half].view(np.uint64).max()
        out[first : first + half] = 1.0

    pool = ThreadPoolExecutor(2)
    return lambda: list(pool.map(some, (0, half)))


def threadwise() -> None:
    """Time threadwise."""
    from sklearn.datasets import load_digits  # noqa: PLC0415

    import threadwise as tw  # noqa: PLC0415
    from threadwise.sklearn import MLPClassifier  # noqa: PLC0415

    for name, (rows, sizes, calls) in NETWORKS.items():
        x, y = batch(rows, sizes)
        for optimizer in (tw.train.SGD(0.01), tw.train.AdamW(1e-3)):
            model = tw.train.MLP(sizes)
            kind = type(optimizer).__name__
            tell(f"step of {kind}, {name}", lambda: model.train_step(x, y, optimizer), calls)  # noqa: B023
    arrays, out = shards(), np.empty(NUMBERS, np.float32)
    tell("mean of 8 gradients", lambda: tw.train.aggregate_gradients(arrays, out=out), 3)
    tell("reading and writing as much", floor(arrays), 3)
    x, y = load_digits(return_X_y=True)
    x = (x / 16).astype(np.float32)

    def fit() -> MLPClassifier:
        return MLPClassifier((128, 64), max_iter=50, n_iter_no_change=50, **DIGITS).fit(
            x[:1400], y[:1400]
        )

    tell("digits, 50 epochs", fit, times=3)
    print(json.dumps({"case": "accuracy of digits", "value": fit().score(x[1400:], y[1400:])}))
    network = MLPClassifier((128, 64), max_iter=20, n_iter_no_change=20, **DIGITS)
    for threads in (1, 2):

        def folds() -> object:
            return tw.workflows.cross_validate(network, x, y, cv=5, threads=threads)  # noqa: B023

        tell(f"5 folds, workers: {threads}", folds, times=3)
    numbers = list(range(1000))
    tell("map of 1000 squares", lambda: tw.parallel.map(lambda n: n**2, numbers), 20)

    def nothing() -> None:
        pass

    with tw.parallel.ThreadExecutor(2) as executor:

        def tasks() -> None:
            for future in [executor.submit(nothing) for _ in range(1000)]:
                future.result()

        tell("1000 empty tasks", tasks, 5)
    rows, sizes, _ = NETWORKS["784-512-256-10, 256 rows"]
    model = tw.train.MLP(sizes, dropout=[0.0, 0.5])
    x, _ = batch(rows, sizes)
    whole = [model.sample(x, i, seed=3) for i in range(3)]
    samples = model.monte_carlo(x, 1000, seed=3)
    if any((samples[i] != whole[i]).any() for i in range(3)):
        raise SystemExit("WRONG RESULT: samples are not whole passes")
    tell("1000 samples", lambda: model.monte_carlo(x, 1000, seed=3), times=3)
    tell("1000 whole passes", lambda: [model.sample(x, i, seed=3) for i in range(1000)], times=3)


def torch() -> None:
    """Time PyTorch."""
    import torch  # noqa: PLC0415

    nn = torch.nn
    for name, (rows, sizes, calls) in NETWORKS.items():
        x, y = (torch.from_numpy(array) for array in batch(rows, sizes))
        for kind, settings in (("SGD", {"lr": 0.01}), ("AdamW", {"lr": 1e-3})):
            layers: list[Any] = []
            for pair in pairwise(sizes):
                layers += [nn.Linear(*pair), nn.ReLU()]
            model = nn.Sequential(*layers[:-1])
            optimizer = getattr(torch.optim, kind)(model.parameters(), **settings)

            def step() -> None:
                optimizer.zero_grad()  # noqa: B023
                nn.functional.cross_entropy(model(x), y).backward()  # noqa: B023
                optimizer.step()  # noqa: B023

            tell(f"step of {kind}, {name}", step, calls)
    arrays = [torch.from_numpy(array) for array in shards()]
    tell("mean of 8 gradients", lambda: torch.stack(arrays).mean(0), 2)


def sklearn() -> None:
    """Time scikit-learn."""
    from sklearn.datasets import load_digits  # noqa: PLC0415
    from sklearn.model_selection import cross_val_score  # noqa: PLC0415
    from sklearn.neural_network import MLPClassifier  # noqa: PLC0415

    x, y = load_digits(return_X_y=True)
    x = (x / 16).astype(np.float32)

    def fit() -> MLPClassifier:
        return MLPClassifier((128, 64), max_iter=50, n_iter_no_change=50, **DIGITS).fit(
            x[:1400], y[:1400]
        )

    tell("digits, 50 epochs", fit, times=1)
    print(json.dumps({"case": "accuracy of digits", "value": fit().score(x[1400:], y[1400:])}))
    network = MLPClassifier((128, 64), max_iter=20, n_iter_no_change=20, **DIGITS)
    for jobs in (1, 2):

        def folds() -> object:
            return cross_val_score(network, x, y, cv=5, n_jobs=jobs)  # noqa: B023

        tell(f"5 folds, workers: {jobs}", folds, times=1)


if __name__ == "__main__":
    warnings.filterwarnings("ignore")  # epochs are as many as was said, not as many as it takes
    {"threadwise": threadwise, "torch": torch, "sklearn": sklearn}[sys.argv[1]]()
