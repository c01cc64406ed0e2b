"""What ranks that are threads say to one another, and how they end."""

import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal

import threadwise as tw
from interpreters import delay
from strategies import normal
from threadwise.errors import CommunicationError, DomainError, DTypeError, LayoutError
from threadwise.shard import Communicator, SelfComm, ThreadComm

WORLDS = range(1, 9)


def test_both_are_communicators() -> None:
    assert isinstance(SelfComm(), Communicator)
    assert ThreadComm.run(2, lambda comm: isinstance(comm, Communicator)) == [True, True]
    assert not isinstance(object(), Communicator)


def test_each_rank_knows_its_place_and_results_are_in_order() -> None:
    def place(comm: ThreadComm, more: str, *, end: str) -> tuple[int, int, int, int, str]:
        time.sleep(0.01 * (3 - comm.rank))
        return comm.rank, comm.size, comm.Get_rank(), comm.Get_size(), more + end

    found = ThreadComm.run(3, place, "a", end="b")
    assert found == [(rank, 3, rank, 3, "ab") for rank in range(3)]
    assert repr(SelfComm()) == "SelfComm(rank 0 of 1)"


@pytest.mark.parametrize("dtype", ["f4", "f8", "i4", "i8"])
@pytest.mark.parametrize("world", WORLDS)
def test_sums_are_added_in_the_order_of_ranks(world: int, dtype: str) -> None:
    # The longest is above the length from which ranks share the sum.
    for shape in [(), (0,), (3, 5), (40_001,)]:
        terms = [(100 * normal(shape, np.float64, rank)).astype(dtype) for rank in range(world)]
        expected = np.array(terms[0])
        for term in terms[1:]:
            expected += term

        def work(comm: ThreadComm, terms: Any = terms) -> tuple[Any, Any]:
            mine = np.array(terms[comm.rank])
            total = np.empty_like(mine)
            comm.Allreduce(mine, total)
            assert_array_equal(mine, terms[comm.rank])
            comm.Allreduce(mine, mine)
            return total, mine

        for total, in_place in ThreadComm.run(world, work):
            assert total.tobytes() == in_place.tobytes() == expected.tobytes()


@pytest.mark.parametrize("dtype", ["f4", "i1", "f2", "c16", "bfloat16", "M8[s]"])
@pytest.mark.parametrize("world", [1, 2, 5])
def test_any_numbers_are_passed_on(world: int, dtype: str) -> None:
    pytest.importorskip("ml_dtypes")

    def numbers(rank: int) -> Any:
        return np.arange(6 * rank, 6 * rank + 6).reshape(2, 3).astype(dtype)

    def work(comm: ThreadComm) -> None:
        mine, everybody = numbers(comm.rank), np.empty((world, 2, 3), dtype)
        comm.Allgather(mine, everybody)
        assert_array_equal(everybody, [numbers(rank) for rank in range(world)])
        for root in range(world):
            buf = numbers(comm.rank)
            comm.Bcast(buf, root=root)
            assert_array_equal(buf, numbers(root))
        after, before = (comm.rank + 1) % world, (comm.rank - 1) % world
        comm.Send(mine, dest=after, tag=3)
        comm.Send(numbers(comm.rank + 10), dest=after)
        buf = np.empty((2, 3), dtype)
        comm.Recv(buf, source=before)
        assert_array_equal(buf, numbers(before + 10))
        comm.Recv(buf, source=before, tag=3)
        assert_array_equal(buf, numbers(before))
        comm.Barrier()

    ThreadComm.run(world, work)


def test_a_barrier_holds_back_until_all_are_there() -> None:
    arrived = []

    def work(comm: ThreadComm) -> int:
        time.sleep(0.02 * comm.rank)
        arrived.append(comm.rank)
        comm.Barrier()
        return len(arrived)

    assert ThreadComm.run(4, work) == [4] * 4


def test_a_split_makes_groups_by_color_in_the_order_of_keys() -> None:
    def work(comm: ThreadComm) -> list[int]:
        half = comm.Split(color=comm.rank % 2, key=-comm.rank)
        assert isinstance(half, ThreadComm)
        members = np.empty(half.size, np.int64)
        half.Allgather(np.array([comm.rank]), members)
        assert members[half.rank] == comm.rank
        return members.tolist()

    assert ThreadComm.run(5, work) == [[4, 2, 0], [3, 1], [4, 2, 0], [3, 1], [4, 2, 0]]
    assert SelfComm().Split(3, 1).size == 1


def test_ranks_share_the_caller_s_threads() -> None:
    def work(_: ThreadComm) -> int:
        return tw.get_num_threads()

    with tw.threads(7):
        assert ThreadComm.run(3, work) == [3, 2, 2]
    with tw.threads(1):
        assert ThreadComm.run(3, work) == [1, 1, 1]
        assert tw.get_num_threads() == 1


def _sleep_on() -> None:
    while True:
        time.sleep(0.01)


def _loop_on() -> None:
    while True:
        pass


def _soon(work: Callable[[ThreadComm], Any], error: type[BaseException], sentence: str) -> Any:
    before, begin = threading.active_count(), time.monotonic()
    with pytest.raises(error, match=sentence) as caught:
        ThreadComm.run(4, work)
    assert time.monotonic() - begin < 1.0
    assert threading.active_count() == before
    return caught


WAITS: dict[str, Callable[[ThreadComm, ThreadComm], Any]] = {
    "a barrier": lambda comm, _: comm.Barrier(),
    "a sum": lambda comm, _: comm.Allreduce(np.ones(3), np.ones(3)),
    "a message": lambda comm, _: comm.Recv(np.ones(3), source=2),
    "a split": lambda comm, _: comm.Split(0),
    "a group": lambda _, group: group.Barrier(),
    "a loop": lambda *_: _loop_on(),
    "short sleeps": lambda *_: _sleep_on(),
}


@pytest.mark.timing
@pytest.mark.parametrize("waits", WAITS)
def test_an_error_of_a_rank_reaches_the_caller_and_stops_the_others(waits: str) -> None:
    def work(comm: ThreadComm) -> None:
        group = comm.Split()
        if comm.rank == 2:
            time.sleep(0.05)
            raise LookupError("rank two")
        WAITS[waits](comm, group)

    _soon(work, LookupError, "^rank two$")


@pytest.mark.timing
def test_a_rank_that_cannot_be_stopped_is_left_behind() -> None:
    over = threading.Event()
    left: list[threading.Thread] = []

    def work(comm: ThreadComm) -> None:
        if comm.rank == 0:
            raise LookupError("now")
        left.append(threading.current_thread())
        over.wait(30)

    begin = time.monotonic()
    with pytest.raises(LookupError, match="now"):
        ThreadComm.run(2, work)
    assert time.monotonic() - begin < 1.0
    over.set()
    left[0].join(10)
    assert not left[0].is_alive()


@pytest.mark.timing
def test_ranks_that_wait_for_one_another_are_told_so() -> None:
    def work(comm: ThreadComm) -> None:
        if comm.rank == 1:
            comm.Recv(np.ones(1), source=0, tag=7)
        elif comm.rank < 3:
            comm.Barrier()

    sentence = (
        "^no rank can go on: rank 0 waits in Barrier, rank 1 waits for a message of rank 0 with "
        "tag 7, rank 2 waits in Barrier, rank 3 has ended$"
    )
    _soon(work, CommunicationError, sentence)


def test_calls_that_differ_are_refused_everywhere_and_leave_buffers_alone() -> None:
    def work(comm: ThreadComm) -> None:
        mine = np.ones(3 if comm.rank == 1 else 2, np.float32)
        sentence = "^rank 0 calls Allreduce of 2 float32, rank 1 calls Allreduce of 3 float32: they"
        with pytest.raises(CommunicationError, match=sentence):
            comm.Allreduce(mine, mine)
        assert_array_equal(mine, 1)
        sentence = "^rank 0 calls Barrier, rank 2 calls Bcast of 16 bytes from rank 0: they must be"
        with pytest.raises(CommunicationError, match=sentence):
            comm.Bcast(np.ones(2)) if comm.rank == 2 else comm.Barrier()
        comm.Barrier()

    ThreadComm.run(3, work)


def test_a_message_of_another_size_is_refused() -> None:
    comm, buf = SelfComm(), np.ones(3)
    comm.Send(np.zeros(2), 0, 5)
    sentence = "^the message of rank 0 with tag 5 has 16 bytes, buf has 24 bytes: they must be"
    with pytest.raises(CommunicationError, match=sentence):
        comm.Recv(buf, 0, 5)
    assert_array_equal(buf, 1)


def test_a_communicator_is_over_after_its_run() -> None:
    kept = ThreadComm.run(2, lambda comm: comm)
    with pytest.raises(CommunicationError, match=r"^stopped, because"):
        kept[0].Barrier()


ONES, FIXED = np.ones(2), np.ones(2)
FIXED.flags.writeable = False
BUFFERS: list[tuple[Callable[[SelfComm], Any], type[Exception], str]] = [
    (lambda c: c.Bcast([1.0]), DTypeError, "^buf is a list, expected a numpy.ndarray"),  # type: ignore[arg-type]
    (lambda c: c.Bcast(np.array([None])), DTypeError, "^buf has dtype object, expected numbers"),
    (lambda c: c.Bcast(FIXED), LayoutError, "^buf is read-only, expected"),
    (lambda c: c.Recv(np.ones((4, 4))[:, 1], 0), LayoutError, "^buf is not contiguous in memory"),
    (lambda c: c.Allreduce(ONES, np.ones((4, 4))[:2, 0]), LayoutError, "^recvbuf is not contig"),
    (lambda c: c.Allreduce(ONES[::-1], np.ones(2)), LayoutError, "^sendbuf is not contiguous"),
    (lambda c: c.Allreduce(ONES, FIXED), LayoutError, "^recvbuf is read-only, overlaps"),
    (lambda c: c.Allreduce(ONES, np.ones(2, "f4")), DTypeError, "^sendbuf has dtype float64, exp"),
    (lambda c: c.Allreduce(ONES, np.ones(2, "f2")), DTypeError, "^recvbuf has dtype float16, ex"),
    (lambda c: c.Allreduce(ONES, 3), DTypeError, "^recvbuf is a int, expected an array of float"),  # type: ignore[arg-type]
    (lambda c: c.Allreduce(ONES, np.ones(3)), DomainError, "^the length of recvbuf is 3, expec"),
    (lambda c: c.Allgather(ONES, ONES), LayoutError, "^recvbuf is read-only, overlaps"),
    (lambda c: c.Allgather(ONES, np.ones(3)), DomainError, "^the length of recvbuf is 24, expec"),
    (lambda c: c.Bcast(np.ones(2), 1), DomainError, "^root is 1, expected a rank, from 0 to 0"),
    (lambda c: c.Send(ONES, 1), DomainError, "^dest is 1, expected a rank, from 0 to 0"),
    (lambda c: c.Recv(np.ones(2), -1), DomainError, "^source is -1, expected a whole number"),
    (lambda c: c.Send(ONES, 0, 1 << 40), DomainError, "^tag is 1099511627776, expected at most"),
    (lambda c: c.Send(ONES, 0.0), DTypeError, r"^dest is 0.0 \(a float\), expected"),  # type: ignore[arg-type]
    (lambda c: c.Split(0, "b"), DTypeError, r"^key is 'b' \(a str\), expected a whole number"),  # type: ignore[arg-type]
    (lambda c: c.Split(-1), DomainError, "^color is -1, expected a whole number"),
]


@pytest.mark.parametrize(("call", "error", "sentence"), BUFFERS)
def test_buffers_and_ranks_that_make_no_sense_are_refused(
    call: Callable[[SelfComm], Any], error: type[Exception], sentence: str
) -> None:
    with pytest.raises(error, match=sentence):
        call(SelfComm())


@pytest.mark.parametrize("world", [0, -1, 2000])
def test_worlds_that_make_no_sense_are_refused(world: int) -> None:
    with pytest.raises(DomainError, match=r"^world(_size)? is "):
        ThreadComm.run(world, lambda _: None)


@pytest.mark.timing
def test_ctrl_c_ends_a_run_soon() -> None:
    program = """
def work(comm):
    while True:
        if comm.rank:
            comm.Recv(np.ones(1), source=0)
        else:
            time.sleep(0.01)
"""
    after = "assert threading.active_count() == 1"
    assert delay("tw.shard.ThreadComm.run(3, work)", before=program, after=after) < 1
