"""What holds for every test: how hypothesis searches, tests of time, no settings that leak."""

import os
from collections.abc import Iterator

import pytest
from hypothesis import settings

import threadwise as tw

# Plans must not depend on what somebody measured here. Tests of measuring have their own processes.
os.environ["THREADWISE_CALIBRATION"] = "off"

# No deadline for an example: machines are shared, and pytest has one for the test.
settings.register_profile("dev", max_examples=150, deadline=None)
settings.register_profile(
    "ci", max_examples=300, deadline=None, derandomize=True, print_blob=True, database=None
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci" if os.environ.get("CI") else "dev"))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Try tests of time up to five times.

    A promise such as "Ctrl-C ends it within 0.2 s" is broken if it never holds; once, on a machine
    whose processors others use as well, it tells nothing. Lessons measure their reader's machine.
    """
    for item in items:
        if item.get_closest_marker("timing") or item.path.suffix == ".ipynb":
            item.add_marker(pytest.mark.flaky(reruns=4, reruns_delay=1))


@pytest.fixture(autouse=True)
def _default_number_of_threads() -> Iterator[None]:
    yield
    tw.set_num_threads(None)
