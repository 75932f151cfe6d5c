# seer::torch: LibTorch out of the PyPI wheel. Only libtorch_cpu and libc10 are linked, which need no CUDA
# library but the runtime and CUPTI (both small). Never link it to a target that sees protobuf headers.
set(torch_root ${SEER_SITE_PACKAGES}/torch)
if(NOT EXISTS ${torch_root}/lib/libtorch_cpu.so)
  message(FATAL_ERROR "No LibTorch under ${torch_root}: run ./deploy/deps again")
endif()
add_library(seer_torch INTERFACE)
add_library(seer::torch ALIAS seer_torch)
target_include_directories(seer_torch SYSTEM INTERFACE
  ${torch_root}/include ${torch_root}/include/torch/csrc/api/include)
target_compile_definitions(seer_torch INTERFACE USE_DISTRIBUTED USE_C10D_GLOO)
file(GLOB torch_gomp ${torch_root}/lib/libgomp*.so*)
target_link_libraries(seer_torch INTERFACE ${torch_root}/lib/libtorch_cpu.so ${torch_root}/lib/libc10.so ${torch_gomp})
file(GLOB cuda_runtime ${SEER_SITE_PACKAGES}/nvidia/cu13/lib)
target_link_options(seer_torch INTERFACE
  -Wl,-rpath,${torch_root}/lib -Wl,-rpath-link,${torch_root}/lib:${cuda_runtime})
if(SEER_CUDA)
  include(Cuda)
endif()
