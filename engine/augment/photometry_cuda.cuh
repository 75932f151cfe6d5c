// The kernels behind photometry_cuda.h: what color.h does to a batch in some sixty passes over
// floats, from the uint8 pixels in two. All that is done to a pixel alone stays in registers;
// contrast needs the mean of what the crop is by then, which a first kernel finds by doing what
// comes before it. Sums go in an order that the shape fixes: no atomics.
#pragma once

#include "engine/augment/photometry_cuda.h"
#include "engine/device/cuda_numbers.cuh"

namespace seer::engine::cuda {

inline constexpr int kPhotometryBlock =
    256;  // threads, of one crop each; a block's share of pixels:
inline constexpr int kPixelsOfABlock = kPhotometryBlock * 16;

// Each includer's own: nvcc and the host's compiler make different code of them.
namespace {

struct Pixel {
  float r, g, b;
};

__device__ float Clamped(float value) { return value < 0 ? 0 : value > 1 ? 1 : value; }
__device__ float GreyOf(const Pixel& p) { return 0.2989f * p.r + 0.587f * p.g + 0.114f * p.b; }
// clamp(factor · x + (1 − factor) · other), in at::lerp's two ways to write it.
__device__ float Blended(float x, float other, float factor) {
  return Clamped(factor < 0.5f ? other + factor * (x - other) : x - (x - other) * (1 - factor));
}
__device__ float Turns(float value) { return value - floorf(value); }  // into [0, 1)

__device__ Pixel HueShifted(const Pixel& p, float shift) {
  const float top = fmaxf(p.r, fmaxf(p.g, p.b)), bottom = fminf(p.r, fminf(p.g, p.b));
  const float chroma = top - bottom, divisor = chroma == 0 ? 1 : chroma;
  const float rc = (top - p.r) / divisor, gc = (top - p.g) / divisor, bc = (top - p.b) / divisor;
  const float sector = top == p.r ? bc - gc : top == p.g ? rc - bc + 2 : gc - rc + 4;
  const float hue = Turns(sector / 6 + shift) * 6;
  const auto channel = [&](float offset) {
    const float k = Turns((hue + offset) / 6) * 6;
    return top - chroma * Clamped(fminf(k, 4 - k));
  };
  return {channel(5), channel(3), channel(1)};
}

// Jitter's operations from `begin` to before `end` in the crop's order.
__device__ Pixel Jittered(Pixel p, const CropDraw& draw, int begin, int end, float mean_grey) {
  for (int turn = begin; turn < end; ++turn) {
    const int kind = draw.order[turn];
    const float s = draw.strength[kind];
    if (kind == 3) {
      p = HueShifted(p, s);
    } else if (kind == 0) {
      p = {Clamped(p.r * s), Clamped(p.g * s), Clamped(p.b * s)};
    } else {
      const float other = kind == 1 ? mean_grey : GreyOf(p);
      p = {Blended(p.r, other, s), Blended(p.g, other, s), Blended(p.b, other, s)};
    }
  }
  return p;
}

__device__ int TurnOfContrast(const CropDraw& draw) {
  int turn = 0;
  while (turn < 3 && draw.order[turn] != 1) ++turn;
  return turn;
}

__device__ Pixel Read(const unsigned char* at) {
  return {static_cast<float>(at[0]) / 255, static_cast<float>(at[1]) / 255,
          static_cast<float>(at[2]) / 255};
}
__device__ Pixel Solarized(const Pixel& p) {
  const auto channel = [](float x) { return x >= 0.5f ? 1 - x : x; };
  return {channel(p.r), channel(p.g), channel(p.b)};
}
__device__ void Write(const Pixel& p, const ChannelScale& scale, float* to) {
  to[0] = (p.r - scale.mean[0]) / scale.std[0];
  to[1] = (p.g - scale.mean[1]) / scale.std[1];
  to[2] = (p.b - scale.mean[2]) / scale.std[2];
}

// The pixels of this thread: blocks (shares, crops).
struct Share {
  __device__ explicit Share(int64_t pixels)
      : crop(blockIdx.y),
        begin(static_cast<int64_t>(blockIdx.x) * kPixelsOfABlock + threadIdx.x),
        end(static_cast<int64_t>(blockIdx.x + 1) * kPixelsOfABlock < pixels
                ? static_cast<int64_t>(blockIdx.x + 1) * kPixelsOfABlock
                : pixels) {}
  const int64_t crop, begin, end;
};

// sums[crop][share]: of the grey of the crop's share, as it is when its contrast's turn comes.
__global__ void __launch_bounds__(kPhotometryBlock)
    SumGreys(const unsigned char* in, const CropDraw* draws, int64_t pixels, float* sums) {
  __shared__ float shared[kPhotometryBlock];
  const Share share(pixels);
  const CropDraw draw = draws[share.crop];
  float sum = 0;
  if (draw.jitter) {
    const int before = TurnOfContrast(draw);
    for (int64_t i = share.begin; i < share.end; i += kPhotometryBlock)
      sum += GreyOf(Jittered(Read(in + (share.crop * pixels + i) * 3), draw, 0, before, 0));
  }
  shared[threadIdx.x] = sum;
  for (unsigned half = kPhotometryBlock / 2; half > 0; half /= 2) {
    __syncthreads();
    if (threadIdx.x < half) shared[threadIdx.x] += shared[threadIdx.x + half];
  }
  if (threadIdx.x == 0) sums[share.crop * gridDim.x + blockIdx.x] = shared[0];
}

// All but blur and what comes after it: crops that are blurred stay as they are before it.
__global__ void __launch_bounds__(kPhotometryBlock)
    PaintPixels(const unsigned char* in, const CropDraw* draws, const float* sums, int64_t pixels,
                ChannelScale scale, float* out) {
  const Share share(pixels);
  const CropDraw draw = draws[share.crop];
  double total = 0;
  for (unsigned i = 0; draw.jitter && i < gridDim.x; ++i) total += sums[share.crop * gridDim.x + i];
  const auto mean_grey = static_cast<float>(total / static_cast<double>(pixels));
  for (int64_t i = share.begin; i < share.end; i += kPhotometryBlock) {
    const int64_t at = (share.crop * pixels + i) * 3;
    Pixel p = Read(in + at);
    if (draw.jitter) p = Jittered(p, draw, 0, 4, mean_grey);
    if (draw.grey) p.r = p.g = p.b = GreyOf(p);
    if (draw.blur) {
      out[at] = p.r;
      out[at + 1] = p.g;
      out[at + 2] = p.b;
    } else {
      Write(draw.solarize ? Solarized(p) : p, scale, out + at);
    }
  }
}

// One of the two passes of a separable Gaussian over the crops in `blurred`, blocks (shares, number
// of those). kDown: along the height, from the batch into `into`, packed; else along the width,
// from there into the batch, solarised and normalised. The border pixel is repeated.
template <bool kDown>
__global__ void __launch_bounds__(kPhotometryBlock)
    BlurPixels(const float* from, const CropDraw* draws, const int64_t* blurred, int size,
               int radius, ChannelScale scale, float* into) {
  __shared__ float weights[kMostTaps], total;
  const int64_t pixels = static_cast<int64_t>(size) * size;
  const Share share(pixels);
  const int64_t crop = blurred[share.crop];
  const CropDraw draw = draws[crop];
  const int taps = 2 * radius + 1;
  for (int tap = static_cast<int>(threadIdx.x); tap < taps; tap += kPhotometryBlock) {
    const auto distance = static_cast<float>(tap - radius);
    weights[tap] = expf(distance * distance / -2 / (draw.sigma * draw.sigma));
  }
  __syncthreads();
  if (threadIdx.x == 0) {
    total = 0;
    for (int tap = 0; tap < taps; ++tap) total += weights[tap];
  }
  __syncthreads();
  const float* const source = from + (kDown ? crop : share.crop) * pixels * 3;
  float* const target = into + (kDown ? share.crop : crop) * pixels * 3;
  for (int64_t i = share.begin; i < share.end; i += kPhotometryBlock) {
    const int y = static_cast<int>(i / size), x = static_cast<int>(i % size);
    Pixel sum = {0, 0, 0};
    for (int tap = 0; tap < taps; ++tap) {
      int at = (kDown ? y : x) + tap - radius;
      at = at < 0 ? 0 : at >= size ? size - 1 : at;
      const float* const p = source + (kDown ? at * size + x : y * size + at) * 3;
      const float weight = weights[tap] / total;
      sum.r += weight * p[0];
      sum.g += weight * p[1];
      sum.b += weight * p[2];
    }
    if constexpr (kDown) {
      target[i * 3] = sum.r;
      target[i * 3 + 1] = sum.g;
      target[i * 3 + 2] = sum.b;
    } else {
      Write(draw.solarize ? Solarized(sum) : sum, scale, target + i * 3);
    }
  }
}

}  // namespace
}  // namespace seer::engine::cuda
