#pragma once
#include <cstddef>
#include <cstdint>

namespace markai {

// What text marks do to the logits of one row, with the words of prf.hpp for the tokens 0 to size - 1.

// Adds delta where the word is under `below`, at most 2^32.
void add_bias(float* logits, std::size_t size, const std::uint32_t* state, std::uint32_t lane, std::uint64_t below,
              float delta);

// Adds delta where the low half of the token's anchor word among `h` states is under `below`, at most 2^16.
void add_bias_self(float* logits, std::size_t size, const std::uint32_t* neighbours, std::size_t h, std::uint32_t lane,
                   std::uint32_t below, float delta);

// The first token with the largest logit plus Gumbel noise, -1 where no logit is above -inf.
std::int64_t gumbel_choice(const float* logits, std::size_t size, const std::uint32_t* state, std::uint32_t lane);

}  // namespace markai
