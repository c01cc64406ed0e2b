"""``python -m threadwise``: the command line."""

from threadwise.cli import main

main()
