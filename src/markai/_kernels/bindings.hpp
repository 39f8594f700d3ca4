#pragma once
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>

#ifdef __linux__
#include <sys/mman.h>
#endif

#include <cstddef>
#include <new>

namespace markai {

namespace nb = nanobind;

template <class T, class... Config>
using In = nb::ndarray<const T, nb::c_contig, nb::device::cpu, Config...>;

template <class T, std::size_t N>
using Out = nb::ndarray<nb::numpy, T, nb::ndim<N>, nb::c_contig>;

// Fresh memory comes in pages of 4 KiB, and asking for each takes longer than writing it: a picture of 3840x2160 costs
// 6 ms more than in pages of 2 MiB.
constexpr std::size_t kHugePage = std::size_t(1) << 21;

template <class T, std::size_t N>
Out<T, N> make(const std::size_t (&shape)[N]) {
    std::size_t size = sizeof(T);
    for (std::size_t n : shape) size *= n;
    const std::align_val_t alignment{size < 2 * kHugePage ? 64 : kHugePage};
    T* data = static_cast<T*>(::operator new(size, alignment));
#ifdef MADV_HUGEPAGE
    if (size >= 2 * kHugePage) madvise(data, size, MADV_HUGEPAGE);  // a wish; what becomes of it changes no result
#endif
    const auto free = size < 2 * kHugePage ? [](void* p) noexcept { ::operator delete(p, std::align_val_t(64)); }
                                           : [](void* p) noexcept { ::operator delete(p, std::align_val_t(kHugePage)); };
    return Out<T, N>(data, N, shape, nb::capsule(data, free));
}

// In module_text.cpp.
void bind_text(nb::module_& m);

}  // namespace markai
