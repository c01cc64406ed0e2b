"""What this build of threadwise is, and what it runs on."""

from dataclasses import dataclass
from importlib.util import find_spec
from math import ceil
from pathlib import Path
from textwrap import fill

from threadwise import __version__, _threadwise

__all__ = ["Info", "Pool", "info"]


@dataclass(frozen=True, kw_only=True)
class Pool:
    """A pool of threads in this process, ours or another library's."""

    library: str
    """What threadpoolctl calls it, for example ``"openblas"``."""
    threads: int | None
    """How many threads its next call may use, if it can say."""
    version: str | None
    """Of the library, if it says."""
    file: str
    """Where it was loaded from."""


@dataclass(frozen=True, kw_only=True)
class Info:
    """What `info` found. Printed, it is a page for people."""

    version: str
    """Of threadwise."""
    profile: str
    """How the binary was built: ``"release"`` or ``"debug"``."""
    isa_detected: tuple[str, ...]
    """Instruction sets of this CPU that there are kernels for, narrowest first."""
    isa_used: str | None
    """The one in use: the widest that ``THREADWISE_ISA`` allows."""
    kernels: tuple[str, ...]
    """The kernels in use, by name."""
    is_calibrated: bool
    """Whether plans rest on what `threadwise.calibrate` measured on this machine."""
    calibration_file: str | None
    """The file that keeps it, if one does."""
    cpus: int
    """CPUs that are switched on."""
    affinity: int
    """CPUs that this process may run on."""
    quota: float | None
    """CPUs' worth of time that a control group allows, if one limits it."""
    numa_nodes: int
    """Memory nodes."""
    threads: int | None
    """Threads that a call from this Python thread may use, the calling one included."""
    threads_source: str | None
    """Who said so."""
    pools: tuple[Pool, ...] | None
    """Every pool of threads in the process, or ``None`` without threadpoolctl."""
    warnings: tuple[str, ...]
    """What is wrong, each with its remedy."""

    def __str__(self) -> str:
        quota = "none" if self.quota is None else f"{self.quota:g} CPUs"
        rows = [
            ("threadwise", f"{self.version} ({self.profile} build)"),
            ("instruction sets", ", ".join(self.isa_detected)),
            ("in use", self.isa_used or "undecided: see below"),
            ("kernels", ", ".join(self.kernels) or "undecided: see below"),
            ("calibration", self._calibration()),
            ("CPUs", f"{self.cpus}, of which this process may use {self.affinity}"),
            ("CPU quota", quota),
            ("NUMA nodes", str(self.numa_nodes)),
            ("threads", f"{self.threads}, from {self.threads_source}"),
        ]
        if self.threads is None:
            rows[-1] = ("threads", "undecided: see below")
        if self.pools is None:
            rows.append(("thread pools", "unknown: pip install threadpoolctl to see them"))
        if self.pools == ():
            rows.append(("thread pools", "none that threadpoolctl knows"))
        for pool in self.pools or ():
            label = "thread pools" if pool is (self.pools or ())[0] else ""
            name = " ".join(filter(None, [pool.library, pool.version]))
            threads = "?" if pool.threads is None else pool.threads
            file = Path(pool.file).name
            rows.append((label, f"{name}: {threads} threads ({file})"))
        rows += [("warning", text) for text in self.warnings]
        return "\n".join(
            fill(
                value,
                width=100,
                initial_indent=f"{label:<18}",
                subsequent_indent=" " * 18,
                break_long_words=False,
                break_on_hyphens=False,
            )
            for label, value in rows
        )

    def _calibration(self) -> str:
        if not self.is_calibrated:
            return (
                "none: constants of the machine are assumed, threadwise.calibrate() measures them"
            )
        if self.calibration_file is None:
            return "measured by this process, in no file"
        return f"measured, in {self.calibration_file}"


def info() -> Info:
    """Say what this build is, what the machine has, and what calls will use.

    Returns
    -------
    Info
        Its fields are for programs; printed, it is a page for people.

    Notes
    -----
    The pools of other libraries are found through threadpoolctl, where that is installed. A warning
    is given where a pool has more threads than this process has CPUs, so that they can only wait
    for one another; where the binary is a debug build; and where a setting of the environment makes
    no sense.

    Examples
    --------
    >>> import threadwise as tw
    >>> tw.info().profile
    'release'
    """
    system = _threadwise.system()
    pools = _pools()
    warnings = list(system["problems"])
    if system["profile"] != "release":
        warnings.append(
            "this is a debug build, many times slower than a release: reinstall threadwise, or "
            "build it with maturin develop --release"
        )
    cpus = min(system["affinity"], ceil(system["quota"] or system["affinity"]))
    warnings += [
        _oversubscription(pool, cpus)
        for pool in pools or ()
        if pool.threads is not None and pool.threads > cpus
    ]
    return Info(
        version=__version__,
        profile=system["profile"],
        isa_detected=tuple(system["isa_detected"]),
        isa_used=system["isa_used"],
        kernels=tuple(system["kernels"]),
        is_calibrated=system["is_calibrated"],
        calibration_file=system["calibration_file"],
        cpus=system["cpus"],
        affinity=system["affinity"],
        quota=system["quota"],
        numa_nodes=system["numa_nodes"],
        threads=system["threads"],
        threads_source=system["threads_source"],
        pools=pools,
        warnings=tuple(warnings),
    )


def _pools() -> tuple[Pool, ...] | None:
    if find_spec("threadpoolctl") is None:
        return None
    import threadpoolctl  # noqa: PLC0415 - optional

    return tuple(
        Pool(
            library=pool["internal_api"],
            threads=pool["num_threads"],
            version=pool["version"],
            file=pool["filepath"],
        )
        for pool in threadpoolctl.threadpool_info()
    )


_VARIABLES = {
    "threadwise": "THREADWISE_NUM_THREADS",
    "openblas": "OPENBLAS_NUM_THREADS",
    "mkl": "MKL_NUM_THREADS",
    "blis": "BLIS_NUM_THREADS",
    "openmp": "OMP_NUM_THREADS",
}


def _oversubscription(pool: Pool, cpus: int) -> str:
    variable = _VARIABLES.get(pool.library, "OMP_NUM_THREADS")
    return (
        f"{pool.library} has {pool.threads} threads for {cpus} CPUs, so they wait for one another: "
        f"set {variable}={cpus} before starting Python, or use "
        f"threadpoolctl.threadpool_limits({cpus})"
    )
