#include "engine/nn/grouped_conv_hopper.h"

#include <cuda_runtime.h>

#include <array>
#include <initializer_list>
#include <stdexcept>
#include <string>

#include "engine/nn/grouped_conv_hopper.cuh"

namespace seer::engine::cuda {
namespace {

// The driver's encoders of tensor maps; the process does not link the driver.
template <typename Function>
Function* DriverFunction(const char* name) {
  void* function = nullptr;
  cudaDriverEntryPointQueryResult found = cudaDriverEntryPointSymbolNotFound;
  if (cudaGetDriverEntryPointByVersion(name, &function, 12000, cudaEnableDefault, &found) !=
          cudaSuccess ||
      found != cudaDriverEntryPointSuccess)
    throw std::runtime_error(std::string("the CUDA driver has no ") + name);
  return reinterpret_cast<Function*>(function);
}

void Check(CUresult result, const char* what) {
  if (result != CUDA_SUCCESS)
    throw std::runtime_error(std::string(what) + ": CUDA error " + std::to_string(result));
}
void Check(cudaError_t error, const char* what) {
  if (error != cudaSuccess)
    throw std::runtime_error(std::string(what) + ": " + cudaGetErrorString(error));
}

CUtensorMapSwizzle SwizzleOf(int row_bytes) {
  return row_bytes == 128  ? CU_TENSOR_MAP_SWIZZLE_128B
         : row_bytes == 64 ? CU_TENSOR_MAP_SWIZZLE_64B
                           : CU_TENSOR_MAP_SWIZZLE_32B;
}

// bfloat16 without gaps: `dims` and `box` with the innermost dimension first.
template <int kRank>
CUtensorMap Boxes(const void* data, const std::array<int64_t, kRank>& dims,
                  const std::array<int, kRank>& box) {
  static const auto encode =
      DriverFunction<decltype(cuTensorMapEncodeTiled)>("cuTensorMapEncodeTiled");
  std::array<cuuint64_t, kRank> sizes;
  std::array<cuuint64_t, kRank> strides;  // the last is not used
  std::array<cuuint32_t, kRank> box_sizes, steps;
  cuuint64_t stride = 2;
  for (int i = 0; i < kRank; ++i) {
    sizes[i] = static_cast<cuuint64_t>(dims[i]);
    strides[i] = stride *= sizes[i];
    box_sizes[i] = static_cast<cuuint32_t>(box[i]);
    steps[i] = 1;
  }
  CUtensorMap map;
  Check(encode(&map, CU_TENSOR_MAP_DATA_TYPE_BFLOAT16, kRank, const_cast<void*>(data), sizes.data(),
               strides.data(), box_sizes.data(), steps.data(), CU_TENSOR_MAP_INTERLEAVE_NONE,
               SwizzleOf(2 * box[0]), CU_TENSOR_MAP_L2_PROMOTION_L2_128B,
               CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE),
        "a map of boxes");
  return map;
}

struct Images {
  int64_t images = 0, height = 0, width = 0, channels = 0;
};
// Where windows may begin: from the image's first pixel + `before` to its last one + `after`.
struct Corners {
  int before = -1, after_right = -1, after_down = -1;  // of 3 x 3 windows with padding 1
};

// Windows of images: `channels` of `pixels` windows a copy.
CUtensorMap Windows(const void* data, const Images& shape, int64_t stride, const Corners& corners,
                    int channels, int pixels) {
  static const auto encode =
      DriverFunction<decltype(cuTensorMapEncodeIm2col)>("cuTensorMapEncodeIm2col");
  const auto size = [](int64_t n) { return static_cast<cuuint64_t>(n); };
  const cuuint64_t sizes[] = {size(shape.channels), size(shape.width), size(shape.height),
                              size(shape.images)};
  const cuuint64_t strides[] = {2 * sizes[0], 2 * sizes[0] * sizes[1],
                                2 * sizes[0] * sizes[1] * sizes[2]};
  const int first_corner[] = {corners.before, corners.before};
  const int last_corner[] = {corners.after_right, corners.after_down};
  const auto step = static_cast<cuuint32_t>(stride);
  const cuuint32_t steps[] = {1, step, step, 1};
  CUtensorMap map;
  Check(encode(&map, CU_TENSOR_MAP_DATA_TYPE_BFLOAT16, 4, const_cast<void*>(data), sizes, strides,
               first_corner, last_corner, static_cast<cuuint32_t>(channels),
               static_cast<cuuint32_t>(pixels), steps, CU_TENSOR_MAP_INTERLEAVE_NONE,
               SwizzleOf(2 * channels), CU_TENSOR_MAP_L2_PROMOTION_L2_128B,
               CU_TENSOR_MAP_FLOAT_OOB_FILL_NONE),
        "a map of windows");
  return map;
}

constexpr int kAlignment = 1024;  // of the ring

template <typename Maps, typename Plan, typename Out>
void Start(void (*kernel)(Maps, Plan, Out*), dim3 blocks, int threads, int ring_bytes, void* stream,
           const Maps& maps, const Plan& plan, Out* out) {
  const int shared_bytes = ring_bytes + kAlignment;
  Check(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, shared_bytes),
        "shared memory of a convolution");
  kernel<<<blocks, threads, static_cast<size_t>(shared_bytes), static_cast<cudaStream_t>(stream)>>>(
      maps, plan, out);
  Check(cudaGetLastError(), "a convolution did not start");
}

// How wide a tile is for a group: as few tiles as hold it, as narrow as may be. Of widths that cost
// the same, the first.
int BestColumns(int64_t group_width, std::initializer_list<int> widths) {
  int best = 0;
  int64_t least = 0;
  for (const int columns : widths) {
    const int64_t tiles = (group_width + columns - 1) / columns;
    // Narrow tiles read each pixel more often.
    const int64_t cost = tiles * (columns + 24);
    if (best == 0 || cost < least) {
      best = columns;
      least = cost;
    }
  }
  return best;
}

// call.operator()<columns>().
template <typename Call>
void ForColumns(int64_t group_width, const Call& call) {
  switch (BestColumns(group_width, {56, 72, 112, 120, 136})) {
    case 56:
      return call.template operator()<56>();
    case 72:
      return call.template operator()<72>();
    case 112:
      return call.template operator()<112>();
    case 120:
      return call.template operator()<120>();
    default:
      return call.template operator()<136>();
  }
}

int Int(int64_t value) { return static_cast<int>(value); }

// The driver encodes maps in the thread's current context, which a thread that has only used the
// allocator's memory does not have yet.
void BindContext() {
  static thread_local bool bound = false;
  if (!bound) Check(cudaFree(nullptr), "the thread's CUDA context");
  bound = true;
}

template <bool kBackward>
void ConvolveAs(const GroupedConv& conv, const void* x, const void* weight, void* y) {
  BindContext();
  ForColumns(conv.group_width, [&]<int kColumns>() {
    using Slot = ConvSlot<kColumns, kBackward>;
    // What is read and what is written.
    const Images input{conv.images, conv.height, conv.width, conv.channels};
    const Images output{conv.images, conv.output_height(), conv.output_width(), conv.channels};
    const Images& from = kBackward ? output : input;
    const Images& to = kBackward ? input : output;
    ConvPlan plan;
    plan.images = Int(to.images);
    plan.height = Int(to.height);
    plan.width = Int(to.width);
    plan.phases = kBackward && conv.stride == 2;
    plan.stride = kBackward ? 1 : Int(conv.stride);
    plan.channels = Int(conv.channels);
    plan.group_width = Int(conv.group_width);
    plan.whole = Int(conv.group_width / kTerms);
    const int64_t rest = (conv.group_width % kTerms + 15) / 16;  // in runs of 16
    plan.rest32 = rest >= 2 && rest < 4 ? 1 : 0;
    plan.rest16 = rest == 1 || rest == 3 ? 1 : 0;
    if (rest == 4) ++plan.whole;
    plan.tiles = Int((conv.group_width + kColumns - 1) / kColumns);
    plan.tile_step = kColumns;
    ConvMaps maps{};
    const int phases = plan.phases ? kPhases : 1;
    for (int phase = 0; phase < phases; ++phase) {
      Corners corners;
      if (plan.phases) {
        const int64_t rows = (to.height - phase / 2 + 1) / 2, row = (to.width - phase % 2 + 1) / 2;
        if (rows == 0 || row == 0) continue;  // nothing starts
        corners = {0, Int(row - from.width), Int(rows - from.height)};
      }
      for (int size = 0; size < 3; ++size)
        maps.x[phase][size] = Windows(x, from, plan.stride, corners, kTerms >> size, kTileRows);
    }
    for (int size = 0; size < 3 && !kBackward; ++size) {
      maps.w[size] =
          Boxes<3>(weight, {conv.group_width, kTaps, conv.channels}, {kTerms >> size, 1, kColumns});
    }
    if (kBackward) {
      maps.w[0] = Boxes<4>(
          weight, {conv.group_width, kTaps, conv.group_width, conv.channels / conv.group_width},
          {64, 1, 64, 1});
    }
    const int64_t most = plan.phases ? output.height * output.width : to.height * to.width;
    const int64_t row_tiles = (to.images * most + kTileRows - 1) / kTileRows;
    const dim3 blocks(static_cast<unsigned>(row_tiles * plan.tiles),
                      static_cast<unsigned>(conv.channels / conv.group_width),
                      static_cast<unsigned>(phases));
    Start(ConvKernel<kColumns, kBackward>, blocks, (kReaders + 1) * kGroup,
          Slot::kStages * Slot::kBytes, conv.stream, maps, plan, static_cast<uint16_t*>(y));
  });
}

// call.operator()<columns, wide>() of the weight gradient.
template <typename Call>
void ForWeights(int64_t group_width, const Call& call) {
  if (group_width > 136 && group_width <= 264) return call.template operator()<136, true>();
  switch (BestColumns(group_width, {112, 72, 56})) {
    case 56:
      return call.template operator()<56, false>();
    case 72:
      return call.template operator()<72, false>();
    default:
      return call.template operator()<112, false>();
  }
}

constexpr int kMostSplits = 32, kLeastSteps = 16, kBlocksWanted = 264;

template <typename Tile>
WeightPlan PlanWeights(const GroupedConv& conv) {
  WeightPlan plan;
  const int64_t rows = conv.output_height(), row = conv.output_width();
  plan.pixels = Int(conv.images * rows * row);
  plan.image_pixels = Int(rows * row);
  plan.row_pixels = Int(row);
  plan.stride = Int(conv.stride);
  plan.channels = Int(conv.channels);
  plan.group_width = Int(conv.group_width);
  plan.parts = Tile::kParts == 2 ? 2 : (plan.group_width + Tile::kPartStep - 1) / Tile::kPartStep;
  plan.row_tiles = (plan.group_width + kWeightRows - 1) / kWeightRows;
  const int blocks = plan.row_tiles * ((kTaps * plan.parts + Tile::kParts - 1) / Tile::kParts) *
                     (plan.channels / plan.group_width);
  const int steps = (plan.pixels + kTerms - 1) / kTerms;
  int splits = (kBlocksWanted + blocks - 1) / blocks;
  if (splits > steps / kLeastSteps) splits = steps / kLeastSteps;
  if (splits > kMostSplits) splits = kMostSplits;
  plan.splits = splits < 1 ? 1 : splits;
  plan.split_size = conv.channels * kTaps * conv.group_width;
  return plan;
}

}  // namespace

bool HopperConvolves(int64_t group_width) {
  int device = 0, major = 0, minor = 0;
  if (group_width < 48 || group_width % 8 != 0 || cudaGetDevice(&device) != cudaSuccess)
    return false;
  cudaDeviceGetAttribute(&major, cudaDevAttrComputeCapabilityMajor, device);
  cudaDeviceGetAttribute(&minor, cudaDevAttrComputeCapabilityMinor, device);
  return major == 9 && minor == 0;
}

void Convolve(const GroupedConv& conv, const void* x, const void* weight, void* y) {
  ConvolveAs<false>(conv, x, weight, y);
}

void ConvolveBack(const GroupedConv& conv, const void* dy, const void* weight, void* dx) {
  ConvolveAs<true>(conv, dy, weight, dx);
}

int64_t WeightPartialSize(const GroupedConv& conv) {
  int64_t size = 0;
  ForWeights(conv.group_width, [&]<int kColumns, bool kWide>() {
    const WeightPlan plan = PlanWeights<WeightTile<kColumns, kWide>>(conv);
    size = plan.splits > 1 ? plan.splits * plan.split_size : 0;
  });
  return size;
}

void WeightGradient(const GroupedConv& conv, const void* dy, const void* x, float* partial,
                    float* dweight) {
  BindContext();
  ForWeights(conv.group_width, [&]<int kColumns, bool kWide>() {
    using Tile = WeightTile<kColumns, kWide>;
    const WeightPlan plan = PlanWeights<Tile>(conv);
    const int part_tiles = (kTaps * plan.parts + Tile::kParts - 1) / Tile::kParts;
    WeightMaps maps{};
    maps.dy = Boxes<2>(dy, {conv.channels, plan.pixels}, {64, kTerms});
    maps.x = Windows(x, {conv.images, conv.height, conv.width, conv.channels}, conv.stride, {}, 64,
                     kTerms);
    const dim3 blocks(static_cast<unsigned>(plan.row_tiles * part_tiles),
                      static_cast<unsigned>(plan.channels / plan.group_width),
                      static_cast<unsigned>(plan.splits));
    Start(WeightKernel<kColumns, kWide>, blocks, (Tile::kParts + 1) * kGroup,
          Tile::kStages * Tile::kBytes, conv.stream, maps, plan,
          plan.splits > 1 ? partial : dweight);
    if (plan.splits == 1) return;
    const auto threads = static_cast<unsigned>((plan.split_size / 4 + 255) / 256);
    SumSplits<<<threads, 256, 0, static_cast<cudaStream_t>(conv.stream)>>>(
        reinterpret_cast<const float4*>(partial), plan.splits, plan.split_size,
        reinterpret_cast<float4*>(dweight));
    Check(cudaGetLastError(), "a sum did not start");
  });
}

}  // namespace seer::engine::cuda
