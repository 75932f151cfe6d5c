// What a GPU's time goes to, kernel by kernel: Kineto's records of what ran on it.
#pragma once

#include <cstdio>

namespace seer::bench {

// Records from Start to PrintTable. Of the thread that runs the steps; the GPU should be idle at
// both.
void StartKernelProfile();
// Kernels and copies by time, the longest first, as seconds, share, count and name; the rest of
// them summed in one row. `steps`: how many the record holds; figures are those of one.
void PrintKernelProfile(std::FILE* to, int steps);

}  // namespace seer::bench
