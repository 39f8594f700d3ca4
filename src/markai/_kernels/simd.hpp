#pragma once
// Function clones for AVX2 beside the baseline, chosen by the loader. AVX-512 never beat AVX2 on these loops, and with
// -ffp-contract=off both give the same bits. Only glibc on x86-64 with GCC can do it; elsewhere the baseline serves.
#if defined(__x86_64__) && defined(__GLIBC__) && defined(__GNUC__) && !defined(__clang__) && !defined(__SANITIZE_ADDRESS__)
#define MARKAI_CLONES __attribute__((target_clones("arch=x86-64-v3", "default")))
#else
#define MARKAI_CLONES
#endif
