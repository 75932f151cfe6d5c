// As much of CUDA C++ as the engine's kernels use, for the host's compiler: a *.cuh that is
// included after this runs on the CPU, so that kernels are tested where there is no GPU. A block's
// threads are threads, which meet at __syncthreads(); blocks run one after the other. A thread
// sanitizer sees what a kernel forgets to synchronise. Slow: for small shapes.
#pragma once

#include <barrier>
#include <cmath>
#include <thread>
#include <vector>

#include <c10/util/Half.h>

#define __global__
#define __device__
#define __host__
#define __shared__ static
#define __launch_bounds__(threads)

struct dim3 {
  dim3(unsigned x_size = 1, unsigned y_size = 1) : x(x_size), y(y_size) {}
  unsigned x, y;
};

inline thread_local dim3 threadIdx, blockIdx, blockDim, gridDim;
inline thread_local std::barrier<>* block_barrier = nullptr;
inline void __syncthreads() { block_barrier->arrive_and_wait(); }

inline float HalfToFloat(uint16_t bits) {
  return static_cast<float>(c10::Half(bits, c10::Half::from_bits()));
}
inline uint16_t FloatToHalf(float value) { return c10::Half(value).x; }

namespace seer::testing {

// kernel<<<blocks, threads>>>(arguments...), done on return.
template <typename... Parameters, typename... Arguments>
void LaunchOnCpu(void (*kernel)(Parameters...), dim3 blocks, dim3 threads, Arguments... arguments) {
  std::barrier<> barrier(threads.x * threads.y);
  std::vector<std::thread> running;
  for (unsigned t = 0; t < threads.x * threads.y; ++t) {
    running.emplace_back([=, &barrier] {
      block_barrier = &barrier;
      threadIdx = dim3(t % threads.x, t / threads.x);
      blockDim = threads;
      gridDim = blocks;
      for (unsigned b = 0; b < blocks.x * blocks.y; ++b) {
        blockIdx = dim3(b % blocks.x, b / blocks.x);
        kernel(arguments...);
        barrier.arrive_and_wait();  // the next block takes the same shared memory
      }
    });
  }
  for (std::thread& thread : running) thread.join();
}

}  // namespace seer::testing
