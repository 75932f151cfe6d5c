// Starting a kernel, for *.cu files.
#pragma once

#include <stdexcept>
#include <string>

namespace seer::engine::cuda {

// kernel<<<blocks, threads, 0, stream>>>(arguments...); std::runtime_error if it did not start.
template <typename... Parameters, typename... Arguments>
void Launch(void (*kernel)(Parameters...), dim3 blocks, dim3 threads, void* stream,
            Arguments... arguments) {
  kernel<<<blocks, threads, 0, static_cast<cudaStream_t>(stream)>>>(arguments...);
  const cudaError_t error = cudaGetLastError();
  if (error != cudaSuccess)
    throw std::runtime_error(std::string("a kernel did not start: ") + cudaGetErrorString(error));
}

}  // namespace seer::engine::cuda
