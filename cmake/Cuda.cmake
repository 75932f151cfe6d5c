# What a build with GPUs adds: nvcc for *.cu, and the wheel's CUDA half on seer::torch. The wheel's own CMake
# files are not used, so neither is its search for a GPU, which fails where there is none.
set(SEER_CUDA_ARCHITECTURES "80;90;100" CACHE STRING "Compute capabilities of the kernels: A100 80, H100 90, B200 100")
find_program(SEER_NVCC nvcc HINTS $ENV{CUDA_HOME}/bin /usr/local/cuda/bin)
if(NOT SEER_NVCC)
  message(FATAL_ERROR "SEER_CUDA needs nvcc 13: install the CUDA toolkit and set CUDA_HOME, or configure without SEER_CUDA")
endif()
set(nvidia_root ${SEER_SITE_PACKAGES}/nvidia)
if(NOT EXISTS ${nvidia_root}/nccl/include/nccl.h)
  message(FATAL_ERROR "No NCCL under ${nvidia_root}: make an environment with ./deploy/deps --cuda and name it in SEER_CUDA_DEPS")
endif()
# Before the language is enabled: else CMake asks nvcc for an architecture that it no longer has.
set(CMAKE_CUDA_COMPILER ${SEER_NVCC})
set(CMAKE_CUDA_ARCHITECTURES ${SEER_CUDA_ARCHITECTURES})
set(CMAKE_CUDA_COMPILER_LAUNCHER ${CMAKE_CXX_COMPILER_LAUNCHER})
enable_language(CUDA)
# CMake 3.25 does not know that nvcc 13 has the standard.
set(CMAKE_CUDA20_STANDARD_COMPILE_OPTION "-std=c++20")
set(CMAKE_CUDA20_EXTENSION_COMPILE_OPTION "-std=c++20")
set(CMAKE_CUDA_RUNTIME_LIBRARY None)  # the wheel's, below: a process has one runtime
if(CMAKE_CUDA_COMPILER_VERSION VERSION_LESS 13)
  message(FATAL_ERROR "nvcc is ${CMAKE_CUDA_COMPILER_VERSION}, the wheel is built with CUDA 13: set CUDA_HOME to a toolkit 13")
endif()

set(cuda_root ${nvidia_root}/cu13)
target_include_directories(seer_torch SYSTEM INTERFACE ${cuda_root}/include ${nvidia_root}/nccl/include)
target_compile_definitions(seer_torch INTERFACE USE_C10D_NCCL)
# torch_cuda registers its operators when it is loaded: nothing may drop it.
target_link_libraries(seer_torch INTERFACE
  -Wl,--push-state,--no-as-needed ${torch_root}/lib/libtorch_cuda.so ${torch_root}/lib/libc10_cuda.so -Wl,--pop-state
  ${cuda_root}/lib/libcudart.so.13)
file(GLOB cuda_libraries ${nvidia_root}/*/lib)
list(JOIN cuda_libraries ":" cuda_rpath_link)
target_link_options(seer_torch INTERFACE -Wl,-rpath,${cuda_root}/lib -Wl,-rpath-link,${cuda_rpath_link})
