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

// Both work on the rows of cells from `begin` to before `end`, so that threads can share a picture; the last row of cells
// comes with the samples below it that fill no cell.

// Mean luma (BT.601 weights, grey levels 0..255) of every whole step x step cell, rows of width / step floats.
// `spread`, where not null, gets the variance inside each cell.
template <class Sample>
void cell_means(const Picture<Sample>& picture, std::size_t step, std::size_t begin, std::size_t end, float* means,
                float* spread);

// Adds cell values (grey levels), interpolated bilinearly between cell centres, to every channel; rounds and clips.
// `means` gets what cell_means() would say of `out`.
template <class Sample>
void add_cells(const Picture<Sample>& picture, const float* cells, std::size_t step, std::size_t begin, std::size_t end,
               Sample* out, float* means);

}  // namespace markai
