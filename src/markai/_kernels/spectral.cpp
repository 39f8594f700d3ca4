#include "spectral.hpp"

#include <algorithm>
#include <cmath>
#include <vector>

#include "simd.hpp"

namespace markai {
namespace {

constexpr float kFloor = 1.2f * 1.2f;  // e in w(F): rounding to 8 bits alone gives |F| of about 1
constexpr float kHalfRoot = 0.70710678118654752f;
// sin(pi (k + 1/2) / 8): squares of overlapping windows sum to one.
constexpr float kWindow[kBlock] = {0.19509032f, 0.55557023f, 0.83146961f, 0.98078528f,
                                   0.98078528f, 0.83146961f, 0.55557023f, 0.19509032f};

std::size_t mirrored(std::ptrdiff_t i, std::size_t n) {
    const std::size_t from = std::size_t(i < 0 ? -i : i), period = 2 * (n - 1);
    return from < n ? from : std::min(from % period, period - from % period);
}

// Fills what lies beside the `n` samples that start at line[before].
void mirror_sides(float* line, std::size_t before, std::size_t n, std::size_t after) {
    float* first = line + before;
    for (std::size_t k = 1; k <= before; ++k) first[-std::ptrdiff_t(k)] = first[mirrored(-std::ptrdiff_t(k), n)];
    for (std::size_t k = n; k < n + after; ++k) first[k] = first[mirrored(std::ptrdiff_t(k), n)];
}

// Eight complex numbers, and their DFT in place; with re and im exchanged it is 8 x the inverse.
struct Eight {
    float re[kBlock], im[kBlock];
};

void dft8(float (&r)[kBlock], float (&i)[kBlock]) {
    const float a0r = r[0] + r[4], a0i = i[0] + i[4], a1r = r[0] - r[4], a1i = i[0] - i[4];
    const float a2r = r[2] + r[6], a2i = i[2] + i[6], a3r = r[2] - r[6], a3i = i[2] - i[6];
    const float a4r = r[1] + r[5], a4i = i[1] + i[5], a5r = r[1] - r[5], a5i = i[1] - i[5];
    const float a6r = r[3] + r[7], a6i = i[3] + i[7], a7r = r[3] - r[7], a7i = i[3] - i[7];
    const float b0r = a0r + a2r, b0i = a0i + a2i, b2r = a0r - a2r, b2i = a0i - a2i;
    const float b1r = a1r + a3i, b1i = a1i - a3r, b3r = a1r - a3i, b3i = a1i + a3r;
    const float c0r = a4r + a6r, c0i = a4i + a6i, c2r = a4r - a6r, c2i = a4i - a6i;
    const float d1r = a5r + a7i, d1i = a5i - a7r, d3r = a5r - a7i, d3i = a5i + a7r;
    const float c1r = (d1r + d1i) * kHalfRoot, c1i = (d1i - d1r) * kHalfRoot;   // times exp(-i pi/4)
    const float c3r = (d3i - d3r) * kHalfRoot, c3i = (-d3r - d3i) * kHalfRoot;  // times exp(-3i pi/4)
    r[0] = b0r + c0r, i[0] = b0i + c0i, r[4] = b0r - c0r, i[4] = b0i - c0i;
    r[1] = b1r + c1r, i[1] = b1i + c1i, r[5] = b1r - c1r, i[5] = b1i - c1i;
    r[2] = b2r + c2i, i[2] = b2i - c2r, r[6] = b2r - c2i, i[6] = b2i + c2r;
    r[3] = b3r + c3r, i[3] = b3i + c3i, r[7] = b3r - c3r, i[7] = b3i - c3i;
}

// A plane mirrored outwards so that every sample lies under four whole blocks. Its rows are held in kHop phases: sample x
// at [x % kHop][x / kHop]. What lies side by side then belongs to neighbouring blocks, whose transforms run in the lanes of
// one register.
struct Layout {
    static constexpr std::size_t kLanes = 8;
    std::size_t height, width, columns, lanes;  // columns: samples of a phase; lanes: up to whole registers, and one more

    Layout(std::size_t h, std::size_t w)
        : height(h), width(w), columns((w + kHop - 1) / kHop + 2 * kBlock / kHop), lanes((columns / kLanes + 2) * kLanes) {}

    std::size_t row() const { return kHop * lanes; }
    std::size_t rows_of_blocks() const { return (height + kHop - 1) / kHop + kBlock / kHop + 1; }
};

MARKAI_CLONES void into_phases(const float* __restrict line, std::size_t columns, std::size_t lanes, float* __restrict out) {
    MARKAI_INDEPENDENT
    for (std::size_t j = 0; j < columns; ++j)
        unrolled<kHop>([&](auto p) { out[p * lanes + j] = line[kHop * j + p]; });
}

MARKAI_CLONES void out_of_phases(const float* __restrict in, std::size_t columns, std::size_t lanes, float* __restrict line) {
    MARKAI_INDEPENDENT
    for (std::size_t j = 0; j < columns; ++j)
        unrolled<kHop>([&](auto p) { line[kHop * j + p] = in[p * lanes + j]; });
}

MARKAI_CLONES void sum_three(const float* a, const float* b, const float* c, std::size_t n, float* __restrict out) {
    for (std::size_t i = 0; i < n; ++i) out[i] = a[i] + b[i] + c[i];
}

MARKAI_CLONES void minus_mean(const float* row, const float* sums, std::size_t n, float* __restrict out) {
    for (std::size_t i = 0; i < n; ++i) out[i] = row[i] - (sums[i] + sums[i + 1] + sums[i + 2]) * (1.0f / 9.0f);
}

// Row y of a plane minus its 3x3 mean, borders mirrored; `sums` are w + 2 floats of scratch.
void high_pass(const float* plane, std::size_t h, std::size_t w, std::size_t y, float* sums, float* out) {
    const float* above = plane + mirrored(std::ptrdiff_t(y) - 1, h) * w;
    const float* below = plane + mirrored(std::ptrdiff_t(y) + 1, h) * w;
    sum_three(above, plane + y * w, below, w, sums + 1);
    mirror_sides(sums, 1, w, 1);
    minus_mean(plane + y * w, sums, w, out);
}

// The rows of a plane under one row of blocks after the other.
class Source {
 public:
    Source(const Layout& layout, const float* plane, bool filter)
        : layout_(layout), plane_(plane), filter_(filter), rows_(kBlock * layout.row()), line_(layout.columns * kHop),
          sums_(layout.width + 2) {
        for (std::size_t k = kHop; k < kBlock; ++k) load(k);
    }

    const float* next() {
        std::copy(rows_.begin() + kHop * layout_.row(), rows_.end(), rows_.begin());
        for (std::size_t k = kHop; k < kBlock; ++k) load(k);
        return rows_.data();
    }

 private:
    void load(std::size_t k) {
        const std::size_t h = layout_.height, w = layout_.width;
        const std::size_t y = mirrored(std::ptrdiff_t(loaded_++) - std::ptrdiff_t(kBlock), h);
        if (filter_) high_pass(plane_, h, w, y, sums_.data(), &line_[kBlock]);
        else std::copy_n(plane_ + y * w, w, &line_[kBlock]);
        mirror_sides(line_.data(), kBlock, w, line_.size() - kBlock - w);
        into_phases(line_.data(), layout_.columns, layout_.lanes, &rows_[k * layout_.row()]);
    }

    Layout layout_;
    const float* plane_;
    bool filter_;
    std::size_t loaded_ = 0;
    std::vector<float> rows_, line_, sums_;
};

// Where the rows of blocks overlap to a plane again.
class Sink {
 public:
    Sink(const Layout& layout, float* plane)
        : layout_(layout), plane_(plane), rows_(kBlock * layout.row()), line_(layout.columns * kHop) {}

    float* rows() { return rows_.data(); }

    // The next row of blocks follows: half of the rows are done.
    void advance() {
        const auto half = rows_.begin() + kHop * layout_.row();
        for (std::size_t k = 0; k < kHop; ++k, ++done_) {
            if (done_ < kBlock || done_ >= kBlock + layout_.height) continue;
            out_of_phases(&rows_[k * layout_.row()], layout_.columns, layout_.lanes, line_.data());
            std::copy_n(&line_[kBlock], layout_.width, plane_ + (done_ - kBlock) * layout_.width);
        }
        std::copy(half, rows_.end(), rows_.begin());
        std::fill(half, rows_.end(), 0.0f);
    }

 private:
    Layout layout_;
    float* plane_;
    std::size_t done_ = 0;
    std::vector<float> rows_, line_;
};

// A row of blocks after the transform down its columns, `size` floats per frequency: the real frequencies 0 and 4, then
// the real and imaginary parts of 1, 2 and 3. The others mirror these. 0 and 4 share one transform along the row, as if
// they were the two parts of one frequency.
constexpr std::size_t kPairs = kBlock / 2;

MARKAI_CLONES void down(const float* __restrict rows, std::size_t size, float* __restrict out) {
    MARKAI_INDEPENDENT
    for (std::size_t x = 0; x < size; ++x) {
        float v[kBlock];
        unrolled<kBlock>([&](auto k) { v[k] = rows[k * size + x] * kWindow[k]; });
        const float a0 = v[0] + v[4], a1 = v[0] - v[4], a2 = v[2] + v[6], a3 = v[2] - v[6];
        const float a4 = v[1] + v[5], a5 = v[1] - v[5], a6 = v[3] + v[7], a7 = v[3] - v[7];
        const float b0 = a0 + a2, c0 = a4 + a6, d = (a5 - a7) * kHalfRoot, e = (a5 + a7) * kHalfRoot;
        out[x] = b0 + c0, out[size + x] = b0 - c0;
        out[2 * size + x] = a1 + d, out[3 * size + x] = -(a3 + e);
        out[4 * size + x] = a0 - a2, out[5 * size + x] = a6 - a4;
        out[6 * size + x] = a1 - d, out[7 * size + x] = a3 - e;
    }
}

// The inverse of down(), windowed and added to the rows. `blocks` is what across() left, and overlaps here.
MARKAI_CLONES void up(const float* __restrict blocks, std::size_t lanes, float* __restrict rows) {
    constexpr float kUnit = 1.0f / float(kBlock * kBlock);
    for (std::size_t p = 0; p < kHop; ++p)
        MARKAI_INDEPENDENT
        for (std::size_t j = 0; j < lanes - Layout::kLanes; ++j) {  // into column j + 1; none needs the first
            float f[kBlock];
            unrolled<kBlock>([&](auto k) {
                f[k] = blocks[(k * kBlock + p) * lanes + j + 1] + blocks[(k * kBlock + p + kHop) * lanes + j];
            });
            const float sum = f[0] + f[1], difference = f[0] - f[1];
            const float r = (f[2] - f[6]) * kHalfRoot, i = (f[3] + f[7]) * kHalfRoot;
            const float even = f[2] + f[6], odd = f[3] - f[7], s = r - i, t = r + i;
            const float v[kBlock] = {sum + 2 * (even + f[4]),     difference + 2 * (s - f[5]), sum - 2 * (odd + f[4]),
                                     difference - 2 * (t - f[5]), sum - 2 * (even - f[4]),     difference - 2 * (s + f[5]),
                                     sum + 2 * (odd - f[4]),      difference + 2 * (t + f[5])};
            unrolled<kBlock>([&](auto k) { rows[(k * kHop + p) * lanes + j + 1] += v[k] * (kWindow[k] * kUnit); });
        }
}

// Transform j along the row, of one pair's samples.
Eight transformed(const float* columns, std::size_t lanes, std::size_t j) {
    Eight v;
    unrolled<kBlock>([&](auto k) {
        v.re[k] = columns[(k % kHop) * lanes + k / kHop + j] * kWindow[k];
        v.im[k] = columns[(k % kHop + kHop) * lanes + k / kHop + j] * kWindow[k];
    });
    dft8(v.re, v.im);
    return v;
}

struct Complex {
    float re, im;
};

// Two real frequencies went through one transform as z = a + i b: A and B are the symmetric and antisymmetric parts of Z.
Complex first_of(const Eight& z, std::size_t k, std::size_t mirror) {
    return {(z.re[k] + z.re[mirror]) * 0.5f, (z.im[k] - z.im[mirror]) * 0.5f};
}

Complex second_of(const Eight& z, std::size_t k, std::size_t mirror) {
    return {(z.im[k] + z.im[mirror]) * 0.5f, (z.re[mirror] - z.re[k]) * 0.5f};
}

// f(host, target) for every coefficient of a pair; what it returns takes the target's place.
template <bool kShared, class F>
void each(const Eight& host, Eight& target, F f) {
    if constexpr (!kShared)
        unrolled<kBlock>([&](auto k) {
            const Complex c = f(Complex{host.re[k], host.im[k]}, Complex{target.re[k], target.im[k]});
            target.re[k] = c.re, target.im[k] = c.im;
        });
    else
        unrolled<kBlock / 2 + 1>([&](auto k) {
            constexpr std::size_t m = (kBlock - k) % kBlock;
            const Complex a = f(first_of(host, k, m), first_of(target, k, m));
            const Complex b = f(second_of(host, k, m), second_of(target, k, m));
            target.re[m] = a.re + b.im, target.im[m] = b.re - a.im;
            target.re[k] = a.re - b.im, target.im[k] = a.im + b.re;
        });
}

// Along a row of blocks, for one pair: transforms, changes the target's coefficients by what f says, transforms back and
// windows.
template <bool kShared, bool kTarget, class F>
void across(const float* __restrict host, const float* __restrict target, std::size_t lanes,
                          float* __restrict out, F f) {
    MARKAI_INDEPENDENT
    for (std::size_t j = 0; j < lanes - Layout::kLanes; ++j) {
        const Eight h = transformed(host, lanes, j);
        Eight t = h;
        if constexpr (kTarget) t = transformed(target, lanes, j);
        each<kShared>(h, t, f);
        dft8(t.im, t.re);
        unrolled<kBlock>([&](auto k) {
            out[k * lanes + j] = t.re[k] * kWindow[k];
            out[(k + kBlock) * lanes + j] = t.im[k] * kWindow[k];
        });
    }
}

struct Level {
    Complex operator()(Complex f, Complex) const {
        const float root = std::sqrt(f.re * f.re + f.im * f.im + kFloor);
        const float weight = 1.0f / (root * std::sqrt(std::sqrt(root)));  // (|F|^2 + e)^(-5/8)
        return {f.re * weight, f.im * weight};
    }
};

struct Limit {
    float floor;
    Complex operator()(Complex f, Complex t) const {
        const float weight = 1.0f / std::sqrt(f.re * f.re + f.im * f.im + floor);
        const float along = (t.re * f.re + t.im * f.im) * weight * weight;
        return {(t.re - f.re * along) * weight, (t.im - f.im * along) * weight};
    }
};

template <bool kShared>
MARKAI_CLONES void level_across(const float* host, std::size_t lanes, float* out) {
    across<kShared, false>(host, host, lanes, out, Level());
}

template <bool kShared>
MARKAI_CLONES void limit_across(const float* host, const float* target, std::size_t lanes, float floor, float* out) {
    across<kShared, true>(host, target, lanes, out, Limit{floor});
}

// out[x] = sum over k of taps[|k|] from[x + k stride], k = -kRadius..kRadius; `from` points at k = -kRadius.
template <std::size_t kRadius>
MARKAI_CLONES void weighted_sum(const float* __restrict from, std::size_t stride, const float* __restrict taps, std::size_t n,
                                float* __restrict out) {
    for (std::size_t x = 0; x < n; ++x) {
        float sum = from[kRadius * stride + x] * taps[0];
        unrolled<kRadius>([&](auto k) {
            sum += (from[(kRadius - 1 - k) * stride + x] + from[(kRadius + 1 + k) * stride + x]) * taps[k + 1];
        });
        out[x] = sum;
    }
}

// [1 2 1]/4 along both axes kRadius times, as one filter of 2 kRadius + 1 taps.
template <std::size_t kRadius>
void binomial(const float* from, std::size_t h, std::size_t w, float* out) {
    float taps[kRadius + 1];
    double choose = 1, unit = std::pow(0.25, double(kRadius));
    for (std::size_t k = 1; k <= 2 * kRadius; ++k) {  // (2 kRadius choose k)
        choose = choose * double(2 * kRadius + 1 - k) / double(k);
        if (k >= kRadius) taps[k - kRadius] = float(choose * unit);
    }
    std::vector<float> border((2 * kRadius + 1) * w), line(w + 2 * kRadius);
    for (std::size_t y = 0; y < h; ++y) {
        const float* rows = border.data();
        if (y >= kRadius && y + kRadius < h) rows = from + (y - kRadius) * w;
        else
            for (std::size_t k = 0; k <= 2 * kRadius; ++k)
                std::copy_n(from + mirrored(std::ptrdiff_t(y + k) - std::ptrdiff_t(kRadius), h) * w, w, &border[k * w]);
        weighted_sum<kRadius>(rows, w, taps, w, &line[kRadius]);
        mirror_sides(line.data(), kRadius, w, kRadius);
        weighted_sum<kRadius>(line.data(), 1, taps, w, out + y * w);
    }
}

}  // namespace

void whiten(const float* plane, std::size_t h, std::size_t w, float* out) {
    const Layout layout(h, w);
    Source host(layout, plane, true);
    Sink sink(layout, out);
    std::vector<float> columns(kBlock * layout.row()), blocks(kBlock * kBlock * layout.lanes);
    for (std::size_t i = 0; i < layout.rows_of_blocks(); ++i) {
        down(host.next(), layout.row(), columns.data());
        level_across<true>(columns.data(), layout.lanes, blocks.data());
        for (std::size_t pair = 1; pair < kPairs; ++pair)
            level_across<false>(&columns[2 * pair * layout.row()], layout.lanes, &blocks[2 * pair * kBlock * layout.lanes]);
        up(blocks.data(), layout.lanes, sink.rows());
        sink.advance();
    }
}

void pull(const float* plane, const float* target, std::size_t h, std::size_t w, float stiffness, float* out) {
    const Layout layout(h, w);
    const float floor = stiffness * stiffness;
    std::vector<float> gradient(h * w), sums(w + 2);
    Source host(layout, plane, true), wanted(layout, target, false);
    Sink sink(layout, gradient.data());
    std::vector<float> from(kBlock * layout.row()), to(from.size()), blocks(kBlock * kBlock * layout.lanes);
    for (std::size_t i = 0; i < layout.rows_of_blocks(); ++i) {
        down(host.next(), layout.row(), from.data());
        down(wanted.next(), layout.row(), to.data());
        limit_across<true>(from.data(), to.data(), layout.lanes, floor, blocks.data());
        for (std::size_t pair = 1; pair < kPairs; ++pair)
            limit_across<false>(&from[2 * pair * layout.row()], &to[2 * pair * layout.row()], layout.lanes, floor,
                                &blocks[2 * pair * kBlock * layout.lanes]);
        up(blocks.data(), layout.lanes, sink.rows());
        sink.advance();
    }
    for (std::size_t y = 0; y < h; ++y)  // the high-pass is its own adjoint but for the borders
        high_pass(gradient.data(), h, w, y, sums.data(), out + y * w);
}

void smooth(const float* plane, std::size_t h, std::size_t w, std::size_t passes, float* out) {
    if (passes == 0) std::copy_n(plane, h * w, out);
    std::vector<float> between;
    while (passes > 0) {
        const std::size_t radius = passes >= 8 ? 8 : passes >= 4 ? 4 : passes >= 2 ? 2 : 1;
        const auto filter = radius == 8 ? binomial<8> : radius == 4 ? binomial<4> : radius == 2 ? binomial<2> : binomial<1>;
        filter(plane, h, w, out);
        passes -= radius;
        if (passes > 0) {
            between.assign(out, out + h * w);
            plane = between.data();
        }
    }
}

}  // namespace markai
