#include "prf.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "simd.hpp"

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
            v0 += v1, v2 += v3;
            v1 = rotated(v1, 13) ^ v0, v3 = rotated(v3, 16) ^ v2;
            v0 = rotated(v0, 32) + v3, v2 += v1;
            v3 = rotated(v3, 21) ^ v0, v1 = rotated(v1, 17) ^ v2;
            v2 = rotated(v2, 32);
        }
    }

    void take(Wide block) {
        v3 ^= block;
        rounds(2);
        v0 ^= block;
    }

    Wide finished(Wide& changed, Wide by) {
        changed ^= by;
        rounds(4);
        return v0 ^ v1 ^ v2 ^ v3;
    }
};

// Philox4x32-10 (Salmon et al. 2011).
using Block = std::array<Word, 4>;

inline Block philox(Block c, Word k0, Word k1) {
    for (Word round = 0; round < 10; ++round) {
        const Wide p0 = Wide(0xD2511F53) * c[0], p1 = Wide(0xCD9E8D57) * c[2];
        c = {Word(p1 >> 32) ^ c[1] ^ (k0 + round * 0x9E3779B9), Word(p1), Word(p0 >> 32) ^ c[3] ^ (k1 + round * 0xBB67AE85),
             Word(p0)};
    }
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

}  // namespace

void context_states(const Wide* key, const Word* windows, std::size_t n, std::size_t w, Word* states) {
    for (std::size_t i = 0; i < n; ++i) {
        const Word* window = windows + i * w;
        SipHash hash(key[0], key[1]);
        for (std::size_t k = 0; k + 1 < w; k += 2) hash.take(window[k] | Wide(window[k + 1]) << 32);
        hash.take((w % 2 ? window[w - 1] : 0) | Wide(4 * w) << 56);
        const Wide halves[2] = {hash.finished(hash.v2, 0xee), hash.finished(hash.v1, 0xdd)};
        for (std::size_t k = 0; k < 4; ++k) states[4 * i + k] = Word(halves[k / 2] >> 32 * (k % 2));
    }
}

void token_words(const Word* states, const Word* tokens, const Word* lanes, std::size_t n, Word* words) {
    for (std::size_t i = 0; i < n; ++i) words[i] = token_word(states + 4 * i, tokens[i], lanes[i]);
}

void self_words(const Word* neighbours, std::size_t h, const Word* tokens, const Word* lanes, std::size_t n, Word* words) {
    for (std::size_t i = 0; i < n; ++i) words[i] = anchor(neighbours + 4 * h * i, h, tokens[i], lanes[i]);
}

void vocabulary_words(const Word* state, Word lane, std::size_t size, Word* words) {
    for (std::size_t t = 0; t < size; ++t) words[t] = token_word(state, Word(t), lane);
}

void add_bias(float* logits, std::size_t size, const Word* state, Word lane, Wide below, float delta) {
    for (std::size_t t = 0; t < size; ++t)
        if (token_word(state, Word(t), lane) < below) logits[t] += delta;
}

void add_bias_self(float* logits, std::size_t size, const Word* neighbours, std::size_t h, Word lane, Word below,
                   float delta) {
    for (std::size_t t = 0; t < size; ++t)
        if ((anchor(neighbours, h, Word(t), lane) & 0xffff) < below) logits[t] += delta;
}

std::int64_t gumbel_choice(const float* logits, std::size_t size, const Word* state, Word lane) {
    double best = -std::numeric_limits<double>::infinity();
    std::int64_t choice = -1;
    for (std::size_t t = 0; t < size; ++t) {
        const double noise = -std::log(-std::log((token_word(state, Word(t), lane) + 0.5) / 4294967296.0));
        if (double(logits[t]) + noise > best) best = double(logits[t]) + noise, choice = std::int64_t(t);
    }
    return choice;
}

}  // namespace markai
