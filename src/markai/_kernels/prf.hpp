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

// One row each, of the tokens 0 to size - 1.

void vocabulary_words(const std::uint32_t* state, std::uint32_t lane, std::size_t size, std::uint32_t* words);

// Adds delta where the word is under `below`, at most 2^32.
void add_bias(float* logits, std::size_t size, const std::uint32_t* state, std::uint32_t lane, std::uint64_t below,
              float delta);

// Adds delta where the low half of the token's anchor word among `h` states is under `below`, at most 2^16.
void add_bias_self(float* logits, std::size_t size, const std::uint32_t* neighbours, std::size_t h, std::uint32_t lane,
                   std::uint32_t below, float delta);

// The first token with the largest logit plus Gumbel noise, -1 where no logit is above -inf.
std::int64_t gumbel_choice(const float* logits, std::size_t size, const std::uint32_t* state, std::uint32_t lane);

}  // namespace markai
