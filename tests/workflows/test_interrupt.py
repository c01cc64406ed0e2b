"""Ctrl-C ends what is under way, and what was found is not lost."""

import json
import os
from pathlib import Path

import pytest

from interpreters import delay

pytestmark = [
    pytest.mark.timing,
    pytest.mark.skipif(os.name != "posix", reason="needs signals to a process"),
]

SLOW = """
def slow(*_, **__):
    time.sleep(0.05)
    return 1.0
"""

WORK = {
    "folds": "tw.workflows.cross_validate(slow, np.zeros(1000), cv=500, threads=2)",
    "points": "tw.workflows.grid_search(slow, {'a': range(500)}, threads=2, journal='journal')",
    "models": "tw.workflows.ensemble_predict([slow] * 500, 0, threads=2)",
    "items": "tw.workflows.preprocess(slow, range(500), threads=2)",
    "batches": "tw.inference.predict_batches(slow, range(500), threads=2)",
    "loader": "list(tw.data.DataLoader(range(500), 2, transform=slow, workers=2))",
}


@pytest.mark.parametrize("name", WORK)
def test_ctrl_c_ends_it_soon(name: str, tmp_path: Path) -> None:
    assert delay(WORK[name], before=SLOW, cwd=tmp_path) < 0.2
    if name == "points":
        lines = (tmp_path / "journal").read_text().splitlines()
        assert 2 < len([json.loads(line) for line in lines]) < 100
