#include "warps.hpp"

#include <algorithm>

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

void sum_samples(const float* maps, std::size_t count, std::size_t height, std::size_t width, const float* points,
                 std::size_t trials, std::size_t each, float* sums) {
    const float bottom = float(height - 1), right = float(width - 1);
    for (std::size_t i = 0; i < trials; ++i) {
        float sum = 0;
        for (std::size_t j = 0; j < count; ++j)
            for (std::size_t k = 0; k < each; ++k, points += 2)
                if (points[0] >= 0 && points[0] <= bottom && points[1] >= 0 && points[1] <= right)
                    sum += sample(maps + j * height * width, height, width, points[0], points[1]);
        sums[i] = sum;
    }
}

}  // namespace markai
