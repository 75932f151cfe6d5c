// Claims: the grouped convolutions of the engine are faster on a Hopper GPU than cuDNN's, as
// at::conv2d and its backward pass call them with algorithms measured before. RegNetY's 3 x 3
// convolutions, bfloat16, channels last. Prints milliseconds and TFLOP/s of both, and the ratio.
//
//   grouped_conv_bench [images of the larger crops=64]
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <string>

#include <ATen/ATen.h>
#include <ATen/Context.h>
#include <ATen/cuda/CUDAEvent.h>
#include <c10/cuda/CUDAFunctions.h>

#include "engine/nn/grouped_conv.h"

namespace {

constexpr auto kLayout = at::MemoryFormat::ChannelsLast;
constexpr int kRounds = 3, kRuns = 10;

struct Trunk {
  const char* name;
  int64_t group_width;
  std::vector<int64_t> widths;  // of its stages
};

// The least of several rounds: milliseconds of one run.
double Milliseconds(const std::function<void()>& run) {
  for (int i = 0; i < 3; ++i) run();
  double best = 1e9;
  for (int round = 0; round < kRounds; ++round) {
    at::cuda::CUDAEvent start(cudaEventDefault), end(cudaEventDefault);
    start.record();
    for (int i = 0; i < kRuns; ++i) run();
    end.record();
    end.synchronize();
    best = std::min(best, static_cast<double>(start.elapsed_time(end)) / kRuns);
  }
  return best;
}

void Compare(const std::string& name, int64_t images, int64_t side, int64_t channels,
             int64_t group_width, int64_t stride) {
  const int64_t groups = channels / group_width;
  const auto options = at::TensorOptions(at::kCUDA).dtype(at::kBFloat16);
  const auto random = [&](at::IntArrayRef sizes) {
    return at::randn(sizes, options).contiguous(kLayout);
  };
  const at::Tensor weight = random({channels, group_width, 3, 3}).to(at::kFloat).requires_grad_();
  const at::Tensor x = random({images, channels, side, side}).requires_grad_();
  const at::Tensor narrow = weight.detach().to(at::kBFloat16);
  const auto peer_forward = [&] {
    return at::conv2d(x.detach(), narrow, {}, {stride, stride}, {1, 1}, {1, 1}, groups);
  };
  const at::Tensor dy = at::randn_like(peer_forward());
  const auto peer_backward = [&] {
    at::convolution_backward(dy, x.detach(), narrow, {}, {stride, stride}, {1, 1}, {1, 1}, false,
                             {0, 0}, groups, {true, true, false});
  };
  const auto own = [&] { return seer::engine::GroupedConvOnGpu(x, weight, stride, groups); };
  if (!own()) {
    std::fprintf(stderr, "this GPU has no kernels of the engine's for it\n");
    std::exit(1);
  }
  const double forward = Milliseconds([&] { own(); });
  const double both = Milliseconds([&] {
    own()->backward(dy);
    x.mutable_grad().reset();
    weight.mutable_grad().reset();
  });
  const double peer = Milliseconds([&] { peer_forward(); });
  const double peer_back = Milliseconds(peer_backward);
  const double flops = 2.0 * static_cast<double>(dy.numel() * group_width * 9);
  const auto rate = [&](double milliseconds, int times) {
    return times * flops / milliseconds / 1e9;
  };
  std::printf(
      "%-34s forward %7.3f ms %4.0f TFLOP/s, cuDNN %7.3f %4.0f: %5.2f times; "
      "backward %7.3f ms %4.0f, cuDNN %7.3f %4.0f: %5.2f times\n",
      name.c_str(), forward, rate(forward, 1), peer, rate(peer, 1), peer / forward, both - forward,
      rate(both - forward, 2), peer_back, rate(peer_back, 2), peer_back / (both - forward));
  std::fflush(stdout);
}

}  // namespace

int main(int argc, char** argv) {
  const int64_t images = argc > 1 ? std::atoi(argv[1]) : 64;
  if (images < 1 || argc > 2 || c10::cuda::device_count() == 0) {
    std::fprintf(stderr, "usage: %s [images of the larger crops]; needs a GPU\n", argv[0]);
    return 2;
  }
  at::globalContext().setBenchmarkCuDNN(true);
  for (const Trunk& trunk :
       {Trunk{"16GF", 112, {224, 448, 1232, 3024}}, Trunk{"128GF", 264, {528, 1056, 2904, 7392}}}) {
    for (const auto& [share, size] : {std::pair<int64_t, int64_t>{1, 160}, {2, 96}}) {
      for (size_t stage = 0; stage < trunk.widths.size(); ++stage) {
        const int64_t side = size / 4 >> stage, width = trunk.widths[stage];
        const std::string name = std::string(trunk.name) + " " + std::to_string(width) +
                                 " channels, " + std::to_string(side) + " x " +
                                 std::to_string(side);
        Compare(name, share * images, side, width, trunk.group_width, 1);
        if (stage == 1) {
          Compare(name + " / 2", share * images, 2 * side, width, trunk.group_width, 2);
        }
      }
    }
  }
}
