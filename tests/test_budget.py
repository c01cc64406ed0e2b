"""How many threads: for a call, a block, the process."""

import threading

import pytest

import threadwise as tw
from interpreters import fails, run
from threadwise.errors import DomainError, DTypeError

ASK = "import threadwise as tw; print(tw.get_num_threads())"


def test_the_innermost_block_counts() -> None:
    outside = tw.get_num_threads()
    with tw.threads(5):
        with tw.threads(3):
            assert tw.get_num_threads() == 3
        assert tw.get_num_threads() == 5
    assert tw.get_num_threads() == outside


def test_a_block_ends_with_an_exception_too() -> None:
    outside = tw.get_num_threads()
    with pytest.raises(KeyError), tw.threads(outside + 1):
        raise KeyError
    assert tw.get_num_threads() == outside


def test_one_object_may_be_entered_inside_its_own_block() -> None:
    limit = tw.threads(7)
    with limit, tw.threads(2):
        with limit:
            assert tw.get_num_threads() == 7
        assert tw.get_num_threads() == 2
    with limit:
        assert tw.get_num_threads() == 7


def test_none_lifts_the_limits_of_the_blocks_around() -> None:
    tw.set_num_threads(6)
    with tw.threads(2), tw.threads(None):
        assert tw.get_num_threads() == 6


def test_a_block_that_cannot_begin_changes_nothing() -> None:
    with tw.threads(4):
        with pytest.raises(DomainError), tw.threads(0):
            pass
        assert tw.get_num_threads() == 4


def test_a_block_holds_for_its_own_thread_only() -> None:
    seen: list[int] = []
    tw.set_num_threads(6)
    with tw.threads(3):
        thread = threading.Thread(target=lambda: seen.append(tw.get_num_threads()))
        thread.start()
        thread.join()
        assert tw.get_num_threads() == 3
    assert seen == [6]


def test_blocks_of_several_threads_do_not_meet() -> None:
    barrier = threading.Barrier(8)
    seen: dict[int, list[int]] = {}

    def nest(outer: int) -> None:
        found = []
        for inner in range(1, 40):
            with tw.threads(outer):
                barrier.wait()
                with tw.threads(outer + inner):
                    found.append(tw.get_num_threads() - inner)
                found.append(tw.get_num_threads())
        seen[outer] = found

    threads = [threading.Thread(target=nest, args=[100 * i + 1]) for i in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == {outer: [outer] * 78 for outer in range(1, 801, 100)}


def test_the_process_has_a_setting_that_blocks_override() -> None:
    tw.set_num_threads(9)
    assert tw.get_num_threads() == 9
    with tw.threads(2):
        tw.set_num_threads(11)
        assert tw.get_num_threads() == 2
    assert tw.get_num_threads() == 11


def test_none_returns_to_the_default() -> None:
    default = tw.get_num_threads()
    tw.set_num_threads(default + 1)
    tw.set_num_threads(None)
    assert tw.get_num_threads() == default


@pytest.mark.parametrize("number", [0, -3, 1025, 2**70, -(2**70)])
def test_a_number_that_makes_no_sense_is_refused(number: int) -> None:
    with pytest.raises(DomainError, match=rf"threads is {number}, expected .* from 1 to 1024"):
        tw.set_num_threads(number)
    with pytest.raises(DomainError, match=rf"threads is {number}, expected .* from 1 to 1024"):
        tw.threads(number).__enter__()


@pytest.mark.parametrize("number", ["2", 1.5, 2.0, True, [2], b"2"])
def test_what_is_not_a_whole_number_is_refused(number: int) -> None:
    kind = type(number).__name__
    with pytest.raises(DTypeError, match=rf"threads is .* \(a {kind}\), expected a whole number"):
        tw.set_num_threads(number)


def test_whole_numbers_of_other_types_count() -> None:
    import numpy as np  # noqa: PLC0415 - for its integer

    tw.set_num_threads(np.int8(3))  # type: ignore[arg-type]
    assert tw.get_num_threads() == 3


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"THREADWISE_NUM_THREADS": "3", "RAYON_NUM_THREADS": "4", "OMP_NUM_THREADS": "5"}, 3),
        ({"RAYON_NUM_THREADS": "4", "OMP_NUM_THREADS": "5"}, 4),
        ({"OMP_NUM_THREADS": "5"}, 5),
        ({"OMP_NUM_THREADS": "6,2"}, 6),
        ({"THREADWISE_NUM_THREADS": "", "OMP_NUM_THREADS": "5"}, 5),
        ({"RAYON_NUM_THREADS": "0", "OMP_NUM_THREADS": "5"}, 5),
        ({"THREADWISE_NUM_THREADS": " 7 "}, 7),
    ],
)
def test_our_variable_comes_first_then_rayons_then_openmps(
    environment: dict[str, str], expected: int
) -> None:
    assert int(run(ASK, environment=environment)) == expected


@pytest.mark.parametrize("value", ["0", "-2", "many", "1.5", "1025"])
@pytest.mark.parametrize(
    "call",
    [
        "tw.get_num_threads()",
        "tw.matmul([[1.0]], [[1.0]])",
        "tw.matmul(np.eye(300), np.eye(300))",
        "tw.linear([[1.0]], [[1.0]])",
    ],
)
def test_our_variable_is_refused_by_name_where_it_makes_no_sense(value: str, call: str) -> None:
    program = f"import numpy as np, threadwise as tw; {call}"
    last = fails(program, environment={"THREADWISE_NUM_THREADS": value})
    assert last == (
        f"threadwise.errors.DomainError: THREADWISE_NUM_THREADS is '{value}', expected a whole "
        "number from 1 to 1024, or unset"
    )


def test_the_affinity_mask_is_the_default() -> None:
    program = """
        import os
        import threadwise as tw
        assert tw.get_num_threads() <= len(os.sched_getaffinity(0))
        os.sched_setaffinity(0, [min(os.sched_getaffinity(0))])
        print(tw.get_num_threads(), tw.info().affinity)
    """
    assert run(program) == "1 1"


def test_the_unknown_instruction_set_is_refused_by_name() -> None:
    for call in ["tw.matmul([[1.0]], [[1.0]])", "tw.linear([1.0], [[1.0]])"]:
        last = fails(f"import threadwise as tw; {call}", environment={"THREADWISE_ISA": "avx1024"})
        assert last.startswith("threadwise.errors.DomainError: THREADWISE_ISA is 'avx1024'")
