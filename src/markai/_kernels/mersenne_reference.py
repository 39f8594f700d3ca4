"""NumPy oracle of mersenne.cpp: the shuffles of PyTorch on a CPU. The same signatures and the same numbers.

Green lists of others are the first entries of ``torch.randperm``, so that to read their marks is to shuffle as it does.
Its generator is MT19937 (Matsumoto and Nishimura 1998), seeded with the low 32 bits of the seed by ``init_genrand``.
Its shuffle is Fisher's and Yates': step i swaps places i and i + word % (n - i). That holds for n up to 2**32 / 20.
"""

import numpy as np
from numpy.typing import NDArray

Words = NDArray[np.uint32]
Wide = NDArray[np.int64]

STATE = 624
MOST_SHUFFLED = 0xFFFFFFFF // 20 - 1


def mersenne_words(seed: int, count: int) -> Words:
    """Return the first ``count`` words, uint32, of MT19937 under a seed, of which the low 32 bits count.

    >>> mersenne_words(5489, 2)
    array([3499211612,  581869302], dtype=uint32)
    """
    state = [seed & 0xFFFFFFFF]
    for i in range(1, STATE):
        state.append((1812433253 * (state[-1] ^ state[-1] >> 30) + i) & 0xFFFFFFFF)
    generator = np.random.MT19937()
    generator.state = {"bit_generator": "MT19937", "state": {"key": np.array(state, np.uint32), "pos": STATE}}
    return np.asarray(generator.random_raw(count)).astype(np.uint32)


def randperm(seed: int, n: int) -> Wide:
    """Return 0 to n - 1, int64, as ``torch.randperm`` shuffles them under a seed below 2**32.

    >>> randperm(0, 5)
    array([4, 0, 1, 3, 2])

    Raises:
        ValueError: if n is negative or above 2**32 / 20.
    """
    if not 0 <= n <= MOST_SHUFFLED:
        raise ValueError(f"n must be 0 to {MOST_SHUFFLED}")
    shuffled = list(range(n))
    for i, partner in enumerate(_partners(seed, n, max(0, n - 1)).tolist()):
        shuffled[i], shuffled[partner] = shuffled[partner], shuffled[i]
    return np.array(shuffled, np.int64)


def randperm_ranks(seeds: Words, tokens: Words, vocabulary: int, limit: int) -> Wide:
    """Return where tokens (n,) uint32 come in ``randperm(seed, vocabulary)`` of their seeds (n,) uint32, int64 (n,).

    Places of ``limit`` and above are given as ``limit``. The same seed again in the next row is for free.

    >>> seeds, tokens = np.zeros(5, np.uint32), np.arange(5, dtype=np.uint32)
    >>> randperm_ranks(seeds, tokens, 5, 5), randperm_ranks(seeds, tokens, 5, 2)
    (array([1, 2, 4, 3, 0]), array([1, 2, 2, 2, 0]))

    Raises:
        ValueError: if the lengths differ, ``vocabulary`` is not 1 to 2**32 / 20, a token not below it, or ``limit``
            negative.
    """
    if tokens.ndim != 1 or seeds.shape != tokens.shape:
        raise ValueError("seeds and tokens must be (n,)")
    if not 1 <= vocabulary <= MOST_SHUFFLED or limit < 0 or (tokens >= vocabulary).any():
        raise ValueError(f"vocabulary must be 1 to {MOST_SHUFFLED}, tokens below it, limit 0 or more")
    ranks = np.empty(len(tokens), np.int64)
    last, partners = -1, np.empty(0, np.int64)
    for row, (seed, token) in enumerate(zip(seeds.tolist(), tokens.tolist(), strict=True)):
        if seed != last:
            last, partners = seed, _partners(seed, vocabulary, min(limit, vocabulary - 1))
        ranks[row] = _rank(partners, token, limit)
    return ranks


def _partners(seed: int, n: int, steps: int) -> Wide:
    # The place that each of the first steps swaps with its own.
    places = np.arange(steps)
    return places + mersenne_words(seed, steps) % (n - places)


def _rank(partners: Wide, token: int, limit: int) -> int:
    # A value stays where it is until a step meets its place, which settles it there, or comes to it, which moves it on.
    step, place = 0, token
    while True:
        met = np.flatnonzero(partners[step:place] == place)
        if len(met):
            return step + int(met[0])
        if place >= len(partners) or partners[place] == place:
            return min(place, limit)
        step, place = place + 1, int(partners[place])
