"""What quantization costs a language model, for docs/quantize.md. See README.md.

Usage: python benches/quality.py
"""

import contextlib
import json
import re
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

import threadwise as tw

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "tests"))

from mistral import SAMPLE, Mistral, perplexity  # noqa: E402 - it is one of the tests'

MODEL = SAMPLE
PAGE = ROOT / "docs" / "quantize.md"
PICTURE = ROOT / "docs" / "img" / "quantize.png"
SETTINGS: list[dict[str, Any]] = [
    {"bits": 8, "group_size": 64, "symmetric": True},
    {"bits": 4, "group_size": 32},
    {"bits": 4, "group_size": 32, "symmetric": True},
    {"bits": 4, "group_size": 32, "zero_point": "float"},
    {"bits": 4, "group_size": 128},
    {"bits": 4, "group_size": 32, "method": "minmax"},
    {"bits": 3, "group_size": 32},
    {"bits": 3, "group_size": 32, "method": "minmax"},
    {"bits": 2, "group_size": 16},
    {"bits": 2, "group_size": 32},
    {"bits": 2, "group_size": 32, "method": "minmax"},
]

MIXED: dict[str, Any] = {"bits": 3, "min_cosine": 0.9896, "layer_bits": {"*.v_proj": 8}}
"""Of the picture: bits that somebody chose, and bits that were not enough."""


def measured(report: tw.quant.QuantReport, folder: Path, tokens: Any) -> float:
    """Return the perplexity of the model in `folder`, computed in float32 from its values."""
    model = tw.quant.load_quantized(folder)
    config = json.loads((folder / "config.json").read_text())
    weights = {name: np.asarray(model[name], np.float32) for name in model}
    if len(weights) != len(report.tensors) + report.kept_tensors:
        message = f"{folder} has {len(weights)} tensors, the report others"
        raise ValueError(message)
    return perplexity(Mistral(config, weights), tokens)


def row(settings: dict[str, Any], report: tw.quant.QuantReport, found: float) -> str:
    """Return the line of the table for one way to quantize."""
    kind = report.config.zero_point_of(settings["bits"])
    cells = (
        *(settings["bits"], settings["group_size"], kind, report.config.method),
        *(f"{report.bits_per_weight:.2f}", f"{report.mean_cosine:.4f}", f"{found:.3f}"),
    )
    return f"| {' | '.join(map(str, cells))} |"


def published(page: str, part: str, text: str) -> str:
    """Return `page` with `text` between the marks of `part`."""
    pattern = rf"(<!-- measured: {part} -->\n).*?(<!-- measured: end -->)"
    found, count = re.subn(pattern, lambda marks: marks[1] + text + marks[2], page, flags=re.DOTALL)
    if count != 1:
        message = f"the page has no marks for {part}"
        raise ValueError(message)
    return found


def main() -> None:
    """Measure all settings; write table, report and picture of the guide."""
    tokens = np.load(MODEL / "heldout_tokens.npy")
    lines = [
        "| bits | group | zero point | method | bits a weight | mean cosine | perplexity |",
        "| ---: | ---: | --- | --- | ---: | ---: | ---: |",
        f"| 16 | | | | 16.00 | 1.0000 | {perplexity(Mistral.load(MODEL), tokens):.3f} |",
    ]
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        for number, settings in enumerate(SETTINGS):
            to = Path(str(number))
            # No tensor may become wider: the table is about the bits that it names.
            report = tw.quant.quantize_model(MODEL, to, min_cosine=0, **settings)
            lines.append(row(settings, report, measured(report, to, tokens)))
            print(lines[-1], flush=True)
        example = tw.quant.quantize_model(MODEL, "small", bits=4)
        tw.quant.quantize_model(MODEL, "mixed", **MIXED).plot(PICTURE)
    page = published(PAGE.read_text("utf-8"), "perplexity", "\n".join([*lines, ""]))
    page = published(page, "report", f"```text\n{example.table(6)}\n```\n")
    PAGE.write_text(page, "utf-8")
    print(f"written: {PAGE}, {PICTURE}")


if __name__ == "__main__":
    main()
