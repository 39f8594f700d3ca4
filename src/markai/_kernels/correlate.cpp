#include "correlate.hpp"

#include <algorithm>
#include <cmath>
#include <memory>
#include <numeric>
#include <vector>

#include "simd.hpp"

namespace markai {
namespace {

constexpr std::size_t kLanes = 32;  // rows side by side: two sums of four AVX registers each, enough to hide latencies
constexpr std::size_t kBands = kGrid / kLanes;
constexpr std::size_t kHalf = kGrid / 2, kQuarter = kGrid / 4;
constexpr std::size_t kApart = 2;                  // shifts around a peak that is taken
constexpr std::size_t kCircle = kGrid * kFiner;  // angles there are

struct Turns {
    float cosine[kCircle], sine[kCircle];              // of 2 pi i / kCircle
    float cosines[kGrid][kGrid], sines[kGrid][kGrid];  // of 2 pi i k / kGrid

    Turns() {
        for (std::size_t i = 0; i < kCircle; ++i) {
            const double angle = 6.283185307179586 * double(i) / double(kCircle);
            cosine[i] = float(std::cos(angle));
            sine[i] = float(std::sin(angle));
        }
        for (std::size_t i = 0; i < kGrid; ++i)
            for (std::size_t k = 0; k < kGrid; ++k) {
                cosines[i][k] = cosine[i * k * kFiner % kCircle];
                sines[i][k] = sine[i * k * kFiner % kCircle];
            }
    }
};

const Turns& turns() {
    static const Turns instance;
    return instance;
}

// A band of kLanes rows y after the transform along y: column fx at re[fx], im[fx].
struct Columns {
    float re[kMostCycles][kLanes], im[kMostCycles][kLanes];
};

// Adds a wave of amplitude (re, im) and, in each row, that cosine and sine.
MARKAI_CLONES void add_wave(float re, float im, const float* cosine, const float* sine, float* __restrict to_re,
                            float* __restrict to_im) {
    for (std::size_t j = 0; j < kLanes; ++j) {
        to_re[j] += re * cosine[j] - im * sine[j];
        to_im[j] += re * sine[j] + im * cosine[j];
    }
}

// score[x][j] += |Re sum over f of column f * exp(2 pi i f x / kGrid)|. A direct transform, for there are few f: cosines
// and sines of even and of odd f, summed for one x, serve x, -x and what is half a period from them.
MARKAI_CLONES void add_group(const Columns& columns, std::size_t number, const Turns& turn, float (*score)[kLanes]) {
    float part[2][2][kLanes];  // of even and of odd f: cosines, sines
    for (std::size_t x = 0; x <= kQuarter; ++x) {
        for (std::size_t odd = 0; odd < 2; ++odd) {
            float c[kLanes], s[kLanes];
            for (std::size_t j = 0; j < kLanes; ++j) c[j] = columns.re[odd][j] * turn.cosines[x][odd];
            for (std::size_t j = 0; j < kLanes; ++j) s[j] = columns.im[odd][j] * turn.sines[x][odd];
            for (std::size_t f = odd + 2; f < number; f += 2)
                for (std::size_t j = 0; j < kLanes; ++j) {
                    c[j] += columns.re[f][j] * turn.cosines[x][f];
                    s[j] += columns.im[f][j] * turn.sines[x][f];
                }
            for (std::size_t j = 0; j < kLanes; ++j) part[odd][0][j] = c[j];
            for (std::size_t j = 0; j < kLanes; ++j) part[odd][1][j] = s[j];
        }
        const auto& [even, odd] = part;
        for (std::size_t j = 0; j < kLanes; ++j) {
            const float same = even[0][j] - even[1][j], turned = odd[0][j] - odd[1][j];
            score[x][j] += std::fabs(same + turned);
            score[x + kHalf][j] += std::fabs(same - turned);
        }
        if (x == 0 || x == kQuarter) continue;  // mirrored, the same two
        for (std::size_t j = 0; j < kLanes; ++j) {
            const float same = even[0][j] + even[1][j], turned = odd[0][j] + odd[1][j];
            score[kGrid - x][j] += std::fabs(same + turned);
            score[kHalf - x][j] += std::fabs(same - turned);
        }
    }
}

MARKAI_CLONES void find_maxima(const float (*score)[kLanes], float* __restrict most) {
    float largest[kLanes] = {};
    for (std::size_t x = 0; x < kGrid; ++x)
        for (std::size_t j = 0; j < kLanes; ++j) largest[j] = largest[j] < score[x][j] ? score[x][j] : largest[j];
    std::copy_n(largest, kLanes, most);
}

struct Shift {
    std::size_t y, x;
};

// The score of every shift: row y is lane y % kLanes of band y / kLanes.
struct Scores {
    float value[kBands][kGrid][kLanes];
    float most[kGrid];  // of each row

    float& at(Shift s) { return value[s.y / kLanes][s.x][s.y % kLanes]; }

    // Returns the place of the largest, of equal ones the first, and clears what is around it.
    Shift take() {
        Shift best{std::size_t(std::max_element(most, most + kGrid) - most), 0};
        while (best.x + 1 < kGrid && at(best) < most[best.y]) ++best.x;
        for (std::size_t i = kGrid - kApart; i <= kGrid + kApart; ++i)
            for (std::size_t j = kGrid - kApart; j <= kGrid + kApart; ++j)
                at({(best.y + i) % kGrid, (best.x + j) % kGrid}) = 0;
        for (std::size_t band = 0; band < kBands; ++band) find_maxima(value[band], most + band * kLanes);
        return best;
    }
};

// Complex numbers, padded with zeros to whole registers.
struct Complexes {
    std::vector<float> re, im;

    explicit Complexes(std::size_t n) : re((n + 7) / 8 * 8), im(re.size()) {}
    void set(std::size_t i, std::size_t angle) {
        re[i] = turns().cosine[angle % kCircle];
        im[i] = turns().sine[angle % kCircle];
    }
};

MARKAI_CLONES void multiply(const Complexes& a, const Complexes& b, Complexes& out) {
    const float *ar = a.re.data(), *ai = a.im.data(), *br = b.re.data(), *bi = b.im.data();
    float *__restrict re = out.re.data(), *__restrict im = out.im.data();
    for (std::size_t i = 0; i < a.re.size(); ++i) {
        re[i] = ar[i] * br[i] - ai[i] * bi[i];
        im[i] = ar[i] * bi[i] + ai[i] * br[i];
    }
}

// Re sum of a[i] b[i].
MARKAI_CLONES float real_dot(const Complexes& a, const Complexes& b) {
    const float *ar = a.re.data(), *ai = a.im.data(), *br = b.re.data(), *bi = b.im.data();
    float sum[8] = {};
    for (std::size_t i = 0; i < a.re.size(); i += 8)
        for (std::size_t j = 0; j < 8; ++j) sum[j] += ar[i + j] * br[i + j] - ai[i + j] * bi[i + j];
    return ((sum[0] + sum[1]) + (sum[2] + sum[3])) + ((sum[4] + sum[5]) + (sum[6] + sum[7]));
}

// What is the same for all tiles: the waves by group, and how much they turn from one refined shift to the next.
class Search {
  public:
    explicit Search(const Waves& waves) : waves_(waves), by_group_(waves.waves) {
        std::iota(by_group_.begin(), by_group_.end(), std::size_t(0));
        std::stable_sort(by_group_.begin(), by_group_.end(),
                         [&](std::size_t a, std::size_t b) { return waves.group[a] < waves.group[b]; });
        for (std::size_t p = 0; p < waves.waves; ++p) columns_ = std::max(columns_, fx(p) + 1);
        for (std::size_t step = kCircle - kFiner; step <= kCircle + kFiner; ++step) {
            down_.emplace_back(waves.waves);
            across_.emplace_back(waves.waves);
            for (std::size_t p = 0; p < waves.waves; ++p) {
                down_.back().set(p, step * fy(p));
                across_.back().set(p, step * fx(p));
            }
        }
    }

    void score(const float* amplitudes, Scores& scores) const {
        Columns columns;
        for (std::size_t band = 0; band < kBands; ++band) {
            std::fill_n(&scores.value[band][0][0], kGrid * kLanes, 0.0f);
            for (std::size_t k = 0; k < waves_.waves;) {
                std::fill_n(&columns.re[0][0], columns_ * kLanes, 0.0f);
                std::fill_n(&columns.im[0][0], columns_ * kLanes, 0.0f);
                const std::int32_t group = waves_.group[by_group_[k]];
                for (; k < waves_.waves && waves_.group[by_group_[k]] == group; ++k) {
                    const std::size_t p = by_group_[k], f = fy(p) % kGrid, y = band * kLanes;
                    add_wave(amplitudes[2 * p], amplitudes[2 * p + 1], turns().cosines[f] + y, turns().sines[f] + y,
                             columns.re[fx(p)], columns.im[fx(p)]);
                }
                add_group(columns, columns_, turns(), scores.value[band]);
            }
            find_maxima(scores.value[band], scores.most + band * kLanes);
        }
    }

    // Writes the groups' sums at a shift, and the refined shift where the sum with their signs is largest.
    void measure(const float* amplitudes, Shift at, float* shift, float* sums) const {
        Complexes wave(waves_.waves), there(waves_.waves), turned(waves_.waves);
        for (std::size_t p = 0; p < waves_.waves; ++p) {
            wave.re[p] = amplitudes[2 * p];
            wave.im[p] = amplitudes[2 * p + 1];
            there.set(p, kFiner * (fy(p) * at.y + fx(p) * at.x));
        }
        multiply(wave, there, turned);
        std::fill_n(sums, waves_.groups, 0.0f);
        for (std::size_t p = 0; p < waves_.waves; ++p) sums[waves_.group[p]] += turned.re[p];
        for (std::size_t p = 0; p < waves_.waves; ++p) {
            const float sign = sums[waves_.group[p]] < 0 ? -1.0f : 1.0f;
            wave.re[p] = sign * turned.re[p];
            wave.im[p] = sign * turned.im[p];
        }
        float largest = -INFINITY;
        for (std::size_t i = 0; i < down_.size(); ++i) {
            multiply(wave, down_[i], turned);
            for (std::size_t j = 0; j < across_.size(); ++j)
                if (const float sum = real_dot(turned, across_[j]); sum > largest) {
                    largest = sum;
                    shift[0] = float(at.y) + (float(i) - float(kFiner)) / float(kFiner);
                    shift[1] = float(at.x) + (float(j) - float(kFiner)) / float(kFiner);
                }
        }
    }

  private:
    // Unsigned arithmetic wraps at a power of two, and so do the angles: negative frequencies need no care.
    std::size_t fy(std::size_t p) const { return std::size_t(waves_.frequencies[2 * p]); }
    std::size_t fx(std::size_t p) const { return std::size_t(waves_.frequencies[2 * p + 1]); }

    const Waves& waves_;
    std::vector<std::size_t> by_group_;
    std::size_t columns_ = 2;  // one even and one odd at least
    std::vector<Complexes> down_, across_;
};

}  // namespace

void strongest_shifts(const Waves& waves, std::size_t count, float* shifts, float* sums) {
    const Search search(waves);
    const auto scores = std::make_unique<Scores>();
    for (std::size_t tile = 0; tile < waves.tiles; ++tile) {
        const float* amplitudes = waves.amplitudes + tile * waves.waves * 2;
        search.score(amplitudes, *scores);
        for (std::size_t k = tile * count; k < (tile + 1) * count; ++k)
            search.measure(amplitudes, scores->take(), shifts + 2 * k, sums + waves.groups * k);
    }
}

}  // namespace markai
