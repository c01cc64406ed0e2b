"""``threadwise demo``."""

import typer

__all__ = ["demo"]


def demo() -> None:
    """Quantize a small language model, and let it write.

    Shows what fewer bits cost and gain, the text that the model writes, how one of its products is
    computed, and products next to NumPy's. Takes less than a minute, without a network. The exit
    code is 1 if a result is wrong.
    """
    import threadwise as tw
    from threadwise.cli._products import cases, race
    from threadwise.cli._story import tell

    tw.get_num_threads()  # raises where the environment makes no sense
    told = tell()
    print("\nProducts, next to NumPy's\n")
    raced = race(cases())
    print(f"\n{tw.info()}")
    raise typer.Exit(0 if told and raced else 1)
