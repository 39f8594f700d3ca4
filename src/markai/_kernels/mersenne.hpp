#pragma once
#include <cstddef>
#include <cstdint>

namespace markai {

// The shuffles of PyTorch's generator on a CPU, out of which the green lists of others are made; mersenne_reference.py
// says what they are and why.

// Shuffles of more than this many values are made in another way.
constexpr std::size_t kMostShuffled = 0xffffffff / 20 - 1;

// 0 to n - 1, shuffled.
void randperm(std::uint32_t seed, std::size_t n, std::int64_t* shuffled);

// Where each of `count` tokens, below `vocabulary`, comes in the shuffle of the vocabulary under its own seed, but at most
// `limit`. Every change of seed costs `limit` steps of the shuffle, every token a look through them; 12 limit bytes of memory.
void randperm_ranks(const std::uint32_t* seeds, const std::uint32_t* tokens, std::size_t count, std::size_t vocabulary,
                    std::size_t limit, std::int64_t* ranks);

}  // namespace markai
