#pragma once
#include <cstddef>
#include <cstdint>

namespace markai {

constexpr std::size_t kPolarMaxList = 64;
constexpr std::size_t kPolarMaxLength = 16384;  // longer ones could add 1e30 up to infinity

// Polar transform (Arikan 2009, without bit reversal): u F over GF(2), F the Kronecker power log2(n) of [[1, 0], [1, 1]].
// It is its own inverse. `bits` and `out` hold n values 0 or 1 and may be the same array.
// False, and nothing written, where n is not a power of two up to kPolarMaxLength.
bool polar_encode(const std::uint8_t* bits, std::size_t n, std::uint8_t* out) noexcept;

// Successive-cancellation list decoding (Tal and Vardy 2015) of n log-likelihood ratios, positive for bit 0.
// frozen[i] != 0 says that u[i] is 0. Writes list_size rows of n decoded bits u to `bits`, best first, and their path
// metrics (smaller is better, never negative) to `metrics`; rows that the code has too few words for are 0, their
// metric is infinite. LLRs beyond +-1e30 count as +-1e30 and NaN as 0, so every input has one defined answer.
// False, and nothing written, where n is no power of two up to kPolarMaxLength, list_size is not 1..kPolarMaxList,
// or there is no memory. It allocates about 7 n list_size bytes, in two blocks.
bool polar_list_decode(const float* llr, const std::uint8_t* frozen, std::size_t n, std::size_t list_size,
                       std::uint8_t* bits, float* metrics) noexcept;

}  // namespace markai
