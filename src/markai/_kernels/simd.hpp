#pragma once
#include <cstddef>
#include <type_traits>
#include <utility>

// Function clones for AVX2 beside the baseline, chosen by the loader. AVX-512 never beat AVX2 on these loops, and with
// -ffp-contract=off both give the same bits. Only glibc on x86-64 with GCC can do it; elsewhere the baseline serves.
#if defined(__x86_64__) && defined(__GLIBC__) && defined(__GNUC__) && !defined(__clang__) && !defined(__SANITIZE_ADDRESS__)
#define MARKAI_CLONES __attribute__((target_clones("arch=x86-64-v3", "default")))
#else
#define MARKAI_CLONES
#endif

// For what must become part of its caller's clone.
#if defined(__GNUC__)
#define MARKAI_INLINE inline __attribute__((always_inline))
#else
#define MARKAI_INLINE inline
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
MARKAI_INLINE void unrolled(F& f, std::index_sequence<k...>) {
    (f(std::integral_constant<std::size_t, k>()), ...);
}

// f(0), f(1), ... f(kCount - 1) with constants. A small array indexed by nothing else lives in registers, and the loop
// around it vectorises.
template <std::size_t kCount, class F>
MARKAI_INLINE void unrolled(F f) {
    unrolled(f, std::make_index_sequence<kCount>());
}

}  // namespace markai
