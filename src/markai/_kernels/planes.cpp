#include "planes.hpp"

#include <algorithm>
#include <type_traits>
#include <vector>

#include "simd.hpp"

namespace markai {
namespace {

// BT.601 luma in 1/256: integers, so that the sum over a cell is exact for 8 and 16 bits whatever the order.
constexpr std::int32_t kRed = 77, kGreen = 150, kBlue = 29, kWhole = kRed + kGreen + kBlue;

constexpr float kMost = 1 << 14;  // grey levels by which a cell may change: with a byte's value they fit 16 bits

template <class Sample>
constexpr bool kBytes = std::is_same_v<Sample, std::uint8_t>;
template <class Sample>
constexpr bool kFloats = std::is_same_v<Sample, float>;

// Sums of up to 64 samples, of as many lumas in 1/256, and of those over a cell. No 32 bits hold the last for 16-bit samples.
template <class Sample>
using Sum = std::conditional_t<kFloats<Sample>, float, std::conditional_t<kBytes<Sample>, std::uint16_t, std::int32_t>>;
template <class Sample>
using Luma = std::conditional_t<kFloats<Sample>, float, std::int32_t>;
template <class Sample>
using Total = std::conditional_t<kFloats<Sample>, double, std::conditional_t<kBytes<Sample>, std::int32_t, std::int64_t>>;
// What is added to a sample.
template <class Sample>
using Change = std::conditional_t<kFloats<Sample>, float, std::conditional_t<kBytes<Sample>, std::int16_t, std::int32_t>>;

// Calls f with the step as a constant where it is a common one: loops over the samples of a cell are short, and vectorise
// only where the compiler knows how short. 0 stands for any other.
template <class F>
void with_step(std::size_t step, F f) {
    switch (step) {
        case 2: return f(std::integral_constant<std::size_t, 2>());
        case 3: return f(std::integral_constant<std::size_t, 3>());
        case 4: return f(std::integral_constant<std::size_t, 4>());
        case 6: return f(std::integral_constant<std::size_t, 6>());
        case 8: return f(std::integral_constant<std::size_t, 8>());
        default: return f(std::integral_constant<std::size_t, 0>());
    }
}

template <class Sample>
MARKAI_CLONES void add_row(const Sample* __restrict row, std::size_t n, Sum<Sample>* __restrict sums) {
    for (std::size_t i = 0; i < n; ++i) sums[i] = Sum<Sample>(sums[i] + row[i]);
}

template <class Sample>
MARKAI_CLONES void luma_of(const Sum<Sample>* __restrict sums, std::size_t width, std::size_t channels,
                           Luma<Sample>* __restrict luma) {
    using L = Luma<Sample>;
    if (channels == 1)
        for (std::size_t x = 0; x < width; ++x) luma[x] = L(sums[x]) * L(kWhole);
    else
        for (std::size_t x = 0; x < width; ++x)
            luma[x] = L(sums[3 * x]) * L(kRed) + L(sums[3 * x + 1]) * L(kGreen) + L(sums[3 * x + 2]) * L(kBlue);
}

// Luma and its square, added up down the columns.
template <class Sample>
MARKAI_CLONES void add_luma(const Sample* __restrict row, std::size_t width, std::size_t channels,
                            Luma<Sample>* __restrict sums, float* __restrict squares) {
    using L = Luma<Sample>;
    const auto add = [=](std::size_t x, L luma) {
        sums[x] += luma;
        squares[x] += float(luma) * float(luma);
    };
    if (channels == 1)
        for (std::size_t x = 0; x < width; ++x) add(x, L(row[x]) * L(kWhole));
    else
        for (std::size_t x = 0; x < width; ++x)
            add(x, L(row[3 * x]) * L(kRed) + L(row[3 * x + 1]) * L(kGreen) + L(row[3 * x + 2]) * L(kBlue));
}

template <std::size_t kStep, class From, class To>
MARKAI_CLONES void sum_cells(const From* __restrict columns, std::size_t cells, std::size_t step, To* __restrict totals) {
    if (kStep) step = kStep;
    for (std::size_t x = 0; x < cells; ++x) {
        To total = 0;
        for (std::size_t i = 0; i < step; ++i) total += To(columns[x * step + i]);
        totals[x] = total;
    }
}

// One row of cells: samples go in row by row, means and spreads come out.
template <class Sample>
class CellRow {
 public:
    CellRow(const Picture<Sample>& p, std::size_t step, bool spread)
        : step_(step), channels_(p.channels), cells_(p.width / step), used_(cells_ * step), area_(double(step) * double(step)),
          unit_(double(p.scale) / kWhole), sums_(spread ? 0 : used_ * channels_), luma_(used_), squares_(spread ? used_ : 0),
          totals_(cells_), powers_(spread ? cells_ : 0) {}

    void add(const Sample* row) {
        if (squares_.empty()) add_row<Sample>(row, used_ * channels_, sums_.data());
        else add_luma<Sample>(row, used_, channels_, luma_.data(), squares_.data());
    }

    // Writes one row and starts the next; `spread` is null where none was asked for.
    void finish(float* means, float* spread) {
        if (squares_.empty()) luma_of<Sample>(sums_.data(), used_, channels_, luma_.data());
        with_step(step_, [&](auto k) {
            sum_cells<k.value>(luma_.data(), cells_, step_, totals_.data());
            if (!squares_.empty()) sum_cells<k.value>(squares_.data(), cells_, step_, powers_.data());
        });
        for (std::size_t x = 0; x < cells_; ++x) {
            const double mean = double(totals_[x]) * (unit_ / area_);
            means[x] = float(mean);
            if (spread) spread[x] = float(std::max(0.0, double(powers_[x]) * (unit_ * unit_ / area_) - mean * mean));
        }
        std::fill(sums_.begin(), sums_.end(), Sum<Sample>(0));
        std::fill(luma_.begin(), luma_.end(), Luma<Sample>(0));
        std::fill(squares_.begin(), squares_.end(), 0.0f);
    }

 private:
    std::size_t step_, channels_, cells_, used_;
    double area_, unit_;
    std::vector<Sum<Sample>> sums_;
    std::vector<Luma<Sample>> luma_;
    std::vector<float> squares_;
    std::vector<Total<Sample>> totals_;
    std::vector<double> powers_;
};

// Where row y lies between the centres of cells: `t` of the way from row `upper` to the next.
struct Between {
    std::size_t upper;
    float t;
};

Between between(std::size_t y, std::size_t step, std::size_t cells) {
    const float at = (float(y) + 0.5f) / float(step) - 0.5f;
    if (at <= 0) return {0, 0.0f};
    const auto upper = std::min(std::size_t(at), cells - 1);
    return {upper, at - float(upper)};
}

// A row of cells to one value per sample of a row. Between the centres of two
// cells lie `step` samples, with the same weights for every pair of cells.
template <std::size_t kStep>
MARKAI_CLONES void widen(const float* __restrict row, std::size_t cells, std::size_t step, const float* __restrict weights,
                         std::size_t width, float* __restrict out) {
    if (kStep) step = kStep;
    const std::size_t first = step / 2;
    std::fill_n(out, first, row[0]);
    out += first;
    for (std::size_t x = 0; x + 1 < cells; ++x)
        for (std::size_t i = 0; i < step; ++i) out[x * step + i] = row[x] + (row[x + 1] - row[x]) * weights[i];
    std::fill(out + (cells - 1) * step, out - first + width, row[cells - 1]);
}

// What to add to each sample of a row in one channel: rounded down after adding a half, as the sum with a whole sample is.
template <class Sample>
MARKAI_CLONES void changes(const float* __restrict above, const float* __restrict below, float t, std::size_t n,
                           Change<Sample>* __restrict out) {
    for (std::size_t i = 0; i < n; ++i) {
        const float change = above[i] + (below[i] - above[i]) * t;
        if constexpr (kFloats<Sample>) out[i] = change;
        else {
            const auto whole = std::int32_t(change + 0.5f);  // towards zero
            out[i] = Change<Sample>(whole - (float(whole) > change + 0.5f));
        }
    }
}

template <class T>
MARKAI_CLONES void repeat_thrice(const T* __restrict values, std::size_t n, T* __restrict out) {
    for (std::size_t i = 0; i < n; ++i) out[3 * i] = out[3 * i + 1] = out[3 * i + 2] = values[i];
}

template <class Sample>
MARKAI_CLONES void add_clipped(const Sample* __restrict row, const Change<Sample>* __restrict change, std::size_t n,
                               Sample* __restrict out) {
    using C = Change<Sample>;
    constexpr C kWhite = kFloats<Sample> ? 1 : kBytes<Sample> ? C(255) : C(65535);
    for (std::size_t i = 0; i < n; ++i)
        out[i] = Sample(std::min<C>(std::max<C>(C(C(row[i]) + change[i]), C(0)), kWhite));
}

}  // namespace

template <class Sample>
void cell_means(const Picture<Sample>& p, std::size_t step, std::size_t begin, std::size_t end, float* means, float* spread) {
    const std::size_t columns = p.width / step;
    CellRow<Sample> cells(p, step, spread != nullptr);
    for (std::size_t y = begin; y < end; ++y) {
        for (std::size_t k = 0; k < step; ++k) cells.add(p.samples + (y * step + k) * p.width * p.channels);
        cells.finish(means + y * columns, spread ? spread + y * columns : nullptr);
    }
}

template <class Sample>
void add_cells(const Picture<Sample>& p, const float* cells, std::size_t step, std::size_t begin, std::size_t end, Sample* out,
               float* means) {
    const std::size_t rows = p.height / step, columns = p.width / step, n = p.width * p.channels;
    std::vector<float> weights(step), above(p.width), below(p.width), usable(columns);
    for (std::size_t i = 0; i < step; ++i) weights[i] = (float(step / 2 + i) + 0.5f) / float(step) - 0.5f;
    const auto widened = [&](std::size_t row, float* wide) {
        const float* from = cells + std::min(row, rows - 1) * columns;
        std::transform(from, from + columns, usable.begin(),
                       [&](float cell) { return std::clamp(cell, -kMost, kMost) / p.scale; });
        with_step(step, [&](auto k) { widen<k.value>(usable.data(), columns, step, weights.data(), p.width, wide); });
    };
    std::vector<Change<Sample>> change(p.width), each(p.channels == 1 ? 0 : n);
    CellRow<Sample> written({out, p.height, p.width, p.channels, p.scale}, step, false);
    std::size_t current = rows;  // none
    for (std::size_t y = begin * step; y < (end == rows ? p.height : end * step); ++y) {
        const Between at = between(y, step, rows);
        if (at.upper != current) {  // each row of cells is widened once, then serves 2 x step rows of the picture
            if (at.upper == current + 1) std::swap(above, below);
            else widened(at.upper, above.data());
            widened(at.upper + 1, below.data());
            current = at.upper;
        }
        changes<Sample>(above.data(), below.data(), at.t, p.width, change.data());
        if (p.channels != 1) repeat_thrice(change.data(), p.width, each.data());
        add_clipped<Sample>(p.samples + y * n, p.channels == 1 ? change.data() : each.data(), n, out + y * n);
        if (y >= rows * step) continue;
        written.add(out + y * n);
        if (y % step == step - 1) written.finish(means + y / step * columns, nullptr);
    }
}

#define MARKAI_FOR(Sample)                                                                                               \
    template void cell_means<Sample>(const Picture<Sample>&, std::size_t, std::size_t, std::size_t, float*, float*);     \
    template void add_cells<Sample>(const Picture<Sample>&, const float*, std::size_t, std::size_t, std::size_t, Sample*, \
                                    float*);
MARKAI_FOR(std::uint8_t)
MARKAI_FOR(std::uint16_t)
MARKAI_FOR(float)
#undef MARKAI_FOR

}  // namespace markai
