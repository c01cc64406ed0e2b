"""Ctrl-C ends reading and writing within 0.2 s."""

import os

import pytest

from interpreters import run

pytestmark = pytest.mark.skipif(os.name != "posix", reason="needs signals to a process")

WORK = {
    "reading": "model.perplexity(ids, window=len(ids))",
    "writing": "model.generate([[1], [2]] * 4, max_new_tokens=len(ids), temperature=1.0)",
}

DELAY = """
import os, signal, sys, threading, time
import numpy as np
import threadwise as tw

ids = np.arange(100_000) % 1000
model = tw.models.load(tw.samples.path("stdlib-mistral-2.8m"), max_context=200_000{parts})
model.config.__dict__["eos_token_ids"] = ()
expected = model.generate(ids[:9], max_new_tokens=5).token_ids
sent = 0.0
def send():
    global sent
    time.sleep(0.4)
    sent = time.monotonic()
    os.kill(os.getpid(), signal.SIGINT)
delays = []
for attempt in range(3):
    sender = threading.Thread(target=send)
    sender.start()
    try:
        {work}
    except KeyboardInterrupt:
        delays.append(time.monotonic() - sent)
    else:
        sys.exit("it ended too soon")
    sender.join()
    if delays[-1] < 0.2:
        break
assert model.generate(ids[:9], max_new_tokens=5).token_ids == expected
print(min(delays))
"""


@pytest.mark.parametrize("parts", ["", "tensor_parallel=2", "pipeline_stages=2"])
@pytest.mark.parametrize("work", WORK)
def test_ctrl_c_ends_it_soon(work: str, parts: str) -> None:
    program = DELAY.format(work=WORK[work], parts=parts and f", {parts}")
    assert float(run(program, timeout=25)) < 0.2
