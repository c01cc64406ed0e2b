"""Language models: load one, ask it what comes next, let it write.

`load` reads a directory of Hugging Face, with floating-point weights or with what
`threadwise.quant` has made of them. `CausalLM` is what it returns.
"""

from threadwise.models._decoding import Stream
from threadwise.models.cache import KvCache
from threadwise.models.causal import CausalLM
from threadwise.models.config import ModelConfig
from threadwise.models.generation import Generation, Piece, Timings
from threadwise.models.loading import load

__all__ = [
    "CausalLM",
    "Generation",
    "KvCache",
    "ModelConfig",
    "Piece",
    "Stream",
    "Timings",
    "load",
]
