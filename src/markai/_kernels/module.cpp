// Bindings only: shapes and dtypes are checked here, the GIL is released around every kernel.
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#include <cmath>
#include <stdexcept>

#include "planes.hpp"
#include "polar.hpp"
#include "spectral.hpp"
#include "warps.hpp"

namespace nb = nanobind;
using namespace nb::literals;

namespace {

template <class T, class... Config>
using In = nb::ndarray<const T, nb::c_contig, nb::device::cpu, Config...>;
using Plane = In<float, nb::ndim<2>>;
template <class Sample>
using Pixels = In<Sample, nb::ndim<3>>;

template <class T, std::size_t N>
using Out = nb::ndarray<nb::numpy, T, nb::ndim<N>, nb::c_contig>;

template <class T, std::size_t N>
Out<T, N> make(const std::size_t (&shape)[N]) {
    std::size_t size = 1;
    for (std::size_t n : shape) size *= n;
    T* data = new T[size];
    return Out<T, N>(data, N, shape, nb::capsule(data, [](void* p) noexcept { delete[] static_cast<T*>(p); }));
}

template <class Sample>
markai::Picture<Sample> picture(const Pixels<Sample>& pixels, std::size_t step) {
    const std::size_t h = pixels.shape(0), w = pixels.shape(1), c = pixels.shape(2);
    if (c != 1 && c != 3) throw std::invalid_argument("pixels must be (H, W, 1) or (H, W, 3)");
    if (step < 1 || step > 64 || h < step || w < step) throw std::invalid_argument("step must be 1..64 and fit in the picture");
    const float scale = std::is_same_v<Sample, float> ? 255.0f : std::is_same_v<Sample, std::uint16_t> ? 1.0f / 257 : 1.0f;
    return {pixels.data(), h, w, c, scale};
}

template <class Sample>
Out<float, 2> cell_means(Pixels<Sample> pixels, std::size_t step) {
    const auto p = picture<Sample>(pixels, step);
    auto means = make<float, 2>({p.height / step, p.width / step});
    nb::gil_scoped_release release;
    markai::cell_means(p, step, means.data(), nullptr);
    return means;
}

template <class Sample>
nb::tuple cell_means_and_spread(Pixels<Sample> pixels, std::size_t step) {
    const auto p = picture<Sample>(pixels, step);
    auto means = make<float, 2>({p.height / step, p.width / step});
    auto spread = make<float, 2>({p.height / step, p.width / step});
    {
        nb::gil_scoped_release release;
        markai::cell_means(p, step, means.data(), spread.data());
    }
    return nb::make_tuple(means, spread);
}

template <class Sample>
Out<Sample, 3> add_cells(Pixels<Sample> pixels, Plane cells, std::size_t step) {
    const auto p = picture<Sample>(pixels, step);
    if (cells.shape(0) != p.height / step || cells.shape(1) != p.width / step)
        throw std::invalid_argument("cells must be (H // step, W // step)");
    auto out = make<Sample, 3>({p.height, p.width, p.channels});
    nb::gil_scoped_release release;
    markai::add_cells(p, cells.data(), step, out.data());
    return out;
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
    m.def("cell_means", &cell_means<Sample>, "pixels"_a.noconvert(), "step"_a);
    m.def("cell_means_and_spread", &cell_means_and_spread<Sample>, "pixels"_a.noconvert(), "step"_a);
    m.def("add_cells", &add_cells<Sample>, "pixels"_a.noconvert(), "cells"_a.noconvert(), "step"_a);
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
    m.def("warp", &warp, "plane"_a.noconvert(), "nodes"_a.noconvert(), "spacing"_a, "fill"_a);
    m.def("lattice_scores", &lattice_scores, "maps"_a.noconvert(), "sides"_a.noconvert(), "multiples"_a.noconvert(),
          "height"_a, "width"_a);
    m.def("polar_encode", &polar_encode, "bits"_a.noconvert());
    m.def("polar_list_decode", &polar_list_decode, "llr"_a.noconvert(), "frozen"_a.noconvert(), "list_size"_a);
}
