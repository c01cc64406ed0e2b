"""A language model: what may come next, and texts that are made of it."""

import math
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from threadwise.errors import DomainError, FormatError, ShapeError
from threadwise.models._arguments import whole
from threadwise.models._decoding import TOGETHER, Growth, Stream, grow
from threadwise.models._engine import Engine, Ids
from threadwise.models._loss import window_losses, windows_of
from threadwise.models._prompts import ids_of, prompts, rows_of, seeds
from threadwise.models._sampling import Sampling
from threadwise.models._text import Text, load_tokenizer, stop_strings
from threadwise.models.cache import KvCache
from threadwise.models.config import ModelConfig
from threadwise.shard import PipelineReport

__all__ = ["CausalLM"]


class CausalLM:
    """A language model that says what comes next; `load` makes one.

    Several Python threads may use it at once, each with a cache of its own.
    """

    def __init__(
        self,
        engine: Engine,
        config: ModelConfig,
        *,
        folder: Path,
        threads: int | None,
        kv_dtype: str,
        max_context: int,
    ) -> None:
        self._engine, self._folder = engine, folder
        self._tokenizer: Any = None
        self.config = config
        """What it computes."""
        self.threads = threads
        """How many threads take part; None: what `threadwise.get_num_threads` says at each call."""
        self.kv_dtype = kv_dtype
        """In what caches are that it makes."""
        self.max_context = max_context
        """How many tokens a sequence may have."""

    @property
    def nbytes(self) -> int:
        """What its weights take in memory, in bytes."""
        return self._engine.nbytes

    @property
    def pipeline_report(self) -> PipelineReport | None:
        """What the last call took, stage by stage; None without stages or ranks, or before."""
        report: PipelineReport | None = getattr(self._engine, "report", None)
        return report

    @property
    def tokenizer(self) -> Any:
        """What makes tokens of text: the model's own, a `tokenizers.Tokenizer`.

        Raises
        ------
        FormatError
            If the model has none, or it cannot be read.
        ModuleNotFoundError
            If the package tokenizers is not installed.
        """
        if self._tokenizer is None:
            self._tokenizer = load_tokenizer(self._folder)
        return self._tokenizer

    def cache(self, sequences: int = 1, *, max_context: int | None = None) -> KvCache:
        """Make a cache for `forward`.

        Parameters
        ----------
        sequences : int, default 1
            How many it is for, at least 1.
        max_context : int, optional
            How many tokens each may have, by default what the model is loaded for.

        Returns
        -------
        KvCache

        Raises
        ------
        DomainError
            If a number makes no sense.
        DTypeError
            If one is no whole number.
        """
        context = self.max_context
        if max_context is not None:
            context = whole("max_context", max_context, 1)
        return self._engine.cache(whole("sequences", sequences, 1), context, self.kv_dtype)

    def forward(self, input_ids: ArrayLike, *, cache: KvCache | None = None) -> Any:
        """Say what may come after each token.

        Parameters
        ----------
        input_ids : array_like of integers, shape (t,) or (b, t), or a sequence of such rows
            The tokens of one sequence or of several, at least one each.
        cache : KvCache, optional
            What came before; these tokens are added to it, those of row i to sequence i. By default
            nothing came before.

        Returns
        -------
        ndarray of float32, shape (t, v) or (b, t, v)
            Logits: at position t those of the token at t + 1. For rows that differ in length, a
            list of an array (t, v) each. The bits do not depend on the number of threads.

        Raises
        ------
        DomainError
            If a token is not in the vocabulary, there are none, or sequences become longer than the
            cache allows; if the cache is another model's, or in use by another call.
        DTypeError
            If tokens are no integers.
        ShapeError
            If there are more rows than sequences in the cache, or they have too many axes.
        MemoryError
            If there is no memory for logits or cache.
        KeyboardInterrupt
            If Ctrl-C is pressed meanwhile. The cache then has some of the tokens.

        Examples
        --------
        >>> import threadwise as tw
        >>> model = tw.models.load(tw.samples.path("stdlib-mistral-2.8m"))
        >>> cache = model.cache()
        >>> model.forward([0, 4, 788], cache=cache).shape
        (3, 1024)
        >>> model.forward([671], cache=cache).shape, cache.length()
        ((1, 1024), 4)
        """
        rows, kind = rows_of("input_ids", input_ids)
        if cache is None:
            cache = self._engine.cache(len(rows), self.max_context, self.kv_dtype)
        if len(rows) > cache.sequences:
            raise ShapeError(
                f"input_ids has {len(rows)} sequences, the cache is for {cache.sequences}"
            )
        slots = range(len(rows))
        logits = self._engine.forward(rows, slots, cache, "all", self.threads)
        if kind == "one":
            return logits
        if kind == "ragged":
            return np.split(logits, np.cumsum([len(row) for row in rows])[:-1])
        return logits.reshape(len(rows), -1, logits.shape[-1])

    def generate(
        self,
        prompt: Any,
        *,
        max_new_tokens: int = 128,
        temperature: float = 0.0,
        top_k: int | None = None,
        top_p: float | None = None,
        min_p: float | None = None,
        repetition_penalty: float = 1.0,
        seed: int | Sequence[int] | None = None,
        stop: str | Sequence[str] | None = None,
        stream: bool = False,
    ) -> Any:
        """Write what follows a prompt, or what follows each of several.

        Parameters
        ----------
        prompt : str, array_like of integers, or a sequence of such
            A text, or its tokens. Several are written together, at nearly the cost of one.
        max_new_tokens : int, default 128
            When to stop at the latest.
        temperature : float, default 0.0
            Logits are divided by it before one of them is drawn. At 0 the likeliest token is taken,
            the first of those that are equally likely, and none drawn.
        top_k : int, optional
            Draw from the k likeliest tokens.
        top_p : float, optional
            Draw from the likeliest tokens, as many as it takes to make up this part of all; above
            0, at most 1.
        min_p : float, optional
            Draw from tokens of at least this part of the likeliest one's probability, from 0 to 1.
        repetition_penalty : float, default 1.0
            Logits of tokens that have been there, in the prompt too, are divided by it where they
            are positive, and multiplied where not.
        seed : int or sequence of int, optional
            What tokens are drawn with, from 0 to 2**64 - 1: one for all prompts, or one for each.
            By default another one each time; the result says which.
        stop : str or sequence of str, optional
            Texts end before the first of these strings.
        stream : bool, default False
            Whether to return texts while they are being written.

        Returns
        -------
        Generation or list of Generation
            The text of one prompt, or those of several. With `stream` a `Stream`, an iterator of
            `Piece`: strings, each of which says whose it is, in the order in which they come.

        Raises
        ------
        DomainError
            If a number makes no sense, a prompt is empty, or prompt and new tokens are more than
            the model is loaded for; if logits are not finite.
        DTypeError
            If an argument has a type that makes no sense.
        FormatError
            If there is a text, and the model has no tokenizer.
        ModuleNotFoundError
            If there is a text, and the package tokenizers is not installed.
        MemoryError
            If there is no memory for the cache.
        KeyboardInterrupt
            If Ctrl-C is pressed meanwhile.

        Notes
        -----
        Filters apply in the order of their parameters, after the penalty; `top_k` and `top_p` keep
        tokens that are as likely as the last that they keep.

        The number that draws a token is a function of the seed and of the token's position (Philox,
        a generator made of a counter), so that a prompt's text depends on nothing else: not on
        threads, nor on the other prompts, nor on whether it was written in one call or in two, the
        second of which begins with the tokens of the first. Two equal prompts with one seed have
        one text; give each a seed of its own for several.

        Examples
        --------
        >>> import threadwise as tw
        >>> model = tw.models.load(tw.samples.path("stdlib-mistral-2.8m"))
        >>> found = model.generate("for line in", stop=":")
        >>> found.text, found.finish_reason
        (' self.input_line', 'stop')
        """
        limit = whole("max_new_tokens", max_new_tokens, 1)
        sampling = Sampling(
            temperature=temperature,
            top_k=top_k,
            top_p=top_p,
            min_p=min_p,
            repetition_penalty=repetition_penalty,
        )
        growths, single = self._growths(prompt, limit, sampling, seed, stop_strings(stop))
        longest = max(len(growth.prompt) for growth in growths) + limit
        cache = partial(self._engine.cache, min(len(growths), TOGETHER), longest, self.kv_dtype)
        made = Stream(growths, grow(growths, self._engine, cache, self.threads), single)
        return made if stream else made.result()

    def perplexity(self, tokens: ArrayLike, window: int = 512) -> float:
        """Say how well it foresees a text: the lower the better, 1 at the least.

        Parameters
        ----------
        tokens : array_like of integers, shape (n,)
            The text. It is cut into windows that do not overlap; what is left is not looked at.
        window : int, default 512
            Tokens to a window, at least 2. Each window is read from its beginning, as if nothing
            came before.

        Returns
        -------
        float
            The exponential of the mean over windows of the mean of -log p over their tokens but the
            first: as if so many next tokens were equally likely.

        Raises
        ------
        DomainError
            If there is no whole window, it is longer than the model's context, or a token is not in
            the vocabulary.
        DTypeError
            If tokens are no integers.
        ShapeError
            If they are of more than one sequence.
        KeyboardInterrupt
            If Ctrl-C is pressed meanwhile.

        Examples
        --------
        >>> import numpy as np
        >>> import threadwise as tw
        >>> folder = tw.samples.path("stdlib-mistral-2.8m")
        >>> tokens = np.load(folder / "heldout_tokens.npy")
        >>> round(tw.models.load(folder).perplexity(tokens[:2048]), 2)
        9.22
        """
        losses = window_losses(
            self._engine,
            windows_of(ids_of("tokens", tokens), window, self.max_context),
            vocabulary=self.config.vocab_size,
            kv_dtype=self.kv_dtype,
            threads=self.threads,
        )
        return math.exp(math.fsum(losses) / len(losses))

    def _growths(
        self, prompt: Any, limit: int, sampling: Sampling, seed: Any, stops: tuple[str, ...]
    ) -> tuple[list[Growth], bool]:
        """Return what is to grow, and whether it is one prompt's alone."""
        given, single = prompts(prompt)
        is_text = bool(stops) or any(isinstance(each, str) for each in given)
        tokenizer = self.tokenizer if is_text else self._tokenizer_if_any()
        growths = []
        for index, (each, one) in enumerate(zip(given, seeds(seed, len(given)), strict=True)):
            name = "prompt" if single else f"prompt[{index}]"
            ids = self._ids(name, each) if isinstance(each, str) else each
            if len(ids) + limit > self.max_context:
                raise DomainError(
                    f"{name} has {len(ids)} tokens and max_new_tokens is {limit}, together more "
                    f"than the {self.max_context} that the model is loaded for (max_context)"
                )
            growths.append(
                Growth(
                    ids,
                    index=index,
                    text=None if tokenizer is None else Text(tokenizer, ids.tolist(), stops),
                    sampling=sampling,
                    seed=one,
                    ends=frozenset(self.config.eos_token_ids),
                    limit=limit,
                    vocabulary=self.config.vocab_size,
                )
            )
        return growths, single

    def _ids(self, name: str, text: str) -> Ids:
        """Return the tokens of a text; of an empty one, that before a text."""
        found = self.tokenizer.encode(text).ids
        if not found and self.config.bos_token_id is not None:
            found = [self.config.bos_token_id]
        return ids_of(name, np.array(found, np.int64))

    def _tokenizer_if_any(self) -> Any:
        try:
            return self.tokenizer
        except (FormatError, ModuleNotFoundError):
            return None

    def __repr__(self) -> str:
        config = self.config
        return (
            f"<{config.architecture} of {config.parameters / 1e6:.1f} million parameters in "
            f"{self.nbytes / 1e6:.1f} MB, {self._folder}>"
        )
