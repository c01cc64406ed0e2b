"""Models of language and their caches, as the engine has them."""

from threadwise._threadwise import CausalModel, KvCache

__all__ = ["CausalModel", "KvCache"]
