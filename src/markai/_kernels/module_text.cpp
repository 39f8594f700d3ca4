// Bindings of the text marks' kernels: shapes are checked here, the GIL is released around every kernel.
#include <cstdint>
#include <initializer_list>
#include <stdexcept>

#include "bindings.hpp"
#include "logits.hpp"
#include "mersenne.hpp"
#include "prf.hpp"

namespace nb = nanobind;
using namespace nb::literals;
using markai::In;
using markai::kMostNeighbours;
using markai::make;
using markai::Out;

namespace {

using Words = In<std::uint32_t, nb::ndim<1>>;
using States = In<std::uint32_t, nb::shape<-1, 4>>;
using Neighbours = In<std::uint32_t, nb::shape<-1, -1, 4>>;
using Logits = In<float, nb::ndim<2>>;
using Changing = nb::ndarray<float, nb::ndim<2>, nb::c_contig, nb::device::cpu>;
using Deltas = In<float, nb::ndim<1>>;

constexpr std::uint64_t kWords = std::uint64_t(1) << 32;

void one_length(std::size_t n, std::initializer_list<std::size_t> others, const char* what) {
    for (std::size_t other : others)
        if (other != n) throw std::invalid_argument(what);
}

void check_vocabulary(std::uint64_t size) {
    if (size > kWords) throw std::invalid_argument("a vocabulary has at most 2**32 tokens");
}

void check_neighbours(const Neighbours& neighbours) {
    if (neighbours.shape(1) < 1 || neighbours.shape(1) > kMostNeighbours)
        throw std::invalid_argument("neighbours must be (n, h, 4) with h of 1 to 16");
}

Out<std::uint32_t, 2> context_states(In<std::uint64_t, nb::shape<2>> key, In<std::uint32_t, nb::ndim<2>> windows) {
    if (windows.shape(1) > markai::kMostTokensOfContext) throw std::invalid_argument("windows must be of at most 64 words");
    auto states = make<std::uint32_t, 2>({windows.shape(0), 4});
    nb::gil_scoped_release release;
    markai::context_states(key.data(), windows.data(), windows.shape(0), windows.shape(1), states.data());
    return states;
}

Out<std::uint32_t, 1> token_words(States states, Words tokens, Words lanes) {
    one_length(tokens.shape(0), {states.shape(0), lanes.shape(0)}, "states, tokens and lanes must have one length");
    auto words = make<std::uint32_t, 1>({tokens.shape(0)});
    nb::gil_scoped_release release;
    markai::token_words(states.data(), tokens.data(), lanes.data(), tokens.shape(0), words.data());
    return words;
}

Out<std::uint32_t, 1> self_words(Neighbours neighbours, Words tokens, Words lanes) {
    check_neighbours(neighbours);
    one_length(tokens.shape(0), {neighbours.shape(0), lanes.shape(0)}, "neighbours, tokens and lanes must have one length");
    auto words = make<std::uint32_t, 1>({tokens.shape(0)});
    nb::gil_scoped_release release;
    markai::self_words(neighbours.data(), neighbours.shape(1), tokens.data(), lanes.data(), tokens.shape(0), words.data());
    return words;
}

Out<std::uint32_t, 2> lane_words(States states, Words tokens, std::uint64_t first, std::uint64_t count) {
    one_length(tokens.shape(0), {states.shape(0)}, "states and tokens must have one length");
    if (first > kWords || count > kWords - first) throw std::invalid_argument("lanes must be 0 to 2**32 - 1");
    auto words = make<std::uint32_t, 2>({tokens.shape(0), count});
    nb::gil_scoped_release release;
    for (std::size_t i = 0; i < tokens.shape(0); ++i)
        markai::lane_words(states.data() + 4 * i, tokens.data()[i], std::uint32_t(first), count, words.data() + i * count);
    return words;
}

Out<std::uint32_t, 2> vocabulary_words(States states, Words lanes, std::uint64_t size) {
    check_vocabulary(size);
    one_length(lanes.shape(0), {states.shape(0)}, "states and lanes must have one length");
    auto words = make<std::uint32_t, 2>({lanes.shape(0), size});
    nb::gil_scoped_release release;
    for (std::size_t r = 0; r < lanes.shape(0); ++r)
        markai::vocabulary_words(states.data() + 4 * r, lanes.data()[r], 0, size, words.data() + r * size);
    return words;
}

void add_bias(Changing logits, States states, Words lanes, std::uint64_t below, Deltas delta) {
    const std::size_t rows = logits.shape(0), size = logits.shape(1);
    check_vocabulary(size);
    one_length(rows, {states.shape(0), lanes.shape(0), delta.shape(0)}, "logits, states, lanes and delta must have one length");
    if (below > kWords) throw std::invalid_argument("below must be 0 to 2**32");
    nb::gil_scoped_release release;
    for (std::size_t r = 0; r < rows; ++r)
        if (const float d = delta.data()[r]; d != 0)
            markai::add_bias(logits.data() + r * size, size, states.data() + 4 * r, lanes.data()[r], below, d);
}

void add_bias_self(Changing logits, Neighbours neighbours, Words lanes, std::uint64_t below, Deltas delta) {
    const std::size_t rows = logits.shape(0), size = logits.shape(1), h = neighbours.shape(1);
    check_vocabulary(size);
    check_neighbours(neighbours);
    one_length(rows, {neighbours.shape(0), lanes.shape(0), delta.shape(0)},
               "logits, neighbours, lanes and delta must have one length");
    if (below > 65536) throw std::invalid_argument("below must be 0 to 2**16");
    nb::gil_scoped_release release;
    for (std::size_t r = 0; r < rows; ++r)
        if (const float d = delta.data()[r]; d != 0)
            markai::add_bias_self(logits.data() + r * size, size, neighbours.data() + 4 * h * r, h, lanes.data()[r],
                                  std::uint32_t(below), d);
}

Out<std::int64_t, 1> gumbel_choice(Logits logits, States states, Words lanes) {
    const std::size_t rows = logits.shape(0), size = logits.shape(1);
    check_vocabulary(size);
    one_length(rows, {states.shape(0), lanes.shape(0)}, "logits, states and lanes must have one length");
    auto choices = make<std::int64_t, 1>({rows});
    nb::gil_scoped_release release;
    for (std::size_t r = 0; r < rows; ++r)
        choices.data()[r] = markai::gumbel_choice(logits.data() + r * size, size, states.data() + 4 * r, lanes.data()[r]);
    return choices;
}

Out<std::int64_t, 1> randperm(std::uint32_t seed, std::uint64_t n) {
    if (n > markai::kMostShuffled) throw std::invalid_argument("n must be at most 2**32 / 20");
    auto shuffled = make<std::int64_t, 1>({n});
    nb::gil_scoped_release release;
    markai::randperm(seed, n, shuffled.data());
    return shuffled;
}

Out<std::int64_t, 1> randperm_ranks(Words seeds, Words tokens, std::uint64_t vocabulary, std::uint64_t limit) {
    const std::size_t count = tokens.shape(0);
    one_length(count, {seeds.shape(0)}, "seeds and tokens must have one length");
    if (vocabulary < 1 || vocabulary > markai::kMostShuffled)
        throw std::invalid_argument("vocabulary must be 1 to 2**32 / 20");
    for (std::size_t i = 0; i < count; ++i)
        if (tokens.data()[i] >= vocabulary) throw std::invalid_argument("tokens must be below vocabulary");
    auto ranks = make<std::int64_t, 1>({count});
    nb::gil_scoped_release release;
    markai::randperm_ranks(seeds.data(), tokens.data(), count, vocabulary, limit, ranks.data());
    return ranks;
}

}  // namespace

void markai::bind_text(nb::module_& m) {
    m.def("context_states", &::context_states, "key"_a.noconvert(), "windows"_a.noconvert());
    m.def("token_words", &::token_words, "states"_a.noconvert(), "tokens"_a.noconvert(), "lanes"_a.noconvert());
    m.def("self_words", &::self_words, "neighbours"_a.noconvert(), "tokens"_a.noconvert(), "lanes"_a.noconvert());
    m.def("lane_words", &::lane_words, "states"_a.noconvert(), "tokens"_a.noconvert(), "first"_a, "count"_a);
    m.def("vocabulary_words", &::vocabulary_words, "states"_a.noconvert(), "lanes"_a.noconvert(), "size"_a);
    m.def("add_bias", &::add_bias, "logits"_a.noconvert(), "states"_a.noconvert(), "lanes"_a.noconvert(), "below"_a,
          "delta"_a.noconvert());
    m.def("add_bias_self", &::add_bias_self, "logits"_a.noconvert(), "neighbours"_a.noconvert(), "lanes"_a.noconvert(),
          "below"_a, "delta"_a.noconvert());
    m.def("gumbel_choice", &::gumbel_choice, "logits"_a.noconvert(), "states"_a.noconvert(), "lanes"_a.noconvert());
    m.def("randperm", &::randperm, "seed"_a, "n"_a);
    m.def("randperm_ranks", &::randperm_ranks, "seeds"_a.noconvert(), "tokens"_a.noconvert(), "vocabulary"_a, "limit"_a);
}
