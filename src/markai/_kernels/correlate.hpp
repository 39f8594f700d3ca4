#pragma once
#include <cstddef>
#include <cstdint>

namespace markai {

constexpr std::size_t kGrid = 128;             // shifts along each axis, and the period of a wave of one cycle
constexpr std::size_t kMostCycles = kGrid / 2; // frequencies are below
constexpr std::size_t kFiner = 4;              // refined shifts per shift

// Plane waves, several tiles of them with the same frequencies: `amplitudes` (tiles, waves, 2) are complex (re, im),
// `frequencies` (waves, 2) are (fy, fx) with |fy| < kMostCycles and 0 <= fx < kMostCycles, `group` (waves) is < groups.
struct Waves {
    const float* amplitudes;
    const std::int32_t *frequencies, *group;
    std::size_t tiles, waves, groups;
};

// Over all shifts (y, x) of each tile: where the sum over groups of |Re sum of amplitude * exp(2 pi i (fy y + fx x) /
// kGrid)| is largest, `count` places, largest first, every next one with the 5 x 5 around those before left out.
// `sums` (tiles, count, groups) are the groups' sums there, with their signs. `shifts` (tiles, count, 2) is (y, x)
// refined to 1 / kFiner within one shift, where the sum with those signs is largest.
void strongest_shifts(const Waves& waves, std::size_t count, float* shifts, float* sums);

}  // namespace markai
