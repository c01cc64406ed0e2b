"""Ctrl-C ends what is under way, and what was found is not lost."""

import json
import os
from pathlib import Path

import pytest

from interpreters import run

pytestmark = pytest.mark.skipif(os.name != "posix", reason="needs signals to a process")

DELAY = """
import os, signal, threading, time
import numpy as np
import threadwise as tw

sent = 0.0
def send():
    global sent
    time.sleep(0.3)
    sent = time.monotonic()
    os.kill(os.getpid(), signal.SIGINT)

def slow(*_, **__):
    time.sleep(0.05)
    return 1.0

threading.Thread(target=send).start()
try:
    {work}
except KeyboardInterrupt:
    print(time.monotonic() - sent)
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
    delays = [float(run(DELAY.format(work=WORK[name]), cwd=tmp_path))]
    if delays[0] > 0.2:  # on a busy machine
        delays.append(float(run(DELAY.format(work=WORK[name]), cwd=tmp_path)))
    assert min(delays) < 0.2
    if name == "points":
        lines = (tmp_path / "journal").read_text().splitlines()
        assert 2 < len([json.loads(line) for line in lines]) < 100
