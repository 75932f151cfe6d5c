// A batch of noise, for steps whose time does not depend on what the images show.
#pragma once

#include <string>
#include <utility>

#include "common/base/philox.h"
#include "engine/session/batch.h"
#include "engine/session/config.h"

namespace seer::bench {

inline engine::Batch RandomBatch(const engine::TrainConfig& config,
                                 const engine::RankConfig& rank) {
  engine::Batch batch;
  Philox random(1, RandomPurpose::kTest, static_cast<uint64_t>(rank.rank));
  for (const engine::CropGroup& group : config.crops) {
    const auto samples = static_cast<int>(config.global_batch / rank.world_size);
    std::string pixels(static_cast<size_t>(3) * group.views * samples * group.size * group.size,
                       '\0');
    for (char& pixel : pixels) pixel = static_cast<char>(random.Next32() & 255);
    batch.crops.push_back({group.views, samples, group.size, std::move(pixels)});
  }
  return batch;
}

}  // namespace seer::bench
