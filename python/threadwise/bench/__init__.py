"""Timing against other libraries: ``python -m threadwise.bench``, ``threadwise demo``, ``benches/``.

A program to run, not an interface: its names may change.
"""
