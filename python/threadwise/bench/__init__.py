"""Timing against other libraries. Private: ``threadwise demo`` and ``benches/`` are its faces."""
