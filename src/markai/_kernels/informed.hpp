#pragma once
#include <complex>
#include <cstddef>
#include <cstdint>

namespace markai {

// What the embedder does with planes of `height` x `width` floats, and with the symbols in their tiles.

// The least of a cell and its eight neighbours.
void least_neighbour(const float* plane, std::size_t height, std::size_t width, float* out);

// Sums of products of a cell with itself, with its neighbours to the right and below, and with those diagonally below.
void neighbour_products(const float* plane, std::size_t height, std::size_t width, double (&sums)[3]);

// out = change * scale, at most `limit` either way, and no further than leaves cells + out in 0..255.
void fit_change(const float* change, float scale, const float* cells, const float* limit, std::size_t n, float* out);

// The real part of point k speaks for symbol[2 k], the imaginary one for symbol[2 k + 1], each with the sign and weight
// `direction`, once the point is turned by `turn`.
struct Points {
    const std::complex<float>* turn;
    const std::int64_t* symbol;
    const float* direction;
    std::size_t count;
};

// One tile's `symbols` sums of what its points say.
void gather_symbols(const std::complex<float>* coefficients, const Points& points, std::size_t symbols, float* sums);

// The adjoint, but that it turns by `turn` too: one tile's points, from what its symbols are to be.
void scatter_symbols(const float* amplitudes, const Points& points, std::complex<float>* coefficients);

}  // namespace markai
