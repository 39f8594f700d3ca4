"""``TextMark``: one key and one scheme, to write with and to read with."""

from collections.abc import Collection
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray

from markai.errors import KeyFileError, MethodError
from markai.keys import Key
from markai.text.base import Ids, Reading, Scores
from markai.text.contexts import last_windows, met_before
from markai.text.detector import detect
from markai.text.message import LENGTH, VALUES, Word, decode, encode
from markai.text.prf import LANE_BYTE, LANE_PRESENCE, Dealer
from markai.text.processor import Processor, Sampling
from markai.text.result import TextDetection
from markai.text.schemes import SCHEMES, Scheme

if TYPE_CHECKING:
    from markai.text.device import Writer

MOST_WIDTH = 16
WIDTH_WITH_PAYLOAD = 2  # an edit costs as many tokens more; with 1 a third of the windows are repetitions
AT_ONCE = 4096  # tokens, each in 256 lanes: 4 MB
MOST_BYTE_WEIGHT = 2  # tokens with 1 nat or more count alike for a message: in edited text much choice is no choice


class TextMark:
    """A mark in text under a key: ``step`` or ``processor`` write it, ``detect`` finds it.

    ``scheme`` is "bias", "gumbel" or "tournament", with its parameters (``width``, ``gamma``, ``delta``, ``hashing``,
    ``layers``) as keywords. ``payload`` (1 to 4 bytes) is what the text carries; without one the mark says only that
    it is there. To read a payload, any will do: ``TextMark(key, "gumbel", payload=True)``.

    >>> mark = TextMark(Key(bytes(32)), "bias", vocab_size=1000)
    >>> rng, ids = np.random.default_rng(1), [1, 2, 3]
    >>> for _ in range(60):
    ...     logits = mark.step(np.array([ids]), rng.normal(0, 1, (1, 1000)).astype("f4"))
    ...     ids.append(int(np.argmax(logits[0] + rng.gumbel(size=1000))))
    >>> mark.detect(ids, prompt=3).detected, TextMark(Key.generate(), "bias").detect(ids, prompt=3).detected
    (True, False)

    Raises:
        KeyFileError: if ``key`` is not a markai.Key.
        MethodError: if there is no such scheme, or a parameter is out of range.
        PayloadError: if the payload is not 1 to 4 bytes.
    """

    def __init__(
        self,
        key: Key,
        scheme: str = "bias",
        vocab_size: int | None = None,
        payload: bytes | Literal[True] | None = None,
        **parameters: Any,
    ) -> None:
        if not isinstance(key, Key):
            raise KeyFileError(f"a mark is made with one markai.Key, not {type(key).__name__} - markai.Key.load(path)")
        if scheme not in SCHEMES:
            raise MethodError(f"no scheme {scheme!r} for texts - choose from {', '.join(SCHEMES)}")
        if payload:
            parameters = {"width": WIDTH_WITH_PAYLOAD} | parameters
        try:
            self.scheme: Scheme = SCHEMES[scheme](**parameters)
        except TypeError as error:
            raise MethodError(f"the scheme {scheme} does not take {', '.join(parameters)}: {error}") from None
        if not 1 <= self.scheme.width <= MOST_WIDTH:
            raise MethodError(f"width {self.scheme.width} is out of range - a window has 1 to {MOST_WIDTH} tokens")
        self.vocab_size = vocab_size
        self.payload = payload
        self._key = key
        self._dealer = Dealer(key, self.scheme)
        self._code = encode(payload, key) if payload and payload is not True else None

    @property
    def name(self) -> str:
        """The scheme's name, by which results call the mark."""
        return self.scheme.name

    @property
    def key_id(self) -> str:
        """The id of the key."""
        return self._key.id

    @property
    def width(self) -> int:
        """How many tokens before a token decide its score."""
        return self.scheme.width

    @property
    def once(self) -> Literal["pair", "context"]:
        """What counts once in a text."""
        return self.scheme.once

    # Writing

    def step(self, ids: ArrayLike, logits: NDArray[np.floating[Any]]) -> NDArray[np.float32]:
        """Return the logits (b, v) or (v,) from which the next token is to be drawn after ids (b, t) or (t,).

        With "bias" some are raised. With "gumbel" all but one are -inf, with "tournament" most: these schemes draw
        the token themselves, from what temperature, top-k and top-p have left, so that they come last. Nothing is
        kept from one call to the next: rows may come in any order, and some may be new.

        Raises:
            MethodError: if the shapes do not go together, or the vocabulary is not that of the mark.
        """
        sequences, given = np.asarray(ids), np.asarray(logits)
        self.check(sequences.shape, given.shape)
        sequences, given = np.atleast_2d(sequences), np.ascontiguousarray(np.atleast_2d(given), np.float32)
        states = self._dealer.states(last_windows(sequences, self.width))
        rows = np.ones(len(given), np.bool_)
        if self.once == "context":
            rows = ~met_before(sequences, self.width)
        return self.scheme.write(given, states, self._lanes(states), rows).reshape(np.shape(logits))

    def processor(self, temperature: float = 1.0, top_k: int = 0, top_p: float = 1.0, min_p: float = 0.0) -> Processor:
        """Return ``step`` as the function that an engine calls with ids and logits: a logits processor.

        Arrays and tensors of any float type are taken, and come back as they were: arrays and tensors on the CPU
        through the kernels, other tensors on their device, without waiting for it. A bias may come anywhere among an
        engine's processors. "gumbel" and "tournament" draw the token, so that temperature and the like come before:

        - transformers applies a list of processors first, and its own temperature and top-k (50, if nobody says
          otherwise) to what they return. ``markai.integrations.transformers`` puts the mark last.
        - Where there is no such way, let the processor do it (``temperature``, ``top_k``, ``top_p`` and ``min_p`` are
          as in transformers) and the engine nothing: temperature 1, top-k 0, top-p 1, min-p 0.

        >>> processor = TextMark(Key(bytes(32)), "gumbel").processor(temperature=0.8, top_p=0.95)
        >>> int(np.isfinite(processor([1, 2, 3, 4], np.zeros(1000, np.float32))).sum())
        1

        Raises:
            MethodError: if a setting is out of range, or the mark has no payload to write, only reads one.
        """
        self._check_payload()
        return Processor(self, Sampling(temperature, top_k, top_p, min_p))

    def writer(self, device: Any) -> "Writer":
        """Return what writes the mark into tensors (b, v) on a device (PyTorch's), from windows of tokens.

        Raises:
            MethodError: if the mark has no payload to write, only reads one.
        """
        from markai.text.device import Writer

        self._check_payload()
        return Writer(self.scheme, self._dealer, self._code, device)

    def _lanes(self, states: Ids) -> Ids:
        self._check_payload()
        if self._code is None:
            return np.full(len(states), LANE_PRESENCE, np.uint32)
        return LANE_BYTE + self._code[self._dealer.places(states, LENGTH)].astype(np.uint32)

    def _check_payload(self) -> None:
        if self.payload and self._code is None:
            raise MethodError("this mark has no payload to write, only reads one - give payload=b'...'")

    def check(self, ids: tuple[int, ...], logits: tuple[int, ...]) -> None:
        """Check shapes: (b, t) and (b, v), or (t,) and (v,).

        Raises:
            MethodError: if they do not go together, or the vocabulary is not that of the mark.
        """
        if len(ids) not in (1, 2) or len(ids) != len(logits) or ids[:-1] != logits[:-1]:
            raise MethodError(f"ids {ids} and logits {logits} do not go together - pass (b, t) and (b, v)")
        if self.vocab_size is not None and logits[-1] != self.vocab_size:
            raise MethodError(
                f"the logits have {logits[-1]} tokens, this mark was made for vocab_size={self.vocab_size} - "
                "give the size of the logits, which may be more than that of the tokenizer"
            )

    # Reading

    @property
    def null(self) -> NDArray[np.float64]:
        """(K,) chances of the scores of a token that nobody marked."""
        return self.scheme.null

    def scores(self, windows: Ids, tokens: Ids) -> Scores:
        """Return the scores (n,) of tokens (n,) after windows (n, width), in the lane of marks without a payload."""
        lanes = np.full(len(tokens), LANE_PRESENCE, np.uint32)
        return self._scores(self._dealer.states(windows), tokens, lanes)

    def read(self, windows: Ids, tokens: Ids, weights: NDArray[np.int64]) -> list[Reading] | None:
        """Return the likeliest payload of each length with the scores of its word, or None for a mark without one.

        What a word is up against are all words that might have been found instead, so that whatever found it needs no
        further correction.
        """
        if not self.payload:
            return None
        states = self._dealer.states(windows)
        places = self._dealer.places(states, LENGTH)
        words = decode(self._sums(states, tokens, places, weights), self._key)
        return [self._reading(word, states, tokens, places) for word in words]

    def _sums(
        self, states: Ids, tokens: Ids, places: NDArray[np.int64], weights: NDArray[np.int64]
    ) -> NDArray[np.int64]:
        """Return the evidence (12, 256) for each value of each byte, a few thousand tokens at a time."""
        sums = np.zeros((LENGTH, VALUES))
        counted = np.minimum(weights, MOST_BYTE_WEIGHT)
        for start in range(0, len(tokens), AT_ONCE):
            part = slice(start, start + AT_ONCE)
            scores = self.scheme.scores(self._dealer.byte_words(states[part], tokens[part]))
            by_place = np.where(places[part] == np.arange(LENGTH)[:, None], counted[part], 0)
            sums += by_place.astype(np.float64) @ scores  # whole numbers far below 2**53
        return sums.astype(np.int64)

    def _reading(self, word: Word, states: Ids, tokens: Ids, places: NDArray[np.int64]) -> Reading:
        scores = self._scores(states, tokens, LANE_BYTE + word.values[places].astype(np.uint32))
        return Reading(scores, word.log2_rivals, word.payload if word.authentic else None)

    def _scores(self, states: Ids, tokens: Ids, lanes: Ids) -> Scores:
        words = self._dealer.words(states, tokens, lanes)
        scores = self.scheme.scores(words)
        if not self._dealer.by_neighbour:
            return scores
        # With self hashing two windows may have the deciding neighbour in common: the same word is no news.
        names = tokens.astype(np.uint64) << np.uint64(32) | words
        first = np.zeros(len(names), np.bool_)
        first[np.unique(names, return_index=True)[1]] = True
        return np.where(first, scores, -1)

    def detect(
        self,
        text: Any,
        tokenizer: Any = None,
        *,
        fpr: float = 1e-6,
        prompt: int = 0,
        special: Collection[int] = (),
        entropies: ArrayLike | None = None,
        surprisals: ArrayLike | None = None,
        scan: bool = True,
    ) -> TextDetection:
        """Return whether the mark is in a text: token ids (n,), or a str with its ``tokenizer``.

        See :func:`markai.text.detector.detect` for the keywords.

        Raises:
            MethodError: if a str comes without a tokenizer, or an argument is out of range.
        """
        from markai.text.tokens import encoded

        ids, markers = encoded(text, tokenizer)
        return detect(
            ids,
            [self],
            fpr,
            entropies=entropies,
            surprisals=surprisals,
            prompt=prompt,
            special={*special, *markers},
            scan=scan,
        )
