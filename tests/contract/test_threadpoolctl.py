"""threadpoolctl sees our threads and limits them."""

import threading

import numpy as np
import threadpoolctl

import threadwise as tw


def _ours() -> dict[str, object]:
    [entry] = [e for e in threadpoolctl.threadpool_info() if e["user_api"] == "threadwise"]
    return dict(entry)


def test_it_lists_us() -> None:
    entry = _ours()
    assert entry["internal_api"] == "threadwise"
    assert entry["num_threads"] == tw.get_num_threads()
    assert entry["threading_layer"] == "threadwise"
    assert str(entry["version"]).replace("-", ".") == tw.__version__
    assert "_threadwise" in str(entry["filepath"])


def test_it_limits_us_and_restores() -> None:
    tw.set_num_threads(4)
    with threadpoolctl.threadpool_limits(1):
        assert tw.get_num_threads() == 1
        assert _ours()["num_threads"] == 1
    assert tw.get_num_threads() == 4


def test_it_limits_us_by_name() -> None:
    tw.set_num_threads(4)
    with threadpoolctl.threadpool_limits({"threadwise": 2}):
        assert tw.get_num_threads() == 2
    with threadpoolctl.threadpool_limits({"openblas": 1}):
        assert tw.get_num_threads() == 4


def test_its_limit_holds_in_every_thread() -> None:
    tw.set_num_threads(4)
    seen: list[int] = []
    with threadpoolctl.threadpool_limits(2, user_api="threadwise"):
        thread = threading.Thread(target=lambda: seen.append(tw.get_num_threads()))
        thread.start()
        thread.join()
    assert seen == [2]


def test_what_it_restores_is_the_processs_setting_and_not_a_blocks() -> None:
    tw.set_num_threads(4)
    with tw.threads(7), threadpoolctl.threadpool_limits(1, user_api="threadwise"):
        pass
    assert tw.get_num_threads() == 4


def test_results_do_not_depend_on_its_limit() -> None:
    a = np.random.default_rng(0).standard_normal((300, 300))
    with threadpoolctl.threadpool_limits(1):
        one = tw.matmul(a, a)
    assert one.tobytes() == tw.matmul(a, a, threads=3).tobytes()
