#include "logits.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "prf.hpp"
#include "simd.hpp"

namespace markai {
namespace {

using Word = std::uint32_t;

constexpr std::size_t kChunk = 1024;  // tokens whose words are made at once: 4 KiB, which stay in the first cache

// Adds delta where the masked word is at most `last`. Chosen, not added as 0: -0 + 0 is 0.
MARKAI_CLONES void add_where(float* __restrict logits, const Word* __restrict words, std::size_t n, Word mask, Word last,
                             float delta) {
    for (std::size_t i = 0; i < n; ++i) {
        const float raised = logits[i] + delta;
        logits[i] = (words[i] & mask) <= last ? raised : logits[i];
    }
}

MARKAI_CLONES void keep_anchors(Word* __restrict anchors, const Word* __restrict words, std::size_t n) {
    for (std::size_t i = 0; i < n; ++i) anchors[i] = words[i] >> 16 < anchors[i] >> 16 ? words[i] : anchors[i];
}

// -ln(-ln(u)) is highest for the largest word, 33 ln 2 = 22.874.
constexpr float kMostNoise = 22.9f;

double noise(Word word) { return -std::log(-std::log((word + 0.5) / 4294967296.0)); }

// At least the noise, without logarithms, so that few words need any; 0.06 too high for large words, 1 for small ones.
// As -ln(u) >= 1 - u, the noise is at most -ln(1 - u). The 24 high bits of the inverted word are 2^24 (1 - u) rounded down,
// and as 2^e (1 + m) >= 2^(e + m), -ln(1 - u) is at most ln 2 (24 - e - m) for their exponent e and mantissa m. Read as an
// integer, a float is 2^23 (127 + e + m). Rounding takes off 3e-5 at most, which 1e-4 makes good.
inline float noise_bound(Word word) {
    const float left = float(std::int32_t(~word >> 8));
    std::int32_t bits;
    std::memcpy(&bits, &left, sizeof bits);
    constexpr double kLn2 = 0.6931471805599453;
    return float(kLn2 * (127 + 24) + 1e-4) - float(kLn2 / 8388608) * float(bits);
}

// Whether any logit with the most noise there is may reach the threshold.
MARKAI_CLONES bool within_reach(const float* logits, std::size_t n, float threshold) {
    int any = 0;
    for (std::size_t i = 0; i < n; ++i) any |= logits[i] + kMostNoise >= threshold;
    return any;
}

// The same with what noise each may have.
MARKAI_CLONES bool within_reach(const float* logits, const Word* words, std::size_t n, float threshold) {
    int any = 0;
    for (std::size_t i = 0; i < n; ++i) any |= logits[i] + noise_bound(words[i]) >= threshold;
    return any;
}

// The largest float not above a score. Rounding keeps order: what beats the score in doubles reaches this in floats.
float floor_of(double score) {
    const float nearest = float(score);
    return nearest > score ? std::nextafter(nearest, -std::numeric_limits<float>::infinity()) : nearest;
}

}  // namespace

void add_bias(float* logits, std::size_t size, const Word* state, Word lane, std::uint64_t below, float delta) {
    if (below == 0) return;
    Word words[kChunk];
    for (std::size_t t = 0; t < size; t += kChunk) {
        const std::size_t n = std::min(kChunk, size - t);
        vocabulary_words(state, lane, t, n, words);
        add_where(logits + t, words, n, 0xffffffff, Word(below - 1), delta);
    }
}

void add_bias_self(float* logits, std::size_t size, const Word* neighbours, std::size_t h, Word lane, Word below,
                   float delta) {
    if (below == 0) return;
    Word anchors[kChunk], words[kChunk];
    for (std::size_t t = 0; t < size; t += kChunk) {
        const std::size_t n = std::min(kChunk, size - t);
        vocabulary_words(neighbours, lane, t, n, anchors);
        for (std::size_t i = 1; i < h; ++i) {
            vocabulary_words(neighbours + 4 * i, lane, t, n, words);
            keep_anchors(anchors, words, n);
        }
        add_where(logits + t, anchors, n, 0xffff, below - 1, delta);
    }
}

std::int64_t gumbel_choice(const float* logits, std::size_t size, const Word* state, Word lane) {
    constexpr std::size_t kGroup = 256;  // tokens that are looked at one by one where one of them may win
    double best = -std::numeric_limits<double>::infinity();
    float threshold = std::numeric_limits<float>::lowest();  // any finite logit reaches it, -inf and NaN do not
    std::int64_t choice = -1;
    Word words[kGroup];
    for (std::size_t t = 0; t < size; t += kGroup) {
        const std::size_t n = std::min(kGroup, size - t);
        if (!within_reach(logits + t, n, threshold)) continue;
        vocabulary_words(state, lane, t, n, words);
        if (!within_reach(logits + t, words, n, threshold)) continue;
        for (std::size_t i = 0; i < n; ++i) {
            if (!(logits[t + i] + noise_bound(words[i]) >= threshold)) continue;
            const double score = double(logits[t + i]) + noise(words[i]);
            if (!(score > best)) continue;
            best = score;
            threshold = floor_of(score);
            choice = std::int64_t(t + i);
        }
    }
    return choice;
}

}  // namespace markai
