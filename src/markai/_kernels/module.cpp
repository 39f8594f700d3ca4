// Bindings only: shapes and dtypes are checked here, the GIL is released around every kernel.
#include <cmath>
#include <complex>
#include <cstdlib>
#include <stdexcept>

#include "bindings.hpp"
#include "correlate.hpp"
#include "informed.hpp"
#include "parallel.hpp"
#include "planes.hpp"
#include "polar.hpp"
#include "spectral.hpp"
#include "warps.hpp"

namespace nb = nanobind;
using namespace nb::literals;
using markai::In;
using markai::make;
using markai::Out;

namespace {

using Plane = In<float, nb::ndim<2>>;
template <class Sample>
using Pixels = In<Sample, nb::ndim<3>>;

template <class Sample>
markai::Picture<Sample> picture(const Pixels<Sample>& pixels, std::size_t step) {
    const std::size_t h = pixels.shape(0), w = pixels.shape(1), c = pixels.shape(2);
    if (c != 1 && c != 3) throw std::invalid_argument("pixels must be (H, W, 1) or (H, W, 3)");
    if (step < 1 || step > 64 || h < step || w < step) throw std::invalid_argument("step must be 1..64 and fit in the picture");
    const float scale = std::is_same_v<Sample, float> ? 255.0f : std::is_same_v<Sample, std::uint16_t> ? 1.0f / 257 : 1.0f;
    return {pixels.data(), h, w, c, scale};
}

template <class Sample>
Out<float, 2> cell_means(Pixels<Sample> pixels, std::size_t step, std::size_t threads) {
    const auto p = picture<Sample>(pixels, step);
    auto means = make<float, 2>({p.height / step, p.width / step});
    nb::gil_scoped_release release;
    markai::share(p.height / step, threads, [&](std::size_t begin, std::size_t end) {
        markai::cell_means(p, step, begin, end, means.data(), nullptr);
    });
    return means;
}

template <class Sample>
nb::tuple cell_means_and_spread(Pixels<Sample> pixels, std::size_t step, std::size_t threads) {
    const auto p = picture<Sample>(pixels, step);
    auto means = make<float, 2>({p.height / step, p.width / step});
    auto spread = make<float, 2>({p.height / step, p.width / step});
    {
        nb::gil_scoped_release release;
        markai::share(p.height / step, threads, [&](std::size_t begin, std::size_t end) {
            markai::cell_means(p, step, begin, end, means.data(), spread.data());
        });
    }
    return nb::make_tuple(means, spread);
}

template <class Sample>
nb::tuple add_cells(Pixels<Sample> pixels, Plane cells, std::size_t step, std::size_t threads) {
    const auto p = picture<Sample>(pixels, step);
    if (cells.shape(0) != p.height / step || cells.shape(1) != p.width / step)
        throw std::invalid_argument("cells must be (H // step, W // step)");
    auto out = make<Sample, 3>({p.height, p.width, p.channels});
    auto means = make<float, 2>({p.height / step, p.width / step});
    {
        nb::gil_scoped_release release;
        markai::share(p.height / step, threads, [&](std::size_t begin, std::size_t end) {
            markai::add_cells(p, cells.data(), step, begin, end, out.data(), means.data());
        });
    }
    return nb::make_tuple(out, means);
}

void at_least_a_block(const Plane& plane) {
    if (plane.shape(0) <= markai::kBlock || plane.shape(1) <= markai::kBlock)
        throw std::invalid_argument("a plane must be at least 9 x 9");
}

Out<float, 2> whiten(Plane plane) {
    at_least_a_block(plane);
    auto out = make<float, 2>({plane.shape(0), plane.shape(1)});
    nb::gil_scoped_release release;
    markai::whiten(plane.data(), plane.shape(0), plane.shape(1), out.data());
    return out;
}

Out<float, 2> pull(Plane plane, Plane target, float stiffness) {
    at_least_a_block(plane);
    if (plane.shape(0) != target.shape(0) || plane.shape(1) != target.shape(1))
        throw std::invalid_argument("plane and target must have one shape");
    if (!(stiffness > 0)) throw std::invalid_argument("stiffness must be positive");
    auto out = make<float, 2>({plane.shape(0), plane.shape(1)});
    nb::gil_scoped_release release;
    markai::pull(plane.data(), target.data(), plane.shape(0), plane.shape(1), stiffness, out.data());
    return out;
}

Out<float, 2> smooth(Plane plane, std::size_t passes) {
    if (plane.shape(0) < 2 || plane.shape(1) < 2) throw std::invalid_argument("a plane must be at least 2 x 2");
    auto out = make<float, 2>({plane.shape(0), plane.shape(1)});
    nb::gil_scoped_release release;
    markai::smooth(plane.data(), plane.shape(0), plane.shape(1), passes, out.data());
    return out;
}

Out<float, 2> least_neighbour(Plane plane) {
    auto out = make<float, 2>({plane.shape(0), plane.shape(1)});
    nb::gil_scoped_release release;
    markai::least_neighbour(plane.data(), plane.shape(0), plane.shape(1), out.data());
    return out;
}

nb::tuple neighbour_products(Plane plane) {
    double sums[3];
    {
        nb::gil_scoped_release release;
        markai::neighbour_products(plane.data(), plane.shape(0), plane.shape(1), sums);
    }
    return nb::make_tuple(sums[0], sums[1], sums[2]);
}

Out<float, 2> fit_change(Plane change, float scale, Plane cells, Plane limit) {
    for (const Plane* other : {&cells, &limit})
        if (other->shape(0) != change.shape(0) || other->shape(1) != change.shape(1))
            throw std::invalid_argument("change, cells and limit must have one shape");
    auto out = make<float, 2>({change.shape(0), change.shape(1)});
    nb::gil_scoped_release release;
    markai::fit_change(change.data(), scale, cells.data(), limit.data(), change.size(), out.data());
    return out;
}

using Turn = In<std::complex<float>, nb::ndim<1>>;
using Symbol = In<std::int64_t, nb::shape<-1, 2>>;
using Direction = In<float, nb::shape<-1, 2>>;

markai::Points points(const Turn& turn, const Symbol& symbol, const Direction& direction, std::size_t symbols) {
    if (symbol.shape(0) != turn.shape(0) || direction.shape(0) != turn.shape(0))
        throw std::invalid_argument("turn, symbol and direction must have one length");
    for (std::size_t k = 0; k < symbol.size(); ++k)
        if (symbol.data()[k] < 0 || std::size_t(symbol.data()[k]) >= symbols) throw std::invalid_argument("no such symbol");
    return {turn.data(), symbol.data(), direction.data(), turn.shape(0)};
}

Out<float, 2> gather_symbols(In<std::complex<float>, nb::ndim<2>> coefficients, Turn turn, Symbol symbol, Direction direction,
                             std::size_t symbols) {
    const auto p = points(turn, symbol, direction, symbols);
    if (coefficients.shape(1) != p.count) throw std::invalid_argument("coefficients must be (tiles, points)");
    auto sums = make<float, 2>({coefficients.shape(0), symbols});
    nb::gil_scoped_release release;
    for (std::size_t i = 0; i < coefficients.shape(0); ++i)
        markai::gather_symbols(coefficients.data() + i * p.count, p, symbols, sums.data() + i * symbols);
    return sums;
}

Out<std::complex<float>, 2> scatter_symbols(Plane amplitudes, Turn turn, Symbol symbol, Direction direction) {
    const auto p = points(turn, symbol, direction, amplitudes.shape(1));
    auto coefficients = make<std::complex<float>, 2>({amplitudes.shape(0), p.count});
    nb::gil_scoped_release release;
    for (std::size_t i = 0; i < amplitudes.shape(0); ++i)
        markai::scatter_symbols(amplitudes.data() + i * amplitudes.shape(1), p, coefficients.data() + i * p.count);
    return coefficients;
}

nb::tuple warp(Plane plane, In<float, nb::shape<-1, -1, 2>> nodes, std::size_t spacing, float fill) {
    if (plane.shape(0) < 2 || plane.shape(1) < 2) throw std::invalid_argument("a plane must be at least 2 x 2");
    if (nodes.shape(0) < 2 || nodes.shape(1) < 2) throw std::invalid_argument("nodes must be at least 2 x 2");
    if (spacing < 1) throw std::invalid_argument("spacing must be positive");
    const std::size_t rows = (nodes.shape(0) - 1) * spacing, columns = (nodes.shape(1) - 1) * spacing;
    auto cells = make<float, 2>({rows, columns});
    auto inside = make<std::uint8_t, 2>({rows, columns});
    {
        nb::gil_scoped_release release;
        markai::warp(plane.data(), plane.shape(0), plane.shape(1), nodes.data(), nodes.shape(0), nodes.shape(1), spacing,
                     fill, cells.data(), inside.data());
    }
    return nb::make_tuple(cells, inside);
}

Out<float, 1> lattice_scores(In<float, nb::ndim<3>> maps, In<float, nb::shape<-1, -1, 2, 2>> sides,
                             In<float, nb::shape<2, -1>> multiples, float height, float width) {
    if (maps.shape(1) < 2 || maps.shape(2) < 2) throw std::invalid_argument("maps must be at least 2 x 2");
    if (sides.shape(1) != maps.shape(0)) throw std::invalid_argument("sides must be (trials, maps, 2, 2)");
    if (!(height > 0 && width > 0)) throw std::invalid_argument("the windows must have a size");
    const float size[2] = {height, width};
    auto scores = make<float, 1>({sides.shape(0)});
    nb::gil_scoped_release release;
    markai::lattice_scores(maps.data(), maps.shape(0), maps.shape(1), maps.shape(2), sides.data(), sides.shape(0),
                           multiples.data(), multiples.shape(1), size, scores.data());
    return scores;
}

nb::tuple strongest_shifts(In<float, nb::shape<-1, -1, 2>> amplitudes, In<std::int32_t, nb::shape<-1, 2>> frequencies,
                           In<std::int32_t, nb::ndim<1>> group, std::size_t groups, std::size_t count) {
    const markai::Waves waves{amplitudes.data(), frequencies.data(), group.data(),
                              amplitudes.shape(0), amplitudes.shape(1), groups};
    if (frequencies.shape(0) != waves.waves || group.shape(0) != waves.waves)
        throw std::invalid_argument("amplitudes must be (tiles, waves, 2), frequencies (waves, 2), and group (waves,)");
    if (groups < 1 || groups > 64) throw std::invalid_argument("groups must be 1..64");
    if (count < 1 || count > 64) throw std::invalid_argument("count must be 1..64");
    for (std::size_t p = 0; p < waves.waves; ++p) {
        const std::int32_t fy = frequencies(p, 0), fx = frequencies(p, 1);
        if (std::abs(std::int64_t(fy)) >= std::int64_t(markai::kMostCycles) || fx < 0 || fx >= std::int32_t(markai::kMostCycles))
            throw std::invalid_argument("frequencies (fy, fx) must be -63..63 and 0..63");
        if (group(p) < 0 || group(p) >= std::int32_t(groups)) throw std::invalid_argument("group must be 0..groups - 1");
    }
    auto shifts = make<float, 3>({waves.tiles, count, 2});
    auto sums = make<float, 3>({waves.tiles, count, groups});
    {
        nb::gil_scoped_release release;
        markai::strongest_shifts(waves, count, shifts.data(), sums.data());
    }
    return nb::make_tuple(shifts, sums);
}

Out<std::uint8_t, 1> polar_encode(In<std::uint8_t, nb::ndim<1>> bits) {
    auto out = make<std::uint8_t, 1>({bits.shape(0)});
    if (!markai::polar_encode(bits.data(), bits.shape(0), out.data()))
        throw std::invalid_argument("the length must be a power of two up to 16384");
    return out;
}

nb::tuple polar_list_decode(In<float, nb::ndim<1>> llr, In<std::uint8_t, nb::ndim<1>> frozen, std::size_t list_size) {
    const std::size_t n = llr.shape(0);
    if (frozen.shape(0) != n) throw std::invalid_argument("llr and frozen must have one length");
    if (list_size < 1 || list_size > markai::kPolarMaxList) throw std::invalid_argument("list_size must be 1..64");
    auto bits = make<std::uint8_t, 2>({list_size, n});
    auto metrics = make<float, 1>({list_size});
    bool done;
    {
        nb::gil_scoped_release release;
        done = markai::polar_list_decode(llr.data(), frozen.data(), n, list_size, bits.data(), metrics.data());
    }
    if (!done) throw std::invalid_argument("the length must be a power of two up to 16384");
    return nb::make_tuple(bits, metrics);
}

template <class Sample>
void bind_pixels(nb::module_& m) {
    m.def("cell_means", &cell_means<Sample>, "pixels"_a.noconvert(), "step"_a, "threads"_a = 1);
    m.def("cell_means_and_spread", &cell_means_and_spread<Sample>, "pixels"_a.noconvert(), "step"_a, "threads"_a = 1);
    m.def("add_cells", &add_cells<Sample>, "pixels"_a.noconvert(), "cells"_a.noconvert(), "step"_a,
          "threads"_a = 1);
}

}  // namespace

NB_MODULE(_native, m) {
    m.doc() = "Compiled kernels; markai._kernels.reference has the same functions in NumPy.";
    bind_pixels<std::uint8_t>(m);
    bind_pixels<std::uint16_t>(m);
    bind_pixels<float>(m);
    m.def("whiten", &whiten, "plane"_a.noconvert());
    m.def("pull", &pull, "plane"_a.noconvert(), "target"_a.noconvert(), "stiffness"_a);
    m.def("smooth", &smooth, "plane"_a.noconvert(), "passes"_a);
    m.def("least_neighbour", &least_neighbour, "plane"_a.noconvert());
    m.def("neighbour_products", &neighbour_products, "plane"_a.noconvert());
    m.def("fit_change", &fit_change, "change"_a.noconvert(), "scale"_a, "cells"_a.noconvert(), "limit"_a.noconvert());
    m.def("gather_symbols", &gather_symbols, "coefficients"_a.noconvert(), "turn"_a.noconvert(), "symbol"_a.noconvert(),
          "direction"_a.noconvert(), "symbols"_a);
    m.def("scatter_symbols", &scatter_symbols, "amplitudes"_a.noconvert(), "turn"_a.noconvert(), "symbol"_a.noconvert(),
          "direction"_a.noconvert());
    m.def("warp", &warp, "plane"_a.noconvert(), "nodes"_a.noconvert(), "spacing"_a, "fill"_a);
    m.def("strongest_shifts", &strongest_shifts, "amplitudes"_a.noconvert(), "frequencies"_a.noconvert(),
          "group"_a.noconvert(), "groups"_a, "count"_a);
    m.def("lattice_scores", &lattice_scores, "maps"_a.noconvert(), "sides"_a.noconvert(), "multiples"_a.noconvert(),
          "height"_a, "width"_a);
    m.def("polar_encode", &polar_encode, "bits"_a.noconvert());
    m.def("polar_list_decode", &polar_list_decode, "llr"_a.noconvert(), "frozen"_a.noconvert(), "list_size"_a);
    markai::bind_text(m);
}
