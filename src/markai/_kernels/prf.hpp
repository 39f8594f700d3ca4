#pragma once
#include <cstddef>
#include <cstdint>

namespace markai {

// The keyed random words that text marks are made of; text_reference.py says what they are and why. A state is four words,
// tokens and lanes are one each.

constexpr std::size_t kMostTokensOfContext = 64, kMostNeighbours = 16;

// The state of each of `n` windows of `w` words.
void context_states(const std::uint64_t* key, const std::uint32_t* windows, std::size_t n, std::size_t w,
                    std::uint32_t* states);

// The word of each of `n` tokens, in its own state and lane.
void token_words(const std::uint32_t* states, const std::uint32_t* tokens, const std::uint32_t* lanes, std::size_t n,
                 std::uint32_t* words);

// Of each token's words in `h` states the one with the smallest high half, the first of equals.
void self_words(const std::uint32_t* neighbours, std::size_t h, const std::uint32_t* tokens, const std::uint32_t* lanes,
                std::size_t n, std::uint32_t* words);

// The words of one token in the lanes first to first + n - 1.
void lane_words(const std::uint32_t* state, std::uint32_t token, std::uint32_t first, std::size_t n, std::uint32_t* words);

// The words of the tokens first to first + n - 1 in one state and lane; `first` is a multiple of 4.
void vocabulary_words(const std::uint32_t* state, std::uint32_t lane, std::size_t first, std::size_t n,
                      std::uint32_t* words);

}  // namespace markai
