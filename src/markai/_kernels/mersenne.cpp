#include "mersenne.hpp"

#include <algorithm>
#include <numeric>
#include <utility>
#include <vector>

#include "simd.hpp"

namespace markai {
namespace {

using Word = std::uint32_t;
using Wide = std::uint64_t;

constexpr std::size_t kState = 624, kMiddle = 397;

inline Word twisted(Word high, Word low, Word other) {
    const Word y = (high & 0x80000000) | (low & 0x7fffffff);
    return other ^ y >> 1 ^ ((y & 1) ? 0x9908b0df : 0);
}

inline Word tempered(Word y) {
    y ^= y >> 11;
    y ^= y << 7 & 0x9d2c5680;
    y ^= y << 15 & 0xefc60000;
    return y ^ y >> 18;
}

// MT19937 (Matsumoto and Nishimura 1998), seeded as init_genrand does.
struct Mersenne {
    Word state[kState];

    explicit Mersenne(Word seed) {
        state[0] = seed;
        for (Word i = 1; i < kState; ++i) state[i] = 1812433253 * (state[i - 1] ^ state[i - 1] >> 30) + i;
    }

    // The next kState words, of which the first `count` are written.
    void next(Word* words, std::size_t count) {
        for (std::size_t i = 0; i < kState - kMiddle; ++i) state[i] = twisted(state[i], state[i + 1], state[i + kMiddle]);
        for (std::size_t i = kState - kMiddle; i + 1 < kState; ++i)
            state[i] = twisted(state[i], state[i + 1], state[i + kMiddle - kState]);
        state[kState - 1] = twisted(state[kState - 1], state[0], state[kMiddle - 1]);
        for (std::size_t i = 0; i < count; ++i) words[i] = tempered(state[i]);
    }
};

// Step i of a shuffle of n values swaps places i and i + word % (n - i). Division is a product with 2^64 / divisor, rounded
// up: exact where both are below 2^32 (Lemire, Kaser and Kurz, "Faster remainder by direct computation", 2019).
class Steps {
public:
    Steps(std::size_t n, std::size_t steps) : n_(n), partners_(steps), inverses_(steps) {
        for (std::size_t i = 0; i < steps; ++i) inverses_[i] = ~Wide(0) / (n - i) + 1;
    }

    const std::vector<Word>& under(Word seed) {
        fill(seed, Word(n_), partners_.data(), inverses_.data(), partners_.size());
        return partners_;
    }

private:
    MARKAI_CLONES static void fill(Word seed, Word n, Word* partners, const Wide* inverses, std::size_t steps) {
        Mersenne mersenne(seed);
        for (std::size_t start = 0; start < steps; start += kState) {
            const std::size_t count = std::min(kState, steps - start);
            mersenne.next(partners + start, count);
            for (std::size_t i = start; i < start + count; ++i) {
                const Word divisor = n - Word(i);
                const Wide fraction = inverses[i] * partners[i];
                // The high half of fraction * divisor, of 96 bits.
                const Wide low = (fraction & 0xffffffff) * divisor >> 32;
                partners[i] = Word(i) + Word(((fraction >> 32) * divisor + low) >> 32);
            }
        }
    }

    std::size_t n_;
    std::vector<Word> partners_;
    std::vector<Wide> inverses_;
};

// The first step of begin..end whose partner is `place`, or end.
MARKAI_CLONES std::size_t met(const Word* partners, std::size_t begin, std::size_t end, Word place) {
    constexpr std::size_t kBlock = 256;  // enough to vectorise the look for any of them
    for (; begin + kBlock <= end; begin += kBlock) {
        Word any = 0;
        for (std::size_t i = 0; i < kBlock; ++i) any |= Word(partners[begin + i] == place);
        if (any) break;
    }
    return std::size_t(std::find(partners + begin, partners + end, place) - partners);
}

// A value stays where it is until a step meets its place, which settles it there, or comes to it, which moves it on.
std::size_t rank(const std::vector<Word>& partners, Word token, std::size_t limit) {
    std::size_t step = 0, place = token;
    while (true) {
        const std::size_t end = std::min(place, partners.size());
        const std::size_t settled = met(partners.data(), step, end, Word(place));
        if (settled < end) return settled;
        if (place >= partners.size() || partners[place] == place) return std::min(place, limit);
        step = place + 1;
        place = partners[place];
    }
}

}  // namespace

void randperm(Word seed, std::size_t n, std::int64_t* shuffled) {
    std::iota(shuffled, shuffled + n, std::int64_t(0));
    if (n < 2) return;
    Steps steps(n, n - 1);
    const std::vector<Word>& partners = steps.under(seed);
    for (std::size_t i = 0; i + 1 < n; ++i) std::swap(shuffled[i], shuffled[partners[i]]);
}

void randperm_ranks(const Word* seeds, const Word* tokens, std::size_t count, std::size_t vocabulary, std::size_t limit,
                    std::int64_t* ranks) {
    if (!count) return;
    Steps steps(vocabulary, std::min(limit, vocabulary - 1));
    const std::vector<Word>* partners = nullptr;
    for (std::size_t i = 0; i < count; ++i) {
        if (i == 0 || seeds[i] != seeds[i - 1]) partners = &steps.under(seeds[i]);
        ranks[i] = std::int64_t(rank(*partners, tokens[i], limit));
    }
}

}  // namespace markai
