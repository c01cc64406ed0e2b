"""MPI's ranks, which are processes, through the same functions, to the same bits."""

import os
import shutil
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest

from strategies import normal
from threadwise.shard import TensorParallelConfig, ThreadComm, mlp_tensor_parallel

WEIGHTS = [normal(shape, np.float32, 1) for shape in [(7, 6), (7, 6), (6, 7)]]
WAYS = ("column", "column", "row")

PROGRAM = """
    import sys
    from pathlib import Path
    from mpi4py import MPI
    import numpy as np
    import threadwise as tw

    comm = MPI.COMM_WORLD
    assert isinstance(comm, tw.shard.Communicator)
    folder = Path(sys.argv[1])
    config = tw.shard.TensorParallelConfig(comm.size, comm.rank)
    ways = ("column", "column", "row")
    parts = [
        config.shard(np.load(folder / f"{n}.npy", mmap_mode="r"), way) for n, way in enumerate(ways)
    ]
    x = np.load(folder / "x.npy")
    y = tw.shard.mlp_tensor_parallel(x, *parts, comm=comm)
    stage, group = tw.shard.ParallelConfig(tensor_parallel=comm.size).place(comm)
    again = tw.shard.mlp_tensor_parallel(x, *parts, comm=group)
    assert (stage, again.tobytes()) == (0, y.tobytes())
    whole = tw.shard.column_parallel_linear(x, parts[0], comm=comm, gather_output=True)
    np.save(folder / f"whole{comm.rank}.npy", whole)
    np.save(folder / f"y{comm.rank}.npy", y)
"""


@pytest.mark.skipif(os.name != "posix", reason="mpich's wheels are for Linux and macOS")
@pytest.mark.parametrize("world", [1, 2, 3])
def test_processes_compute_what_threads_do(world: int, tmp_path: Path) -> None:
    x = normal((4, 6))
    np.save(tmp_path / "x.npy", x)
    for number, weight in enumerate(WEIGHTS):
        np.save(tmp_path / f"{number}.npy", weight)
    mpiexec = shutil.which("mpiexec", path=Path(sys.executable).parent)
    assert mpiexec is not None
    command = [mpiexec, "-n", str(world), sys.executable, "-m", "mpi4py", "-c"]
    ended = subprocess.run(
        [*command, textwrap.dedent(PROGRAM), str(tmp_path)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr

    def work(comm: ThreadComm) -> bytes:
        config = TensorParallelConfig(comm.size, comm.rank)
        parts = [config.shard(w, way) for w, way in zip(WEIGHTS, WAYS, strict=True)]
        return mlp_tensor_parallel(x, *parts, comm=comm).tobytes()

    expected = ThreadComm.run(world, work)
    for rank in range(world):
        assert np.load(tmp_path / f"y{rank}.npy").tobytes() == expected[rank]
        whole = np.load(tmp_path / f"whole{rank}.npy")
        np.testing.assert_allclose(whole, x @ WEIGHTS[0].T, rtol=1e-5, atol=1e-5)
