"""The modules of the public interface, as they lie in the package."""

import importlib
import pkgutil

import threadwise

__all__ = ["MODULES"]

_PROGRAMS = {"__main__", "bench", "cli"}
"""Programs to run, not interfaces."""

MODULES = [
    threadwise,
    *(
        importlib.import_module(f"threadwise.{found.name}")
        for found in pkgutil.iter_modules(threadwise.__path__)
        if not found.name.startswith("_") and found.name not in _PROGRAMS
    ),
]
