#pragma once
#include <cstddef>
#include <cstdint>

namespace markai {

// Reads a plane on a bent grid of cells. `nodes` are (node_rows, node_columns, 2) positions (y, x) in the plane, pixel
// (i, j) covering [i, i + 1) x [j, j + 1); between four nodes lie spacing x spacing cells, bilinearly. A cell is the mean
// of 2 x 2 bilinear samples, enough against aliasing up to cells of 3 pixels; one whose centre lies outside of the plane
// is `fill` and not `inside`. Both outputs are ((node_rows - 1) * spacing) x ((node_columns - 1) * spacing).
void warp(const float* plane, std::size_t height, std::size_t width, const float* nodes, std::size_t node_rows,
          std::size_t node_columns, std::size_t spacing, float fill, float* cells, std::uint8_t* inside);

// sums[i] = sum over maps j and points k of map j, read bilinearly at points[i, j, k] = (y, x), 0 where that is not
// between four samples. `maps` is (count, height, width), `points` (trials, count, each, 2).
void sum_samples(const float* maps, std::size_t count, std::size_t height, std::size_t width, const float* points,
                 std::size_t trials, std::size_t each, float* sums);

}  // namespace markai
