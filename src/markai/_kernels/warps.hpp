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

// How much autocorrelations show at lattices. `maps` (count, height, width) have lag 0 in the middle; `sides` (trials,
// count, 2, 2) are a lattice's two sides in each map, as columns (y, x); `multiples` (2, each) say which of its vectors
// count. Scores are the sums, read bilinearly, over the root of the summed shares by which windows of `size` (y, x)
// overlap at those lags; lags outside of the maps count for nothing.
void lattice_scores(const float* maps, std::size_t count, std::size_t height, std::size_t width, const float* sides,
                    std::size_t trials, const float* multiples, std::size_t each, const float* size, float* scores);

}  // namespace markai
