#include "warps.hpp"

#include <algorithm>
#include <cmath>

namespace markai {
namespace {

struct Point {
    float y, x;
};

Point mix(Point from, Point to, float t) { return {from.y + (to.y - from.y) * t, from.x + (to.x - from.x) * t}; }

// Bilinear; (y, x) must lie between samples: 0 <= y <= height - 1, and so x.
inline float sample(const float* plane, std::size_t height, std::size_t width, float y, float x) {
    const auto top = std::min(std::size_t(y), height - 2), left = std::min(std::size_t(x), width - 2);
    const float down = y - float(top), right = x - float(left);
    const float* at = plane + top * width + left;
    const float above = at[0] + (at[1] - at[0]) * right;
    const float below = at[width] + (at[width + 1] - at[width]) * right;
    return above + (below - above) * down;
}

}  // namespace

void warp(const float* plane, std::size_t height, std::size_t width, const float* nodes, std::size_t node_rows,
          std::size_t node_columns, std::size_t spacing, float fill, float* cells, std::uint8_t* inside) {
    const auto node = [&](std::size_t i, std::size_t j) {
        return Point{nodes[2 * (i * node_columns + j)], nodes[2 * (i * node_columns + j) + 1]};
    };
    const float bottom = float(height), right = float(width), unit = 1.0f / float(spacing);
    // Samples sit at the centres of pixels; half a pixel at the border repeats the last one.
    const auto read = [&](Point p) {
        return sample(plane, height, width, std::clamp(p.y - 0.5f, 0.0f, bottom - 1), std::clamp(p.x - 0.5f, 0.0f, right - 1));
    };
    std::size_t at = 0;
    for (std::size_t row = 0; row < (node_rows - 1) * spacing; ++row) {
        const std::size_t i = row / spacing;
        const float t = float(row % spacing);
        for (std::size_t j = 0; j + 1 < node_columns; ++j) {
            const auto across = [&](float down, std::size_t k, float part) {
                const Point from = mix(node(i, j), node(i + 1, j), (t + down) * unit);
                const Point to = mix(node(i, j + 1), node(i + 1, j + 1), (t + down) * unit);
                return mix(from, to, (float(k) + part) * unit);
            };
            for (std::size_t k = 0; k < spacing; ++k, ++at) {
                const Point centre = across(0.5f, k, 0.5f);
                inside[at] = centre.y >= 0 && centre.y <= bottom && centre.x >= 0 && centre.x <= right;
                cells[at] = !inside[at] ? fill
                                        : (read(across(0.25f, k, 0.25f)) + read(across(0.25f, k, 0.75f)) +
                                           read(across(0.75f, k, 0.25f)) + read(across(0.75f, k, 0.75f))) * 0.25f;
            }
        }
    }
}

void lattice_scores(const float* maps, std::size_t count, std::size_t height, std::size_t width, const float* sides,
                    std::size_t trials, const float* multiples, std::size_t each, const float* size, float* scores) {
    const float high = float(height - 1) / 2, wide = float(width - 1) / 2;
    for (std::size_t i = 0; i < trials; ++i) {
        float sum = 0, overlap = 0;
        for (std::size_t j = 0; j < count; ++j, sides += 4) {
            for (std::size_t k = 0; k < each; ++k) {
                const float y = sides[0] * multiples[k] + sides[1] * multiples[each + k];
                const float x = sides[2] * multiples[k] + sides[3] * multiples[each + k];
                if (!(std::fabs(y) < high && std::fabs(x) < wide)) continue;
                sum += sample(maps + j * height * width, height, width, y + high, x + wide);
                overlap += (1 - std::fabs(y) / size[0]) * (1 - std::fabs(x) / size[1]);
            }
        }
        scores[i] = sum / std::sqrt(std::max(overlap, 1e-3f));
    }
}

}  // namespace markai
