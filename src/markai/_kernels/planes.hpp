#pragma once
#include <cstddef>
#include <cstdint>

namespace markai {

// A picture of `height` x `width` interleaved samples with 1 or 3 channels; `scale` takes a sample to grey levels 0..255.
template <class Sample>
struct Picture {
    const Sample* samples;
    std::size_t height, width, channels;
    float scale;
};

// Mean luma (BT.601 weights, grey levels 0..255) of every whole step x step cell, rows of width / step floats.
// `spread`, where not null, gets the variance inside each cell.
template <class Sample>
void cell_means(const Picture<Sample>& picture, std::size_t step, float* means, float* spread);

// Adds cell values (grey levels), interpolated bilinearly between cell centres, to every channel; rounds and clips.
template <class Sample>
void add_cells(const Picture<Sample>& picture, const float* cells, std::size_t step, Sample* out);

}  // namespace markai
