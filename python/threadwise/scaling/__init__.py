"""How work scales with threads: measured, fitted with laws, and what was lost to what.

Nothing in here says how fast something is before it has measured it with one thread. `benchmark`
measures a callable of yours; `amdahl_analysis`, `gustafson_analysis`, `usl_analysis` and
`karp_flatt` take times that were measured elsewhere.
"""

from threadwise.scaling.amdahl import AmdahlFit, amdahl_analysis
from threadwise.scaling.attribution import Attribution
from threadwise.scaling.environment import Environment
from threadwise.scaling.gustafson import GustafsonFit, gustafson_analysis
from threadwise.scaling.point import ScalingPoint
from threadwise.scaling.probe import Probe
from threadwise.scaling.result import ScalingResult
from threadwise.scaling.rounds import benchmark
from threadwise.scaling.serial_fraction import karp_flatt
from threadwise.scaling.usl import USLFit, usl_analysis

__all__ = [
    "AmdahlFit",
    "Attribution",
    "Environment",
    "GustafsonFit",
    "Probe",
    "ScalingPoint",
    "ScalingResult",
    "USLFit",
    "amdahl_analysis",
    "benchmark",
    "gustafson_analysis",
    "karp_flatt",
    "usl_analysis",
]
