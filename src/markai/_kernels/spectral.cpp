#include "spectral.hpp"

#include <algorithm>
#include <cmath>
#include <vector>

#include "simd.hpp"

namespace markai {
namespace {

constexpr std::size_t kRows = kBlock / 2 + 1;       // vertical frequencies of a real block
constexpr float kFloor = 1.2f * 1.2f;               // e in w(F): rounding to 8 bits alone gives |F| of about 1
constexpr float kHalfRoot = 0.70710678118654752f;
// sin(pi (k + 1/2) / 8): squares of overlapping windows sum to one.
constexpr float kWindow[kBlock] = {0.19509032f, 0.55557023f, 0.83146961f, 0.98078528f,
                                   0.98078528f, 0.83146961f, 0.55557023f, 0.19509032f};

std::size_t mirrored(std::ptrdiff_t i, std::size_t n) {
    const auto last = std::ptrdiff_t(n) - 1;
    if (i < 0) i = -i;
    if (i > last) i = 2 * last - i;
    return std::size_t(std::clamp<std::ptrdiff_t>(i, 0, last));
}

// Transforms run side by side in lanes; local arrays of lanes are what lets the compiler vectorise (nothing may alias).
constexpr std::size_t kLanes = 16;

constexpr std::size_t padded_to_lanes(std::size_t n) { return (n + kLanes - 1) / kLanes * kLanes; }

// Eight-point DFT of eight arrays of `stride` complex numbers (a multiple of kLanes), in place; with re and im exchanged
// it is 8 x the inverse. re[k * stride + j] is sample k of transform j.
MARKAI_CLONES void dft8(float* __restrict re, float* __restrict im, std::size_t stride) {
    for (std::size_t at = 0; at < stride; at += kLanes) {
        float r[8][kLanes], i[8][kLanes];
        for (std::size_t k = 0; k < 8; ++k)
            for (std::size_t j = 0; j < kLanes; ++j) {
                r[k][j] = re[k * stride + at + j];
                i[k][j] = im[k * stride + at + j];
            }
        for (std::size_t j = 0; j < kLanes; ++j) {
            const float a0r = r[0][j] + r[4][j], a0i = i[0][j] + i[4][j], a1r = r[0][j] - r[4][j], a1i = i[0][j] - i[4][j];
            const float a2r = r[2][j] + r[6][j], a2i = i[2][j] + i[6][j], a3r = r[2][j] - r[6][j], a3i = i[2][j] - i[6][j];
            const float a4r = r[1][j] + r[5][j], a4i = i[1][j] + i[5][j], a5r = r[1][j] - r[5][j], a5i = i[1][j] - i[5][j];
            const float a6r = r[3][j] + r[7][j], a6i = i[3][j] + i[7][j], a7r = r[3][j] - r[7][j], a7i = i[3][j] - i[7][j];
            const float b0r = a0r + a2r, b0i = a0i + a2i, b2r = a0r - a2r, b2i = a0i - a2i;
            const float b1r = a1r + a3i, b1i = a1i - a3r, b3r = a1r - a3i, b3i = a1i + a3r;
            const float c0r = a4r + a6r, c0i = a4i + a6i, c2r = a4r - a6r, c2i = a4i - a6i;
            const float d1r = a5r + a7i, d1i = a5i - a7r, d3r = a5r - a7i, d3i = a5i + a7r;
            const float c1r = (d1r + d1i) * kHalfRoot, c1i = (d1i - d1r) * kHalfRoot;   // times exp(-i pi/4)
            const float c3r = (d3i - d3r) * kHalfRoot, c3i = (-d3r - d3i) * kHalfRoot;  // times exp(-3i pi/4)
            r[0][j] = b0r + c0r, i[0][j] = b0i + c0i, r[4][j] = b0r - c0r, i[4][j] = b0i - c0i;
            r[1][j] = b1r + c1r, i[1][j] = b1i + c1i, r[5][j] = b1r - c1r, i[5][j] = b1i - c1i;
            r[2][j] = b2r + c2i, i[2][j] = b2i - c2r, r[6][j] = b2r - c2i, i[6][j] = b2i + c2r;
            r[3][j] = b3r + c3r, i[3][j] = b3i + c3i, r[7][j] = b3r - c3r, i[7][j] = b3i - c3i;
        }
        for (std::size_t k = 0; k < 8; ++k)
            for (std::size_t j = 0; j < kLanes; ++j) {
                re[k * stride + at + j] = r[k][j];
                im[k * stride + at + j] = i[k][j];
            }
    }
}

// A plane minus its 3x3 mean, mirrored outwards so that every sample lies under four whole blocks.
struct Padded {
    std::size_t height, width;
    std::vector<float> samples;

    Padded(std::size_t h, std::size_t w)
        : height((h + kHop - 1) / kHop * kHop + 2 * kBlock),
          width((w + kHop - 1) / kHop * kHop + 2 * kBlock),
          samples(height * width) {}
    std::size_t block_rows() const { return (height - kBlock) / kHop + 1; }
    std::size_t block_columns() const { return (width - kBlock) / kHop + 1; }
};

MARKAI_CLONES void sum_three(const float* a, const float* b, const float* c, std::size_t n, float* out) {
    for (std::size_t i = 0; i < n; ++i) out[i] = a[i] + b[i] + c[i];
}

MARKAI_CLONES void minus_mean(const float* row, const float* sums, std::size_t n, float* out) {
    for (std::size_t i = 0; i < n; ++i) out[i] = row[i] - (sums[i] + sums[i + 1] + sums[i + 2]) * (1.0f / 9.0f);
}

// out = plane - its 3x3 mean, borders mirrored; `out_stride` lets it write inside a larger plane.
void high_pass(const float* plane, std::size_t h, std::size_t w, float* out, std::size_t out_stride) {
    std::vector<float> sums(w + 2);
    for (std::size_t y = 0; y < h; ++y) {
        const float* above = plane + mirrored(std::ptrdiff_t(y) - 1, h) * w;
        const float* below = plane + mirrored(std::ptrdiff_t(y) + 1, h) * w;
        sum_three(above, plane + y * w, below, w, sums.data() + 1);
        sums[0] = sums[2];
        sums[w + 1] = sums[w - 1];
        minus_mean(plane + y * w, sums.data(), w, out + y * out_stride);
    }
}

Padded pad(const float* plane, std::size_t h, std::size_t w, bool filter) {
    Padded p(h, w);
    float* inner = p.samples.data() + kBlock * p.width + kBlock;
    if (filter) high_pass(plane, h, w, inner, p.width);
    else for (std::size_t y = 0; y < h; ++y) std::copy_n(plane + y * w, w, inner + y * p.width);
    for (std::size_t y = 0; y < h; ++y) {
        float* row = p.samples.data() + (y + kBlock) * p.width;
        for (std::size_t x = 0; x < p.width; ++x)
            if (x < kBlock || x >= kBlock + w) row[x] = row[kBlock + mirrored(std::ptrdiff_t(x) - kBlock, w)];
    }
    for (std::size_t y = 0; y < p.height; ++y)
        if (y < kBlock || y >= kBlock + h)
            std::copy_n(&p.samples[(kBlock + mirrored(std::ptrdiff_t(y) - kBlock, h)) * p.width], p.width,
                        &p.samples[y * p.width]);
    return p;
}

// The spectra of one row of blocks: value (f, k) of block j at [(f * kBlock + k) * stride + j].
struct Spectra {
    std::size_t width, blocks, wide, stride;  // the last two are the first two padded to lanes
    std::vector<float> re, im;                // spectra
    std::vector<float> column_re, column_im;  // kBlock rows of `wide`: after the vertical transform

    explicit Spectra(const Padded& plane)
        : width(plane.width), blocks(plane.block_columns()), wide(padded_to_lanes(width)), stride(padded_to_lanes(blocks)),
          re(kRows * kBlock * stride), im(re.size()), column_re(kBlock * wide), column_im(column_re.size()) {}

    void analyse(const float* rows);
    void synthesise(float* rows);
};

MARKAI_CLONES void scale_row(const float* row, float factor, std::size_t n, float* out) {
    for (std::size_t x = 0; x < n; ++x) out[x] = row[x] * factor;
}

MARKAI_CLONES void add_scaled_row(const float* row, float factor, std::size_t n, float* out) {
    for (std::size_t x = 0; x < n; ++x) out[x] += row[x] * factor;
}

MARKAI_CLONES void take_blocks(const float* columns, std::size_t blocks, std::size_t stride, float* out) {
    for (std::size_t k = 0; k < kBlock; ++k)
        for (std::size_t j = 0; j < blocks; ++j) out[k * stride + j] = columns[kHop * j + k] * kWindow[k];
}

MARKAI_CLONES void put_blocks(const float* in, std::size_t blocks, std::size_t stride, float* columns) {
    for (std::size_t k = 0; k < kBlock; ++k)
        for (std::size_t j = 0; j < blocks; ++j) columns[kHop * j + k] += in[k * stride + j] * kWindow[k];
}

void Spectra::analyse(const float* rows) {
    for (std::size_t k = 0; k < kBlock; ++k) scale_row(rows + k * width, kWindow[k], width, &column_re[k * wide]);
    std::fill(column_im.begin(), column_im.end(), 0.0f);
    dft8(column_re.data(), column_im.data(), wide);
    for (std::size_t f = 0; f < kRows; ++f) {
        float* out_re = &re[f * kBlock * stride];
        float* out_im = &im[f * kBlock * stride];
        take_blocks(&column_re[f * wide], blocks, stride, out_re);
        take_blocks(&column_im[f * wide], blocks, stride, out_im);
        dft8(out_re, out_im, stride);
    }
}

void Spectra::synthesise(float* rows) {
    std::fill(column_re.begin(), column_re.end(), 0.0f);
    std::fill(column_im.begin(), column_im.end(), 0.0f);
    for (std::size_t f = 0; f < kRows; ++f) {
        float* in_re = &re[f * kBlock * stride];
        float* in_im = &im[f * kBlock * stride];
        dft8(in_im, in_re, stride);
        put_blocks(in_re, blocks, stride, &column_re[f * wide]);
        put_blocks(in_im, blocks, stride, &column_im[f * wide]);
    }
    for (std::size_t f = kRows; f < kBlock; ++f) {  // a real block: the rest mirrors
        scale_row(&column_re[(kBlock - f) * wide], 1.0f, wide, &column_re[f * wide]);
        scale_row(&column_im[(kBlock - f) * wide], -1.0f, wide, &column_im[f * wide]);
    }
    dft8(column_im.data(), column_re.data(), wide);
    constexpr float unit = 1.0f / float(kBlock * kBlock);
    for (std::size_t k = 0; k < kBlock; ++k)
        add_scaled_row(&column_re[k * wide], kWindow[k] * unit, width, rows + k * width);
}

MARKAI_CLONES void level(float* re, float* im, std::size_t n) {
    for (std::size_t i = 0; i < n; ++i) {
        const float root = 1.0f / std::sqrt(re[i] * re[i] + im[i] * im[i] + kFloor);
        const float weight = root * std::sqrt(std::sqrt(root));  // (|F|^2 + e)^(-5/8)
        re[i] *= weight;
        im[i] *= weight;
    }
}

MARKAI_CLONES void limit(const float* re, const float* im, float floor, std::size_t n, float* target_re, float* target_im) {
    for (std::size_t i = 0; i < n; ++i) {
        const float weight = 1.0f / std::sqrt(re[i] * re[i] + im[i] * im[i] + floor);
        const float along = (target_re[i] * re[i] + target_im[i] * im[i]) * weight * weight;
        target_re[i] = (target_re[i] - re[i] * along) * weight;
        target_im[i] = (target_im[i] - im[i] * along) * weight;
    }
}

void crop(const Padded& p, std::size_t h, std::size_t w, float* out) {
    for (std::size_t y = 0; y < h; ++y) std::copy_n(&p.samples[(y + kBlock) * p.width + kBlock], w, out + y * w);
}

MARKAI_CLONES void binomial(const float* a, const float* b, const float* c, std::size_t n, float* out) {
    for (std::size_t i = 0; i < n; ++i) out[i] = (a[i] + c[i]) * 0.25f + b[i] * 0.5f;
}

}  // namespace

void whiten(const float* plane, std::size_t h, std::size_t w, float* out) {
    const Padded host = pad(plane, h, w, true);
    Padded result(h, w);
    Spectra spectra(host);
    for (std::size_t i = 0; i < host.block_rows(); ++i) {
        spectra.analyse(&host.samples[i * kHop * host.width]);
        level(spectra.re.data(), spectra.im.data(), spectra.re.size());
        spectra.synthesise(&result.samples[i * kHop * host.width]);
    }
    crop(result, h, w, out);
}

void pull(const float* plane, const float* target, std::size_t h, std::size_t w, float stiffness, float* out) {
    const Padded host = pad(plane, h, w, true), wanted = pad(target, h, w, false);
    Padded result(h, w);
    Spectra from(host), to(host);
    for (std::size_t i = 0; i < host.block_rows(); ++i) {
        from.analyse(&host.samples[i * kHop * host.width]);
        to.analyse(&wanted.samples[i * kHop * host.width]);
        limit(from.re.data(), from.im.data(), stiffness * stiffness, to.re.size(), to.re.data(), to.im.data());
        to.synthesise(&result.samples[i * kHop * host.width]);
    }
    std::vector<float> gradient(h * w);
    crop(result, h, w, gradient.data());
    high_pass(gradient.data(), h, w, out, w);  // its own adjoint but for the borders
}

void smooth(const float* plane, std::size_t h, std::size_t w, std::size_t passes, float* out) {
    std::vector<float> from(plane, plane + h * w), row(w + 2);
    for (std::size_t pass = 0; pass < passes; ++pass) {
        for (std::size_t y = 0; y < h; ++y)
            binomial(&from[mirrored(std::ptrdiff_t(y) - 1, h) * w], &from[y * w],
                     &from[mirrored(std::ptrdiff_t(y) + 1, h) * w], w, out + y * w);
        for (std::size_t y = 0; y < h; ++y) {
            std::copy_n(out + y * w, w, row.data() + 1);
            row[0] = row[2];
            row[w + 1] = row[w - 1];
            binomial(row.data(), row.data() + 1, row.data() + 2, w, &from[y * w]);
        }
    }
    std::copy(from.begin(), from.end(), out);
}

}  // namespace markai
