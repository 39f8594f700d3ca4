#pragma once
#include <algorithm>
#include <cstddef>
#include <future>
#include <vector>

namespace markai {

// Calls work(begin, end) for `threads` even shares of 0..count, one of them in this thread; all have ended when it returns
// or throws.
template <class Work>
void share(std::size_t count, std::size_t threads, Work work) {
    threads = std::max<std::size_t>(1, std::min(threads, count));
    std::vector<std::future<void>> others;
    for (std::size_t i = 1; i < threads; ++i)
        others.push_back(std::async(std::launch::async, work, count * i / threads, count * (i + 1) / threads));
    work(0, count / threads);
    for (auto& other : others) other.get();
}

}  // namespace markai
