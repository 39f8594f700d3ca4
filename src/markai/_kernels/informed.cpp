#include "informed.hpp"

#include <algorithm>
#include <vector>

#include "simd.hpp"

namespace markai {
namespace {

MARKAI_CLONES void least_of_three(const float* a, const float* b, const float* c, std::size_t n, float* __restrict out) {
    for (std::size_t i = 0; i < n; ++i) {
        const float least = a[i] < b[i] ? a[i] : b[i];
        out[i] = c[i] < least ? c[i] : least;
    }
}

// One row's share of the sums, with the row below; kLanes partial sums each, in an order that no instruction set changes.
MARKAI_CLONES void add_products(const float* __restrict row, const float* __restrict below, std::size_t n,
                                double (&sums)[3]) {
    constexpr std::size_t kLanes = 16;
    float square[kLanes] = {}, beside[kLanes] = {}, corner[kLanes] = {};
    std::size_t x = 0;
    for (; x + kLanes < n; x += kLanes)
        for (std::size_t i = 0; i < kLanes; ++i) {
            const float here = row[x + i], right = row[x + i + 1];
            square[i] += here * here;
            beside[i] += here * (right + below[x + i]);
            corner[i] += here * below[x + i + 1] + right * below[x + i];
        }
    for (; x < n; ++x) {
        square[0] += row[x] * row[x];
        beside[0] += row[x] * below[x];
        if (x + 1 == n) break;
        beside[0] += row[x] * row[x + 1];
        corner[0] += row[x] * below[x + 1] + row[x + 1] * below[x];
    }
    for (std::size_t i = 0; i < kLanes; ++i) {
        sums[0] += double(square[i]);
        sums[1] += double(beside[i]);
        sums[2] += double(corner[i]);
    }
}

}  // namespace

void least_neighbour(const float* plane, std::size_t h, std::size_t w, float* out) {
    std::vector<float> line(w + 2);
    for (std::size_t y = 0; y < h; ++y) {
        const float* row = plane + y * w;
        least_of_three(y ? row - w : row, row, y + 1 < h ? row + w : row, w, &line[1]);
        line[0] = line[1];
        line[w + 1] = line[w];
        least_of_three(line.data(), &line[1], &line[2], w, out + y * w);
    }
}

void neighbour_products(const float* plane, std::size_t h, std::size_t w, double (&sums)[3]) {
    const std::vector<float> nothing(w);
    std::fill(sums, sums + 3, 0.0);
    for (std::size_t y = 0; y < h; ++y) add_products(plane + y * w, y + 1 < h ? plane + (y + 1) * w : nothing.data(), w, sums);
}

MARKAI_CLONES void fit_change(const float* __restrict change, float scale, const float* __restrict cells,
                              const float* __restrict limit, std::size_t n, float* __restrict out) {
    for (std::size_t i = 0; i < n; ++i) {
        const float low = std::max(-cells[i], -limit[i]), high = std::min(255.0f - cells[i], limit[i]);
        out[i] = std::min(std::max(change[i] * scale, low), high);
    }
}

void gather_symbols(const std::complex<float>* coefficients, const Points& points, std::size_t symbols, float* sums) {
    std::fill_n(sums, symbols, 0.0f);
    for (std::size_t k = 0; k < points.count; ++k) {
        const float a = coefficients[k].real(), b = coefficients[k].imag();
        const float c = points.turn[k].real(), d = points.turn[k].imag();
        sums[points.symbol[2 * k]] += (a * c - b * d) * points.direction[2 * k];
        sums[points.symbol[2 * k + 1]] += (a * d + b * c) * points.direction[2 * k + 1];
    }
}

void scatter_symbols(const float* amplitudes, const Points& points, std::complex<float>* coefficients) {
    for (std::size_t k = 0; k < points.count; ++k) {
        const float a = amplitudes[points.symbol[2 * k]] * points.direction[2 * k];
        const float b = amplitudes[points.symbol[2 * k + 1]] * points.direction[2 * k + 1];
        const float c = points.turn[k].real(), d = points.turn[k].imag();
        coefficients[k] = {a * c - b * d, a * d + b * c};
    }
}

}  // namespace markai
