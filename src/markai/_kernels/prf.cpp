#include "prf.hpp"

#include <array>

#include "simd.hpp"

#if defined(__x86_64__) && defined(__GNUC__)
#define MARKAI_AVX2 __attribute__((target("avx2")))
#include <immintrin.h>
#endif

namespace markai {
namespace {

using Word = std::uint32_t;
using Wide = std::uint64_t;

// SipHash-2-4 with 128 bits of output (Aumasson and Bernstein 2012).
struct SipHash {
    Wide v0, v1, v2, v3;

    SipHash(Wide k0, Wide k1)
        : v0(k0 ^ 0x736f6d6570736575), v1(k1 ^ 0x646f72616e646f6d ^ 0xee), v2(k0 ^ 0x6c7967656e657261),
          v3(k1 ^ 0x7465646279746573) {}

    static Wide rotated(Wide x, int bits) { return x << bits | x >> (64 - bits); }

    void rounds(int count) {
        for (int i = 0; i < count; ++i) {
            v0 += v1;
            v2 += v3;
            v1 = rotated(v1, 13) ^ v0;
            v3 = rotated(v3, 16) ^ v2;
            v0 = rotated(v0, 32) + v3;
            v2 += v1;
            v3 = rotated(v3, 21) ^ v0;
            v1 = rotated(v1, 17) ^ v2;
            v2 = rotated(v2, 32);
        }
    }

    void take(Wide block) {
        v3 ^= block;
        rounds(2);
        v0 ^= block;
    }

    // One half of the output: 0xee into v2 for the first, then 0xdd into v1 for the second.
    Wide half(Wide& changed, Wide by) {
        changed ^= by;
        rounds(4);
        return v0 ^ v1 ^ v2 ^ v3;
    }
};

// Philox4x32-10 (Salmon et al. 2011): its multipliers, and what is added to the key in every round.
constexpr Word kMultiplier[2] = {0xD2511F53, 0xCD9E8D57}, kWeyl[2] = {0x9E3779B9, 0xBB67AE85};
constexpr std::size_t kRounds = 10;
using Block = std::array<Word, 4>;

inline Block philox(Block c, Word k0, Word k1) {
    unrolled<kRounds>([&](Word round) {
        const Wide p0 = Wide(kMultiplier[0]) * c[0], p1 = Wide(kMultiplier[1]) * c[2];
        c = {Word(p1 >> 32) ^ c[1] ^ (k0 + round * kWeyl[0]), Word(p1), Word(p0 >> 32) ^ c[3] ^ (k1 + round * kWeyl[1]),
             Word(p0)};
    });
    return c;
}

inline Word token_word(const Word* state, Word token, Word lane) {
    return philox({token >> 2, lane, state[2], state[3]}, state[0], state[1])[token & 3];
}

inline Word anchor(const Word* neighbours, std::size_t h, Word token, Word lane) {
    Word best = token_word(neighbours, token, lane);
    for (std::size_t i = 1; i < h; ++i) {
        const Word word = token_word(neighbours + 4 * i, token, lane);
        if (word >> 16 < best >> 16) best = word;
    }
    return best;
}

void blocks(const Word* state, Word lane, Word first, std::size_t n, Word* __restrict words) {
    for (std::size_t b = 0; b < n; ++b) {
        const Block block = philox({first + Word(b), lane, state[2], state[3]}, state[0], state[1]);
        unrolled<4>([&](auto i) { words[4 * b + i] = block[i]; });
    }
}

#ifdef MARKAI_AVX2
// The same for a multiple of kAtOnce blocks. By hand, because compilers do not get from 32-bit words to vpmuludq: 128,256
// words take 0.07 ms, in the loop above 0.21 with AVX2 and 0.12 with AVX-512. Words lie in the low halves of 64 bits, and
// what is above them does not matter, for vpmuludq does not read it. Two vectors at a time hide its latency (one: 0.08 ms).
constexpr std::size_t kAtOnce = 8;

MARKAI_AVX2 inline void philox_round(__m256i (&c)[4], const __m256i (&key)[2]) {
    const __m256i p0 = _mm256_mul_epu32(c[0], _mm256_set1_epi64x(kMultiplier[0]));
    const __m256i p1 = _mm256_mul_epu32(c[2], _mm256_set1_epi64x(kMultiplier[1]));
    c[0] = _mm256_xor_si256(_mm256_srli_epi64(p1, 32), _mm256_xor_si256(c[1], key[0]));
    c[1] = p1;
    c[2] = _mm256_xor_si256(_mm256_srli_epi64(p0, 32), _mm256_xor_si256(c[3], key[1]));
    c[3] = p0;
}

// Four blocks, of which the second and third change places.
MARKAI_AVX2 inline void store(const __m256i (&c)[4], Word* words) {
    const __m256i low = _mm256_blend_epi32(c[0], _mm256_slli_epi64(c[1], 32), 0xaa);
    const __m256i high = _mm256_blend_epi32(c[2], _mm256_slli_epi64(c[3], 32), 0xaa);
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(words), _mm256_unpacklo_epi64(low, high));
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(words + 8), _mm256_unpackhi_epi64(low, high));
}

MARKAI_AVX2 inline void round_keys(const Word* state, __m256i (&key)[kRounds][2]) {
    for (std::size_t i = 0; i < 2 * kRounds; ++i)
        key[i / 2][i % 2] = _mm256_set1_epi64x(state[i % 2] + Word(i / 2) * kWeyl[i % 2]);
}

MARKAI_AVX2 void blocks_avx2(const Word* state, Word lane, Word first, std::size_t n, Word* words) {
    __m256i key[kRounds][2];
    round_keys(state, key);
    const __m256i c1 = _mm256_set1_epi64x(lane), c2 = _mm256_set1_epi64x(state[2]), c3 = _mm256_set1_epi64x(state[3]);
    for (std::size_t b = 0; b < n; b += kAtOnce) {
        const __m256i index = _mm256_add_epi64(_mm256_set1_epi64x(first + b), _mm256_setr_epi64x(0, 2, 1, 3));
        __m256i one[4] = {index, c1, c2, c3}, other[4] = {_mm256_add_epi64(index, _mm256_set1_epi64x(4)), c1, c2, c3};
        for (const auto& round_key : key) {
            philox_round(one, round_key);
            philox_round(other, round_key);
        }
        store(one, words + 4 * b);
        store(other, words + 4 * b + 16);
    }
}

// The word of one token in a multiple of kAtOnce lanes.
MARKAI_AVX2 void lanes_avx2(const Word* state, Word token, Word first, std::size_t n, Word* words) {
    __m256i key[kRounds][2];
    round_keys(state, key);
    const __m256i c0 = _mm256_set1_epi64x(token >> 2), c2 = _mm256_set1_epi64x(state[2]), c3 = _mm256_set1_epi64x(state[3]);
    for (std::size_t b = 0; b < n; b += kAtOnce) {
        const __m256i lane = _mm256_add_epi64(_mm256_set1_epi64x(first + b), _mm256_setr_epi64x(0, 1, 2, 3));
        __m256i one[4] = {c0, lane, c2, c3}, other[4] = {c0, _mm256_add_epi64(lane, _mm256_set1_epi64x(4)), c2, c3};
        for (const auto& round_key : key) {
            philox_round(one, round_key);
            philox_round(other, round_key);
        }
        const __m256i low = _mm256_shuffle_epi32(one[token & 3], 0x08), high = _mm256_shuffle_epi32(other[token & 3], 0x08);
        const __m256i both = _mm256_unpacklo_epi64(low, high);  // of each four the first two, then the last two
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(words + b), _mm256_permute4x64_epi64(both, 0xd8));
    }
}
#endif

}  // namespace

void context_states(const Wide* key, const Word* windows, std::size_t n, std::size_t w, Word* states) {
    for (std::size_t i = 0; i < n; ++i) {
        const Word* window = windows + i * w;
        SipHash hash(key[0], key[1]);
        for (std::size_t k = 0; k + 1 < w; k += 2) hash.take(window[k] | Wide(window[k + 1]) << 32);
        hash.take((w % 2 ? window[w - 1] : 0) | Wide(4 * w) << 56);
        const Wide halves[2] = {hash.half(hash.v2, 0xee), hash.half(hash.v1, 0xdd)};
        for (std::size_t k = 0; k < 4; ++k) states[4 * i + k] = Word(halves[k / 2] >> 32 * (k % 2));
    }
}

void token_words(const Word* states, const Word* tokens, const Word* lanes, std::size_t n, Word* words) {
    for (std::size_t i = 0; i < n; ++i) words[i] = token_word(states + 4 * i, tokens[i], lanes[i]);
}

void self_words(const Word* neighbours, std::size_t h, const Word* tokens, const Word* lanes, std::size_t n, Word* words) {
    for (std::size_t i = 0; i < n; ++i) words[i] = anchor(neighbours + 4 * h * i, h, tokens[i], lanes[i]);
}

void lane_words(const Word* state, Word token, Word first, std::size_t n, Word* words) {
    std::size_t done = 0;
#ifdef MARKAI_AVX2
    if (__builtin_cpu_supports("avx2")) lanes_avx2(state, token, first, done = n / kAtOnce * kAtOnce, words);
#endif
    for (; done < n; ++done) words[done] = token_word(state, token, first + Word(done));
}

void vocabulary_words(const Word* state, Word lane, std::size_t first, std::size_t n, Word* words) {
    std::size_t done = 0;
#ifdef MARKAI_AVX2
    if (__builtin_cpu_supports("avx2")) {
        done = n / 4 / kAtOnce * kAtOnce;
        blocks_avx2(state, lane, Word(first / 4), done, words);
    }
#endif
    blocks(state, lane, Word(first / 4 + done), n / 4 - done, words + 4 * done);
    for (std::size_t t = n / 4 * 4; t < n; ++t) words[t] = token_word(state, Word(first + t), lane);
}

}  // namespace markai
