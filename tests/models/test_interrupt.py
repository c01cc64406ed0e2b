"""Ctrl-C ends reading and writing within 0.2 s."""

import os

import pytest

from interpreters import delay

pytestmark = [
    pytest.mark.timing,
    pytest.mark.skipif(os.name != "posix", reason="needs signals to a process"),
]

WORK = {
    "reading": "model.perplexity(ids, window=len(ids))",
    "writing": "model.generate([[1], [2]] * 4, max_new_tokens=len(ids), temperature=1.0)",
}

BEFORE = """
ids = np.arange(100_000) % 1000
model = tw.models.load(tw.samples.path("stdlib-mistral-2.8m"), max_context=200_000{parts})
model.config.__dict__["eos_token_ids"] = ()
expected = model.generate(ids[:9], max_new_tokens=5).token_ids
"""

AFTER = "assert model.generate(ids[:9], max_new_tokens=5).token_ids == expected"


@pytest.mark.parametrize("parts", ["", "tensor_parallel=2", "pipeline_stages=2"])
@pytest.mark.parametrize("work", WORK)
def test_ctrl_c_ends_it_soon(work: str, parts: str) -> None:
    before = BEFORE.format(parts=parts and f", {parts}")
    assert delay(WORK[work], before=before, after=AFTER) < 0.2
