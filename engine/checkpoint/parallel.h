// A loop over the process's intra-op threads whose turns differ in length.
#pragma once

#include <cstdint>
#include <functional>

namespace seer::engine {

// A ParallelFor (files.h) on at::get_num_threads() threads: each takes the next turn when it is
// done with one. What the body calls of torch runs on its one thread. An exception of the body is
// thrown once all threads have stopped.
void RunInParallel(int64_t count, const std::function<void(int64_t)>& body);

}  // namespace seer::engine
