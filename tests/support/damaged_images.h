// What tests of damaged image files share.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "dataservice/decode/decoder.h"

namespace seer::testing {

inline constexpr int kSmallWidth = 24, kSmallHeight = 17;

// One small sound file of each decoder path, with its name.
std::vector<std::pair<std::string, std::string>> SmallImageFiles();

// The three ways into the decoder: none may crash; what is refused is refused with a reason of
// decoder.h's list, and they agree about what an image is. A fatal failure of the test otherwise.
void ExpectSafe(const std::string& bytes, bool must_fail,
                const dataservice::DecodeLimits& limits = {});

int64_t PeakBytes();  // resident memory of the process, the most so far

}  // namespace seer::testing
