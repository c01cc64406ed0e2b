"""``threadwise calibrate``."""

__all__ = ["calibrate"]


def calibrate() -> None:
    """Measure this machine, for better plans.

    Takes less than a second. What was measured is printed, and kept in a file for later processes.
    """
    import threadwise as tw

    found = tw.calibrate()
    print(found)
    if found.path is not None:
        print(f"kept in {found.path}")
    if not found.is_measured:
        print("nothing was measured: THREADWISE_CALIBRATION is off")
