#include "planes.hpp"

#include <algorithm>
#include <type_traits>
#include <vector>

#include "simd.hpp"

namespace markai {
namespace {

// BT.601 luma in 1/256: integers, so that the sum over a cell is exact for 8 and 16 bits whatever the order.
constexpr std::uint32_t kRed = 77, kGreen = 150, kBlue = 29;

template <class Sample>
using Sum = std::conditional_t<std::is_floating_point_v<Sample>, float, std::uint32_t>;

template <class Sample>
MARKAI_CLONES void add_row(const Sample* row, std::size_t n, Sum<Sample>* sums) {
    for (std::size_t i = 0; i < n; ++i) sums[i] += row[i];
}

// Sum of squared luma (grey levels) down the columns.
template <class Sample>
MARKAI_CLONES void add_squares(const Sample* row, std::size_t width, std::size_t channels, float scale, float* squares) {
    if (channels == 1) {
        for (std::size_t x = 0; x < width; ++x) {
            const float l = float(row[x]) * scale;
            squares[x] += l * l;
        }
        return;
    }
    const float r = scale * float(kRed) / 256, g = scale * float(kGreen) / 256, b = scale * float(kBlue) / 256;
    for (std::size_t x = 0; x < width; ++x) {
        const float l = float(row[3 * x]) * r + float(row[3 * x + 1]) * g + float(row[3 * x + 2]) * b;
        squares[x] += l * l;
    }
}

// One sum per cell from the column sums. 64-bit, because 64 x 64 samples of 16 bits times 256 do not fit 32.
template <class Sample>
double cell_sum(const Sum<Sample>* sums, std::size_t step, std::size_t channels) {
    using Wide = std::conditional_t<std::is_floating_point_v<Sample>, double, std::uint64_t>;
    if (channels == 1) {
        Wide grey = 0;
        for (std::size_t i = 0; i < step; ++i) grey += sums[i];
        return double(grey) * 256;
    }
    Wide r = 0, g = 0, b = 0;
    for (std::size_t i = 0; i < step; ++i) {
        r += sums[3 * i];
        g += sums[3 * i + 1];
        b += sums[3 * i + 2];
    }
    return double(r * kRed + g * kGreen + b * kBlue);
}

// Interpolation between cell centres: sample x lies between cells `left` and `left + 1` with weight `t` on the right.
struct Between {
    std::size_t left, right;
    float t;
};

Between between(std::size_t x, std::size_t step, std::size_t cells) {
    const float at = (float(x) + 0.5f) / float(step) - 0.5f;
    if (at <= 0) return {0, std::min<std::size_t>(1, cells - 1), 0.0f};
    const auto left = std::min(std::size_t(at), cells - 1);
    return {left, std::min(left + 1, cells - 1), at - float(left)};
}

inline void blend(float from, float rise, const float* weights, std::size_t n, float* out) {
    for (std::size_t i = 0; i < n; ++i) out[i] = from + rise * weights[i];
}

// out = row + what lies between the interpolated cell rows `above` and `below`, rounded and clipped.
MARKAI_CLONES void add_row_between(const std::uint8_t* row, const float* above, const float* below, float t, std::size_t n,
                                   float, std::uint8_t* out) {
    for (std::size_t i = 0; i < n; ++i) {
        const float v = float(row[i]) + (above[i] + (below[i] - above[i]) * t);
        out[i] = std::uint8_t(std::int32_t(std::min(std::max(v, 0.0f), 255.0f) + 0.5f));
    }
}

MARKAI_CLONES void add_row_between(const std::uint16_t* row, const float* above, const float* below, float t,
                                   std::size_t n, float scale, std::uint16_t* out) {
    const float unit = 1.0f / scale;
    for (std::size_t i = 0; i < n; ++i) {
        const float v = float(row[i]) + (above[i] + (below[i] - above[i]) * t) * unit;
        out[i] = std::uint16_t(std::int32_t(std::min(std::max(v, 0.0f), 65535.0f) + 0.5f));
    }
}

MARKAI_CLONES void add_row_between(const float* row, const float* above, const float* below, float t, std::size_t n,
                                   float scale, float* out) {
    const float unit = 1.0f / scale;
    for (std::size_t i = 0; i < n; ++i)
        out[i] = std::min(std::max(row[i] + (above[i] + (below[i] - above[i]) * t) * unit, 0.0f), 1.0f);
}

}  // namespace

template <class Sample>
void cell_means(const Picture<Sample>& p, std::size_t step, float* means, float* spread) {
    const std::size_t rows = p.height / step, columns = p.width / step, used = columns * step;
    std::vector<Sum<Sample>> sums(used * p.channels);
    std::vector<float> squares(spread ? used : 0);
    const double unit = double(p.scale) / (256.0 * double(step) * double(step));
    for (std::size_t y = 0; y < rows; ++y) {
        std::fill(sums.begin(), sums.end(), Sum<Sample>(0));
        std::fill(squares.begin(), squares.end(), 0.0f);
        for (std::size_t k = 0; k < step; ++k) {
            const Sample* row = p.samples + (y * step + k) * p.width * p.channels;
            add_row(row, used * p.channels, sums.data());
            if (spread) add_squares(row, used, p.channels, p.scale, squares.data());
        }
        for (std::size_t x = 0; x < columns; ++x) {
            const double mean = cell_sum<Sample>(&sums[x * step * p.channels], step, p.channels) * unit;
            means[y * columns + x] = float(mean);
            if (!spread) continue;
            double total = 0;
            for (std::size_t i = 0; i < step; ++i) total += squares[x * step + i];
            spread[y * columns + x] = float(std::max(0.0, total / (double(step) * double(step)) - mean * mean));
        }
    }
}

template <class Sample>
void add_cells(const Picture<Sample>& p, const float* cells, std::size_t step, Sample* out) {
    const std::size_t rows = p.height / step, columns = p.width / step, n = p.width * p.channels;
    // Between the centres of two cells lie `step` samples, with the same weights for every pair of cells.
    const std::size_t first = step / 2;
    std::vector<float> weights(step * p.channels);
    for (std::size_t i = 0; i < weights.size(); ++i)
        weights[i] = (float(first + i / p.channels) + 0.5f) / float(step) - 0.5f;
    // Each cell row is widened once, then serves 2 x step picture rows.
    const auto widen = [&](std::size_t cell_row, std::vector<float>& wide) {
        const float* row = cells + cell_row * columns;
        float* out = std::fill_n(wide.data(), first * p.channels, row[0]);
        for (std::size_t x = 0; x + 1 < columns; ++x, out += weights.size())
            blend(row[x], row[x + 1] - row[x], weights.data(), weights.size(), out);
        std::fill(out, wide.data() + n, row[columns - 1]);
    };
    std::vector<float> above(n), below(n);
    widen(0, above);
    widen(std::min<std::size_t>(1, rows - 1), below);
    std::size_t current = 0;
    for (std::size_t y = 0; y < p.height; ++y) {
        const Between down = between(y, step, rows);
        if (down.left != current) {
            current = down.left;
            std::swap(above, below);
            widen(down.right, below);
        }
        add_row_between(p.samples + y * n, above.data(), below.data(), down.t, n, p.scale, out + y * n);
    }
}

#define MARKAI_FOR(Sample)                                                                     \
    template void cell_means<Sample>(const Picture<Sample>&, std::size_t, float*, float*);      \
    template void add_cells<Sample>(const Picture<Sample>&, const float*, std::size_t, Sample*);
MARKAI_FOR(std::uint8_t)
MARKAI_FOR(std::uint16_t)
MARKAI_FOR(float)
#undef MARKAI_FOR

}  // namespace markai
