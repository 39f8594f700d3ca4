#include "polar.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <memory>
#include <new>

namespace markai {
namespace {

constexpr std::size_t kLevels = 15;   // log2(kPolarMaxLength) + 1
constexpr float kLargestLlr = 1e30f;  // a path metric stays under kPolarMaxLength^2 times this, 2.7e38: finite

bool is_length(std::size_t n) { return n >= 1 && n <= kPolarMaxLength && (n & (n - 1)) == 0; }

float usable(float llr) { return llr == llr ? std::min(std::max(llr, -kLargestLlr), kLargestLlr) : 0.0f; }

// LLR of the exclusive or of two bits, min-sum: +-min(|a|, |b|). With a list of 32 the frame errors are those of
// exact arithmetic within 0.02 dB (with a list of 1, 0.05 dB), there is no logarithm whose last bit depends on
// the machine, and only the proportions of the LLRs matter.
void check(const float* a, const float* b, float* out, std::size_t n) {
    for (std::size_t i = 0; i < n; ++i) {
        const float least = std::min(std::fabs(a[i]), std::fabs(b[i]));
        out[i] = (a[i] < 0.0f) != (b[i] < 0.0f) ? -least : least;
    }
}

// LLR of the second bit once the first is known: b + a or b - a.
void variable(const float* a, const float* b, const std::uint8_t* first, float* out, std::size_t n) {
    for (std::size_t i = 0; i < n; ++i) out[i] = first[i] ? b[i] - a[i] : b[i] + a[i];
}

// Code word of both halves: (l + r, r).
void combine(const std::uint8_t* left, const std::uint8_t* right, std::uint8_t* out, std::size_t n) {
    for (std::size_t i = 0; i < n; ++i) out[i] = left[i] ^ right[i];
    std::memcpy(out + n, right, n);
}

// What it costs to decide 0 (sign 1) or 1 (sign -1) for all n bits. Summed by halves, which vectorises and
// which the reference repeats: the same bits everywhere.
float penalty(const float* llr, float sign, float* scratch, std::size_t n) {
    for (std::size_t i = 0; i < n; ++i) scratch[i] = std::max(-sign * llr[i], 0.0f);
    for (std::size_t half = n / 2; half > 0; half /= 2)
        for (std::size_t i = 0; i < half; ++i) scratch[i] += scratch[i + half];
    return scratch[0];
}

// Paths are rows. No row is copied when paths fork: each level under way keeps, for every path, the row that holds
// what the path still needs of that level (its LLRs in the left half, its left code word in the right half), and a
// fork only permutes these numbers (the lazy copy of Tal and Vardy, section IV-A).
class ListDecoder {
 public:
    ListDecoder(const std::uint8_t* frozen, std::size_t n, std::size_t list_size)
            : frozen_(frozen), n_(n), list_(list_size) {}

    bool allocate() {
        floats_.reset(new (std::nothrow) float[2 * n_ + list_ * n_]);
        bytes_.reset(new (std::nothrow) std::uint8_t[3 * list_ * n_]);
        if (!floats_ || !bytes_) return false;
        float* next = floats_.get() + n_;  // the first n are scratch
        for (std::size_t level = 0, size = n_; size > 0; ++level, size /= 2) {
            llr_[level] = next;
            next += level == 0 ? n_ : list_ * size;
        }
        return true;
    }

    void decode(const float* llr) {
        std::transform(llr, llr + n_, llr_[0], usable);
        visit(0, 0, bytes_.get(), bytes_.get() + list_ * n_);
    }

    void write(std::uint8_t* bits, float* metrics) const {
        std::size_t order[kPolarMaxList];
        for (std::size_t path = 0; path < paths_; ++path) order[path] = path;
        std::sort(order, order + paths_, [this](std::size_t a, std::size_t b) {
            return metric_[a] != metric_[b] ? metric_[a] < metric_[b] : a < b;
        });
        std::memset(bits, 0, list_ * n_);
        std::fill(metrics, metrics + list_, std::numeric_limits<float>::infinity());
        for (std::size_t rank = 0; rank < paths_; ++rank) {
            polar_encode(bytes_.get() + order[rank] * n_, n_, bits + rank * n_);
            metrics[rank] = metric_[order[rank]];
        }
    }

 private:
    // Decide the n >> level bits u from `first` on, for every path, and leave their code word in the rows of `out`;
    // `spare` is free memory of twice that size. The LLRs of this level are in the paths' own rows at the start.
    void visit(std::size_t level, std::size_t first, std::uint8_t* out, std::uint8_t* spare) {
        const std::size_t size = n_ >> level, half = size / 2;
        const std::uint8_t* last = frozen_ + first + size - 1;
        if (std::find(frozen_ + first, last, 0) == last) return decide(level, *last == 0, out);
        std::uint8_t *left = spare, *right = spare + list_ * half, *rest = right + list_ * half;
        for (std::size_t path = 0; path < paths_; ++path) {
            const float* above = llr_[level] + path * size;
            check(above, above + half, llr_[level + 1] + path * half, half);
        }
        own_rows(level);
        visit(level + 1, first, left, rest);
        for (std::size_t path = 0; path < paths_; ++path) {
            const float* above = llr_[level] + row_[level][path] * size;
            variable(above, above + half, left + path * half, llr_[level + 1] + path * half, half);
        }
        own_rows(level);
        visit(level + 1, first + half, right, rest);
        for (std::size_t path = 0; path < paths_; ++path)
            combine(left + row_[level][path] * half, right + path * half, out + path * size, half);
    }

    // All bits are frozen, or all but the last: a repetition code. Both are decided at once, with the same path
    // metrics as bit by bit (Hashemi, Condo and Gross 2017).
    void decide(std::size_t level, bool forks, std::uint8_t* out) {
        const std::size_t size = n_ >> level;
        float cost[2][kPolarMaxList];
        for (std::size_t path = 0; path < paths_; ++path) {
            const float* llr = llr_[level] + path * size;
            cost[0][path] = metric_[path] + penalty(llr, 1.0f, floats_.get(), size);
            if (forks) cost[1][path] = metric_[path] + penalty(llr, -1.0f, floats_.get(), size);
        }
        if (!forks) {
            std::copy(cost[0], cost[0] + paths_, metric_);
            std::memset(out, 0, paths_ * size);
            return;
        }
        std::uint8_t bit[kPolarMaxList];
        fork(level, cost, bit);
        for (std::size_t path = 0; path < paths_; ++path) std::memset(out + path * size, bit[path], size);
    }

    // Keep the list_ best of the 2 paths_ continuations, ties to the smaller 2 path + bit, in that order.
    void fork(std::size_t level, const float (&cost)[2][kPolarMaxList], std::uint8_t* bit) {
        std::uint64_t key[2 * kPolarMaxList], limit = std::numeric_limits<std::uint64_t>::max();
        const std::size_t count = 2 * paths_;
        for (std::size_t i = 0; i < count; ++i) key[i] = sort_key(cost[i & 1][i / 2], i);
        if (count > list_) {
            std::uint64_t sorted[2 * kPolarMaxList];
            std::copy(key, key + count, sorted);
            std::nth_element(sorted, sorted + list_ - 1, sorted + count);
            limit = sorted[list_ - 1];
        }
        std::uint8_t parent[kPolarMaxList];
        paths_ = 0;
        for (std::size_t i = 0; i < count; ++i) {
            if (key[i] > limit) continue;
            metric_[paths_] = cost[i & 1][i / 2];
            parent[paths_] = static_cast<std::uint8_t>(i / 2);
            bit[paths_++] = i & 1;
        }
        while (level-- > 0) follow(row_[level], parent);
    }

    // Floats that are not negative sort like their bits.
    static std::uint64_t sort_key(float cost, std::size_t index) {
        std::uint32_t word;
        std::memcpy(&word, &cost, sizeof word);
        return static_cast<std::uint64_t>(word) << 32 | index;
    }

    void follow(std::uint8_t* row, const std::uint8_t* parent) const {
        std::uint8_t old[kPolarMaxList];
        std::memcpy(old, row, sizeof old);
        for (std::size_t path = 0; path < paths_; ++path) row[path] = old[parent[path]];
    }

    void own_rows(std::size_t level) {
        for (std::size_t path = 0; path < paths_; ++path) row_[level][path] = static_cast<std::uint8_t>(path);
    }

    const std::uint8_t* frozen_;
    std::size_t n_, list_, paths_ = 1;
    std::unique_ptr<float[]> floats_;
    std::unique_ptr<std::uint8_t[]> bytes_;
    float* llr_[kLevels] = {};  // level 0 is one row of n, level k list_ rows of n >> k
    std::uint8_t row_[kLevels][kPolarMaxList] = {};
    float metric_[kPolarMaxList] = {};
};

}  // namespace

bool polar_encode(const std::uint8_t* bits, std::size_t n, std::uint8_t* out) noexcept {
    if (!is_length(n)) return false;
    if (out != bits) std::copy(bits, bits + n, out);
    for (std::size_t half = 1; half < n; half *= 2)
        for (std::size_t start = 0; start < n; start += 2 * half)
            for (std::size_t i = start; i < start + half; ++i) out[i] ^= out[i + half];
    return true;
}

bool polar_list_decode(const float* llr, const std::uint8_t* frozen, std::size_t n, std::size_t list_size,
                       std::uint8_t* bits, float* metrics) noexcept {
    if (!is_length(n) || list_size < 1 || list_size > kPolarMaxList) return false;
    ListDecoder decoder(frozen, n, list_size);
    if (!decoder.allocate()) return false;
    decoder.decode(llr);
    decoder.write(bits, metrics);
    return true;
}

}  // namespace markai
