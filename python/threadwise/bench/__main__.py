"""``python -m threadwise.bench``: a bench a command."""

import argparse
import sys
from collections.abc import Sequence

from threadwise.bench import (
    _all,
    _compare,
    _dispatch,
    _draw,
    _matmul,
    _model,
    _quantize,
    _quantize_array,
    _quantized,
    _train,
)
from threadwise.errors import ThreadwiseError

__all__ = ["main"]


def main(
    arguments: Sequence[str] | None = None, *, program: str = "python -m threadwise.bench"
) -> int:
    """Run the bench that the arguments name, and return the exit code."""
    parser = argparse.ArgumentParser(prog=program, description="Time threadwise.")
    benches = parser.add_subparsers(required=True, metavar="BENCH")
    _matmul.add_options(benches.add_parser("matmul", help="products of matrices"))
    _quantize.add_options(benches.add_parser("quantize", help="models, from files to files"))
    array = benches.add_parser("quantize-array", help="weights in memory, next to NumPy")
    _quantize_array.add_options(array)
    quantized = benches.add_parser("quantized", help="layers with quantized weights")
    _quantized.add_options(quantized)
    _model.add_options(benches.add_parser("model", help="a language model"))
    _train.add_options(benches.add_parser("train", help="steps of networks, means of gradients"))
    _dispatch.add_options(benches.add_parser("dispatch", help="what a parallel call costs"))
    everything = benches.add_parser("all", help="every bench in its quick form, one report")
    _all.add_options(everything, lambda words: main(words, program=program))
    _draw.add_options(benches.add_parser("draw", help="a heat map of a record, without measuring"))
    _compare.add_options(benches.add_parser("compare", help="two records: what became slower"))
    options = parser.parse_args(arguments)
    try:
        code: int = options.run(options)
    except ThreadwiseError as error:
        print(f"{program}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    return code


if __name__ == "__main__":
    sys.exit(main())
