"""What holds for every test: how hypothesis searches, and that settings do not leak."""

import os
from collections.abc import Iterator
from datetime import timedelta

import pytest
from hypothesis import settings

import threadwise as tw

# Plans must not depend on what somebody measured here. Tests of measuring have their own processes.
os.environ["THREADWISE_CALIBRATION"] = "off"

settings.register_profile("dev", max_examples=150, deadline=timedelta(seconds=2))
settings.register_profile(
    "ci", max_examples=300, deadline=None, derandomize=True, print_blob=True, database=None
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci" if os.environ.get("CI") else "dev"))


@pytest.fixture(autouse=True)
def _default_number_of_threads() -> Iterator[None]:
    yield
    tw.set_num_threads(None)
