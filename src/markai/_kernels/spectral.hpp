#pragma once
#include <cstddef>

namespace markai {

// All planes are `height` x `width` floats, at least kBlock on each side.
// A plane minus its 3x3 mean is cut into 8x8 blocks, 4 apart, sine-windowed; F is a block's DFT and w(F) = (|F|^2 + e)^(-5/8).
constexpr std::size_t kBlock = 8, kHop = 4;

// Overlap-add of the blocks w(F) F: what is common in the host is levelled, to about the sign of each coefficient.
void whiten(const float* plane, std::size_t height, std::size_t width, float* out);

// The gradient over the plane of <limited(plane), target>, where limited() is whiten() with F / sqrt(|F|^2 + stiffness^2)
// for w(F) F: the cheapest change of the plane that brings what whiten() sees nearer to the target. Moving a coefficient
// along itself does nothing to a limiter, so that half of the energy is saved wherever the host outweighs `stiffness`.
void pull(const float* plane, const float* target, std::size_t height, std::size_t width, float stiffness, float* out);

// Binomial smoothing [1 2 1]/4 along both axes, `passes` times: close to a Gaussian of variance passes / 2.
void smooth(const float* plane, std::size_t height, std::size_t width, std::size_t passes, float* out);

}  // namespace markai
