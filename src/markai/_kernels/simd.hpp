#pragma once
#include <cstddef>
#include <type_traits>
#include <utility>

// Function clones for AVX2 and AVX-512 beside the baseline, chosen by the loader; with -ffp-contract=off all give the same
// bits. The permutations of AVX-512 take a quarter off the loops over interleaved channels, a tenth off the transforms.
// Only glibc on x86-64 with GCC can do it; elsewhere the baseline serves. Flat: all that a clone calls becomes part of it.
// One call left over in a loop, and it is not vectorised: 8 ms for 0.4.
#if defined(__x86_64__) && defined(__GLIBC__) && defined(__GNUC__) && !defined(__clang__) && !defined(__SANITIZE_ADDRESS__)
#define MARKAI_CLONES __attribute__((flatten, target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#elif defined(__GNUC__)
#define MARKAI_CLONES __attribute__((flatten))
#else
#define MARKAI_CLONES
#endif

// Before a loop of which no pass reads or writes what another writes: with many pointers the compiler cannot tell.
#if defined(__clang__)
#define MARKAI_INDEPENDENT _Pragma("clang loop vectorize(assume_safety)")
#elif defined(__GNUC__)
#define MARKAI_INDEPENDENT _Pragma("GCC ivdep")
#else
#define MARKAI_INDEPENDENT
#endif

namespace markai {

template <class F, std::size_t... k>
void unrolled(F& f, std::index_sequence<k...>) {
    (f(std::integral_constant<std::size_t, k>()), ...);
}

// f(0), f(1), ... f(kCount - 1) with constants. A small array indexed by nothing else lives in registers, and the loop
// around it vectorises.
template <std::size_t kCount, class F>
void unrolled(F f) {
    unrolled(f, std::make_index_sequence<kCount>());
}

}  // namespace markai
