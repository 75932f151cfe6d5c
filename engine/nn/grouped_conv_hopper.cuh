// The kernels behind grouped_conv_hopper.h. One group of threads copies boxes of both operands into
// a ring of shared memory, a stage a step; the others multiply what has arrived. Operands lie there
// as wgmma wants them, rows of 128 bytes swizzled; a group's channels are cut into pieces of 64,
// and what is left into one of 32 and one of 16.
//
// Forward, and backward to the input with the weights' roles exchanged: rows are output pixels,
// columns output channels of the group, terms (tap, input channel). Terms beyond the group's
// channels are another group's times weights that read as 0.
//
// Weight gradient: rows are output channels, columns input channels at one tap, terms pixels.
#pragma once

#include "engine/device/hopper.cuh"
#include "engine/device/hopper_product.cuh"

namespace seer::engine::cuda {
namespace {

inline constexpr int kTaps = 9;
inline constexpr int kGroup = 128;               // threads
inline constexpr int kProducts = 64;             // rows of one product
inline constexpr int kTerms = 64;                // of a whole piece: 128 bytes
inline constexpr int kPieceRow = 128;            // bytes
inline constexpr int kBlock64 = 64 * kPieceRow;  // bytes of a box of 64 whole rows

inline constexpr int kRingBytes = 225 * 1024;  // of the 227 KiB that a block can have

__device__ inline uint32_t Ring(uint8_t* raw) { return (SharedAddress(raw) + 1023) & ~1023u; }

// Full and empty slots. Both sides count their uses of the ring in the same way.
template <int kStages>
struct RingBarriers {
  uint64_t full[kStages], empty[kStages];

  __device__ void Init(int readers) {
    for (int i = 0; i < kStages; ++i) {
      InitBarrier(&full[i], 1);
      InitBarrier(&empty[i], readers);
    }
    FenceBarriers();
  }
};
template <int kStages>
struct RingPlace {
  int slot = 0;
  uint32_t phase = 0;
  __device__ void Next() {
    if (++slot == kStages) {
      slot = 0;
      phase ^= 1;
    }
  }
};

// ---- forward, and backward to the input -------------------------------------------------------

// Backward with stride 2, pixels of the output whose places are even and odd have taps of their
// own: phase 2 a + b is that of rows 2 i + a and columns 2 j + b, whose window is dy's (i, j) and,
// where a or b is 1, what follows it. Everything else has one phase.
inline constexpr int kPhases = 4;

struct ConvMaps {
  // Windows of 64, 32, 16 channels of kTileRows pixels, of each phase.
  CUtensorMap x[kPhases][3];
  CUtensorMap w[3];  // forward: 64, 32, 16 terms of kColumns rows; backward: the first alone
};
struct ConvPlan {
  int images, height, width;  // of the output
  bool phases;
  int stride;  // of the windows
  int channels, group_width;
  int whole;             // pieces of 64 channels
  int rest32, rest16;    // 1: there is such a piece
  int tiles, tile_step;  // of columns
};

inline constexpr int kTileRows = 256;
inline constexpr int kReaders = 2;  // groups of threads that multiply

template <int kColumns, bool kBackward>
struct ConvSlot {
  static constexpr int kBlocks = (kColumns + 63) / 64;
  static constexpr int kA = kTileRows * kPieceRow;
  static constexpr int kB = kBackward ? kBlocks * kBlock64 : kColumns * kPieceRow;
  static constexpr int kBytes = kA + (kB + 1023) / 1024 * 1024;
  static constexpr int kFit = kRingBytes / kBytes;
  static constexpr int kStages = kFit > 6 ? 6 : kFit;
};

// Channels go to the 16-byte pieces of one row of four threads: each gets all 8 of one block.
__device__ inline void TransposeQuad(uint32_t (&v)[4], int lane) {
  const bool odd = (lane & 1) != 0, high = (lane & 2) != 0;
  uint32_t t = __shfl_xor_sync(0xffffffff, odd ? v[0] : v[1], 1);
  (odd ? v[0] : v[1]) = t;
  t = __shfl_xor_sync(0xffffffff, odd ? v[2] : v[3], 1);
  (odd ? v[2] : v[3]) = t;
  t = __shfl_xor_sync(0xffffffff, high ? v[0] : v[2], 2);
  (high ? v[0] : v[2]) = t;
  t = __shfl_xor_sync(0xffffffff, high ? v[1] : v[3], 2);
  (high ? v[1] : v[3]) = t;
}

__device__ inline uint32_t PackBfloat16(float low, float high) {
  uint32_t packed;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(packed) : "f"(high), "f"(low));
  return packed;
}

template <int kColumns>
__device__ inline void StoreRow(const float (&d)[kColumns / 2], int half, int lane, int columns,
                                bool inside, uint16_t* to) {
  constexpr int kBlocks = kColumns / 8;
#pragma unroll
  for (int first = 0; first + 4 <= kBlocks; first += 4) {
    uint32_t v[4];
#pragma unroll
    for (int j = 0; j < 4; ++j)
      v[j] = PackBfloat16(d[4 * (first + j) + 2 * half], d[4 * (first + j) + 2 * half + 1]);
    TransposeQuad(v, lane);
    const int column = 8 * (first + (lane & 3));
    if (inside && column < columns)
      *reinterpret_cast<uint4*>(to + column) = make_uint4(v[0], v[1], v[2], v[3]);
  }
#pragma unroll
  for (int block = kBlocks / 4 * 4; block < kBlocks; ++block) {
    const int column = 8 * block + 2 * (lane & 3);
    if (inside && column < columns)
      *reinterpret_cast<uint32_t*>(to + column) =
          PackBfloat16(d[4 * block + 2 * half], d[4 * block + 2 * half + 1]);
  }
}

// The output pixels of one phase.
struct PhasePixels {
  __device__ PhasePixels(const ConvPlan& plan, int phase)
      : down(phase / 2),
        right(phase % 2),
        rows(plan.phases ? (plan.height - down + 1) / 2 : plan.height),
        columns(plan.phases ? (plan.width - right + 1) / 2 : plan.width),
        count(plan.images * rows * columns) {}
  // Number of pixel `row` of the phase among all of the output.
  __device__ int64_t Place(const ConvPlan& plan, int row) const {
    if (!plan.phases) return row;
    const int line = row / columns;
    const int64_t image = line / rows;
    return (image * plan.height + 2 * (line % rows) + down) * plan.width + 2 * (row % columns) +
           right;
  }
  const int down, right;  // 0 or 1
  const int rows, columns, count;
};

// Where a tap's window pixel lies, and which weight it meets.
struct Tap {
  int right, down, weight;
};
template <bool kBackward>
__device__ inline Tap TapOf(const ConvPlan& plan, const PhasePixels& pixels, int number) {
  if (!plan.phases) return {number % 3, number / 3, kBackward ? kTaps - 1 - number : number};
  const int across = pixels.right + 1, i = number / across, j = number % across;
  return {pixels.right * (1 - j), pixels.down * (1 - i),
          3 * (pixels.down != 0 ? 2 * i : 1) + (pixels.right != 0 ? 2 * j : 1)};
}

// Copies what a tile of the output is made of, stage by stage. Of one thread.
template <int kColumns, bool kBackward>
__device__ inline void CopyTile(const ConvMaps& maps, const ConvPlan& plan,
                                const PhasePixels& pixels,
                                RingBarriers<ConvSlot<kColumns, kBackward>::kStages>& barriers,
                                uint32_t ring, int phase, int first_row, int first_column,
                                int group) {
  using Slot = ConvSlot<kColumns, kBackward>;
  RingPlace<Slot::kStages> place;
  const int first_channel = group * plan.group_width;
  const int pieces = plan.whole + (plan.rest32 | plan.rest16);
  const int taps = plan.phases ? (pixels.down + 1) * (pixels.right + 1) : kTaps;
  const int line = first_row / pixels.columns, image = line / pixels.rows;
  const int corner = plan.phases ? 0 : -1;
  const int w = first_row % pixels.columns * plan.stride + corner;
  const int h = line % pixels.rows * plan.stride + corner;
  const int rest_channels = 32 * plan.rest32 + 16 * plan.rest16;
  for (int number = 0; number < taps; ++number) {
    const Tap tap = TapOf<kBackward>(plan, pixels, number);
    for (int piece = 0; piece < pieces; ++piece, place.Next()) {
      AwaitPhase(&barriers.empty[place.slot], place.phase ^ 1);
      uint64_t* const full = &barriers.full[place.slot];
      uint32_t a = ring + static_cast<uint32_t>(place.slot * Slot::kBytes), b = a + Slot::kA;
      const bool whole = piece < plan.whole;
      const int channels = whole ? kTerms : rest_channels;
      const int bytes_b = kBackward ? Slot::kBlocks * kBlock64 : kColumns * channels * 2;
      ArriveExpecting(full, static_cast<uint32_t>(kTileRows * channels * 2 + bytes_b));
      int c = piece * kTerms;  // in the group
      if constexpr (kBackward) {
        for (int block = 0; block < Slot::kBlocks; ++block) {
          CopyBox4(maps.w[0], full, b + static_cast<uint32_t>(block * kBlock64),
                   first_column + 64 * block, tap.weight, c, group);
        }
      }
      for (int size = whole ? 0 : 1; size < (whole ? 1 : 3); ++size) {
        if ((size == 1 && plan.rest32 == 0) || (size == 2 && plan.rest16 == 0)) continue;
        CopyWindow(maps.x[phase][size], full, a, first_channel + c, w, h, image,
                   static_cast<uint16_t>(tap.right), static_cast<uint16_t>(tap.down));
        if constexpr (!kBackward) {
          CopyBox3(maps.w[size], full, b, c, tap.weight, first_channel + first_column);
          b += static_cast<uint32_t>(kColumns * (kPieceRow >> size));
        }
        a += static_cast<uint32_t>(kTileRows * (kPieceRow >> size));
        c += kTerms >> size;
      }
    }
  }
}

template <int kColumns, bool kBackward>
__global__ void __launch_bounds__((kReaders + 1) * kGroup, 1)
    ConvKernel(const __grid_constant__ ConvMaps maps, const ConvPlan plan, uint16_t* y) {
  using Slot = ConvSlot<kColumns, kBackward>;
  constexpr int kStages = Slot::kStages;
  extern __shared__ uint8_t raw[];
  __shared__ RingBarriers<kStages> barriers;
  const uint32_t ring = Ring(raw);
  const int phase = static_cast<int>(blockIdx.z);
  const PhasePixels pixels(plan, phase);
  const int tile = static_cast<int>(blockIdx.x) % plan.tiles;
  const int first_row = static_cast<int>(blockIdx.x) / plan.tiles * kTileRows;
  if (first_row >= pixels.count) return;
  if (threadIdx.x == 0) barriers.Init(kReaders * kGroup / 32);
  __syncthreads();

  const int group = static_cast<int>(blockIdx.y);
  const int first_channel = group * plan.group_width, first_column = tile * plan.tile_step;
  const int pieces = plan.whole + (plan.rest32 | plan.rest16);
  const int taps = plan.phases ? (pixels.down + 1) * (pixels.right + 1) : kTaps;
  const int reader = static_cast<int>(threadIdx.x) / kGroup;
  RingPlace<kStages> place;

  if (reader == kReaders) {
    GiveRegisters<24>();
    if (threadIdx.x == kReaders * kGroup)
      CopyTile<kColumns, kBackward>(maps, plan, pixels, barriers, ring, phase, first_row,
                                    first_column, group);
    return;
  }
  TakeRegisters<240>();
  constexpr int kOwn = kTileRows / kReaders / kProducts;  // products of 64 rows
  float d[kOwn][kColumns / 2] = {};
  constexpr uint64_t kA128 = Descriptor(Swizzle::k128, 16, 1024);
  constexpr uint64_t kA64 = Descriptor(Swizzle::k64, 16, 512);
  constexpr uint64_t kA32 = Descriptor(Swizzle::k32, 16, 256);
  constexpr uint64_t kBack = Descriptor(Swizzle::k128, kBlock64, 1024);
  int before = -1;
  for (int step = 0; step < taps * pieces; ++step, place.Next()) {
    const int piece = step % pieces;
    const uint32_t a = ring + static_cast<uint32_t>(place.slot * Slot::kBytes), b = a + Slot::kA;
    AwaitPhase(&barriers.full[place.slot], place.phase);
    // 16 terms, number k of a piece that begins at so many bytes and has rows of `row` bytes;
    // `term`: their number in the step, in sixteens.
    const auto multiply = [&](uint64_t shape, int from_a, int from_b, int row, int k, int term) {
#pragma unroll
      for (int i = 0; i < kOwn; ++i) {
        const int rows = (reader * kOwn + i) * kProducts * row;
        const uint64_t own_a = At(shape, a + static_cast<uint32_t>(from_a + rows + k * 32));
        const uint64_t own_b = kBackward ? At(kBack, b + static_cast<uint32_t>(term * 2048))
                                         : At(shape, b + static_cast<uint32_t>(from_b + k * 32));
        Product<kColumns, false, kBackward>::Add(d[i], own_a, own_b);
      }
    };
    if (piece < plan.whole) {
      ProductsFence();
#pragma unroll
      for (int k = 0; k < 4; ++k) multiply(kA128, 0, 0, 128, k, k);
    } else {
      if (plan.rest32 != 0) {
        ProductsFence();
#pragma unroll
        for (int k = 0; k < 2; ++k) multiply(kA64, 0, 0, 64, k, k);
      }
      if (plan.rest16 != 0) {
        ProductsFence();
        multiply(kA32, plan.rest32 * kTileRows * 64, plan.rest32 * kColumns * 64, 32, 0,
                 2 * plan.rest32);
      }
    }
    CommitProducts();
    AwaitProducts<1>();
    if (before >= 0 && threadIdx.x % 32 == 0) Arrive(&barriers.empty[before]);
    before = place.slot;
  }
  AwaitProducts<0>();

  const int lane = static_cast<int>(threadIdx.x) % 32;
  const int warp = static_cast<int>(threadIdx.x) % kGroup / 32;
  const int columns = plan.group_width - first_column;
#pragma unroll
  for (int i = 0; i < kOwn; ++i) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int row = first_row + (reader * kOwn + i) * kProducts + warp * 16 + lane / 4 + 8 * half;
      StoreRow<kColumns>(
          d[i], half, lane, columns, row < pixels.count,
          y + pixels.Place(plan, row) * plan.channels + first_channel + first_column);
    }
  }
}

// ---- weight gradient --------------------------------------------------------------------------

struct WeightMaps {
  CUtensorMap dy;  // boxes of 64 channels of 64 pixels
  CUtensorMap x;   // windows of 64 channels of 64 pixels
};
struct WeightPlan {
  int pixels, image_pixels, row_pixels;  // of dy: in all, of an image, of a row of it
  int stride;
  int channels, group_width;
  int parts;           // of one tap's columns
  int row_tiles;       // of output channels
  int splits;          // shares of the pixels
  int64_t split_size;  // floats of one share's result
};

inline constexpr int kWeightRows = 128;  // of a tile: output channels

// The columns of a tile: each reader has a part, input channels at one tap. kWide: two parts are
// all of a tap, 136 columns that begin 128 apart; else three parts, of one tap or of several.
template <int kColumns, bool kWide>
struct WeightTile {
  static constexpr int kParts = kWide ? 2 : 3;
  static constexpr int kPartStep = kWide ? 128 : kColumns;
  static constexpr int kPartBlocks = (kColumns + 63) / 64;  // of 64 columns
  static constexpr int kPartBlockStep = kWide ? 2 : kPartBlocks;
  static constexpr int kColumnBlocks = kWide ? kPartBlocks + 2 : kParts * kPartBlocks;
  static constexpr int kA = kWeightRows / 64 * kBlock64;
  static constexpr int kBytes = kA + kColumnBlocks * kBlock64;
  static constexpr int kFit = kRingBytes / kBytes;
  static constexpr int kStages = kFit > 6 ? 6 : kFit;
};

// Of one thread: steps of 64 pixels from `first` to `last`, and where in the tile it is.
struct WeightWork {
  int first, last;
  int rows;        // of the group from the tile's first on
  int first_part;  // of all taps
  int reader, warp, lane;
};

// Copies the pixels of a tile, a step a stage. Of one thread.
template <int kColumns, bool kWide>
__device__ inline void CopyPixels(const WeightMaps& maps, const WeightPlan& plan,
                                  RingBarriers<WeightTile<kColumns, kWide>::kStages>& barriers,
                                  uint32_t ring, const WeightWork& work, int first_channel,
                                  int first_row) {
  using Tile = WeightTile<kColumns, kWide>;
  RingPlace<Tile::kStages> place;
  const int row_blocks = work.rows > 64 ? 2 : 1;
  for (int step = work.first; step < work.last; ++step, place.Next()) {
    AwaitPhase(&barriers.empty[place.slot], place.phase ^ 1);
    uint64_t* const full = &barriers.full[place.slot];
    const uint32_t a = ring + static_cast<uint32_t>(place.slot * Tile::kBytes);
    uint32_t to = a + static_cast<uint32_t>(Tile::kA);
    ArriveExpecting(full, static_cast<uint32_t>((row_blocks + Tile::kColumnBlocks) * kBlock64));
    const int pixel = step * kTerms, line = pixel / plan.row_pixels;
    for (int block = 0; block < row_blocks; ++block) {
      CopyBox2(maps.dy, full, a + static_cast<uint32_t>(block * kBlock64),
               first_channel + first_row + 64 * block, pixel);
    }
    const int rows = plan.image_pixels / plan.row_pixels, image = line / rows;
    const int w = pixel % plan.row_pixels * plan.stride - 1;
    const int h = line % rows * plan.stride - 1;
    for (int block = 0; block < Tile::kColumnBlocks; ++block, to += kBlock64) {
      // The last tile may have fewer parts: it copies and multiplies the last tap's again.
      const int part = work.first_part + (kWide ? 0 : block / Tile::kPartBlocks);
      const int tap = min(part / plan.parts, kTaps - 1);
      const int column =
          kWide ? 64 * block
                : part % plan.parts * Tile::kPartStep + 64 * (block % Tile::kPartBlocks);
      CopyWindow(maps.x, full, to, first_channel + column, w, h, image,
                 static_cast<uint16_t>(tap % 3), static_cast<uint16_t>(tap / 3));
    }
  }
}

// kOwn: products of 64 rows. `out`: of this share of the pixels, at the tile's first row.
template <int kColumns, bool kWide, int kOwn>
__device__ inline void SumPixels(RingBarriers<WeightTile<kColumns, kWide>::kStages>& barriers,
                                 uint32_t ring, const WeightPlan& plan, const WeightWork& work,
                                 float* out) {
  using Tile = WeightTile<kColumns, kWide>;
  constexpr uint64_t kShape = Descriptor(Swizzle::k128, kBlock64, 1024);
  RingPlace<Tile::kStages> place;
  float d[kOwn][kColumns / 2] = {};
  int before = -1;
  for (int step = work.first; step < work.last; ++step, place.Next()) {
    const uint32_t a = ring + static_cast<uint32_t>(place.slot * Tile::kBytes);
    const uint32_t b =
        a + static_cast<uint32_t>(Tile::kA + work.reader * Tile::kPartBlockStep * kBlock64);
    AwaitPhase(&barriers.full[place.slot], place.phase);
    ProductsFence();
#pragma unroll
    for (int k = 0; k < 4; ++k) {
#pragma unroll
      for (int i = 0; i < kOwn; ++i) {
        Product<kColumns, true, true>::Add(
            d[i], At(kShape, a + static_cast<uint32_t>(i * kBlock64 + k * 2048)),
            At(kShape, b + static_cast<uint32_t>(k * 2048)));
      }
    }
    CommitProducts();
    AwaitProducts<1>();
    if (before >= 0 && work.lane == 0) Arrive(&barriers.empty[before]);
    before = place.slot;
  }
  AwaitProducts<0>();
  const int part = work.first_part + work.reader, tap = part / plan.parts;
  if (tap >= kTaps) return;
  const int first_column = part % plan.parts * Tile::kPartStep;
  const int columns = plan.group_width - first_column;
#pragma unroll
  for (int i = 0; i < kOwn; ++i) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int row = i * kProducts + work.warp * 16 + work.lane / 4 + 8 * half;
      if (row >= work.rows) continue;
      float* const to = out + (static_cast<int64_t>(row) * kTaps + tap) * plan.group_width +
                        first_column + 2 * (work.lane % 4);
#pragma unroll
      for (int block = 0; block < kColumns / 8; ++block) {
        if (8 * block >= columns) continue;
        *reinterpret_cast<float2*>(to + 8 * block) =
            make_float2(d[i][4 * block + 2 * half], d[i][4 * block + 2 * half + 1]);
      }
    }
  }
}

template <int kColumns, bool kWide>
__global__ void __launch_bounds__((WeightTile<kColumns, kWide>::kParts + 1) * kGroup, 1)
    WeightKernel(const __grid_constant__ WeightMaps maps, const WeightPlan plan, float* out) {
  using Tile = WeightTile<kColumns, kWide>;
  extern __shared__ uint8_t raw[];
  __shared__ RingBarriers<Tile::kStages> barriers;
  const uint32_t ring = Ring(raw);
  const int split = static_cast<int>(blockIdx.z), group = static_cast<int>(blockIdx.y);
  const int first_row = static_cast<int>(blockIdx.x) % plan.row_tiles * kWeightRows;
  const int first_channel = group * plan.group_width;
  const int steps = (plan.pixels + kTerms - 1) / kTerms;
  WeightWork work;
  work.first = static_cast<int>(static_cast<int64_t>(steps) * split / plan.splits);
  work.last = static_cast<int>(static_cast<int64_t>(steps) * (split + 1) / plan.splits);
  work.rows = plan.group_width - first_row;
  work.first_part = static_cast<int>(blockIdx.x) / plan.row_tiles * Tile::kParts;
  work.reader = static_cast<int>(threadIdx.x) / kGroup;
  work.warp = static_cast<int>(threadIdx.x) % kGroup / 32;
  work.lane = static_cast<int>(threadIdx.x) % 32;
  if (threadIdx.x == 0) barriers.Init(Tile::kParts * kGroup / 32);
  __syncthreads();

  if (work.reader == Tile::kParts) {
    GiveRegisters<24>();
    if (threadIdx.x == Tile::kParts * kGroup)
      CopyPixels<kColumns, kWide>(maps, plan, barriers, ring, work, first_channel, first_row);
  } else {
    TakeRegisters<Tile::kParts == 2 ? 240 : 160>();
    float* const to = out + split * plan.split_size +
                      static_cast<int64_t>(first_channel + first_row) * kTaps * plan.group_width;
    if (work.rows <= kProducts)
      SumPixels<kColumns, kWide, 1>(barriers, ring, plan, work, to);
    else
      SumPixels<kColumns, kWide, 2>(barriers, ring, plan, work, to);
  }
}

// out = the sum of `splits` vectors of `size` floats, a multiple of 4, in order.
__global__ void __launch_bounds__(256)
    SumSplits(const float4* partial, int splits, int64_t size, float4* out) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x;
  if (i >= size / 4) return;
  float4 sum = partial[i];
  for (int s = 1; s < splits; ++s) {
    const float4 more = partial[s * (size / 4) + i];
    sum.x += more.x;
    sum.y += more.y;
    sum.z += more.z;
    sum.w += more.w;
  }
  out[i] = sum;
}

}  // namespace
}  // namespace seer::engine::cuda
