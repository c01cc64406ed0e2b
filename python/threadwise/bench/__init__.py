"""Timing against other libraries: ``python -m threadwise.bench`` and ``threadwise demo``.

A program to run, not an interface: its names may change.
"""
