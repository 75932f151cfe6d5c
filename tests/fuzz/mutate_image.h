// Damages image files in ways that know their format. A pure function of the random numbers.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "common/base/philox.h"

namespace seer::testing {

// The file's parts, in order: PNG chunks, JPEG segments (entropy-coded data goes with the scan
// before it), RIFF chunks, GIF blocks, a BMP's headers, a TIFF's header, tags and data. Joined they
// are the file; what cannot be told apart is one part.
std::vector<std::string> SplitImage(const std::string& file);

struct Mutation {
  std::string bytes;
  std::string what;  // for people
};

// Some of the numbers that say how large the image is, set to others.
std::string ClaimManyPixels(std::string file, Philox& random);

// One kind of damage to `file`, chosen by `random`; `others`: whose heads and parts may get in.
Mutation MutateImage(const std::string& file,
                     const std::vector<std::pair<std::string, std::string>>& others,
                     Philox& random);

}  // namespace seer::testing
