"""Work that some threads leave is done by others, and every piece is counted once."""

from interpreters import run


def test_an_imbalance_makes_workers_steal_and_every_task_is_counted_once() -> None:
    # More threads than CPUs: some wait for their turn, and the others take their pieces.
    program = """
        import os
        import time
        import numpy as np
        import threadwise as tw

        a = np.ones((2000, 400), np.float32)
        b = np.ones((400, 400), np.float32)
        fine = tw.WorkDistribution(min_chunk=1, max_chunk=16, tasks_per_thread=64)
        expected = tw.matmul(a, b, threads=1)
        threads = 2 * len(os.sched_getaffinity(0)) + 1
        tw.matmul(a, b, threads=threads, distribution=fine)
        tw.reset_work_stats()
        stats = tw.work_stats()
        for _ in range(200):
            assert (tw.matmul(a, b, threads=threads, distribution=fine) == expected).all()
            stats = tw.work_stats()
            if stats.stolen:
                break
            time.sleep(0.01)  # calls that lost time have the next ones stay alone for a while
        print(stats)
        assert stats.stolen > 0, stats
        assert stats.tasks_created >= 100, stats
        assert stats.run_at_home + stats.stolen == stats.tasks_created, stats
        assert stats.steal_ratio == stats.stolen / stats.tasks_created
        assert stats.run_at_home == sum(worker.tasks_home for worker in stats.workers)
        assert stats.stolen == sum(worker.tasks_stolen for worker in stats.workers)
        assert min(worker.idle_seconds for worker in stats.workers) >= 0
        assert sum(worker.busy_seconds for worker in stats.workers) > 0
        tw.reset_work_stats()
        assert tw.work_stats().tasks_created == 0
    """
    assert "stolen" in run(program)


def test_rows_of_a_piece_that_another_is_at_are_taken_and_counted() -> None:
    program = """
        import os
        import time
        import numpy as np
        import threadwise as tw

        rng = np.random.default_rng(0)
        a = rng.integers(-128, 127, (3000, 900), dtype=np.int8)
        b = rng.integers(-128, 127, (900, 400), dtype=np.int8)
        expected = tw.matmul(a, b, threads=1)
        # More threads than CPUs: one waits for its turn, in the middle of a piece.
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:2])
        stats = tw.work_stats()
        for _ in range(200):
            tw.reset_work_stats()
            assert (tw.matmul(a, b, threads=3) == expected).all()
            stats = tw.work_stats()
            assert stats.run_at_home + stats.stolen == stats.tasks_created, stats
            if stats.parts_taken:
                break
            time.sleep(0.01)
        assert stats.parts_taken > 0, stats
        print(stats)
    """
    assert "stolen" in run(program)
