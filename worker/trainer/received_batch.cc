#include "worker/trainer/received_batch.h"

#include <cstring>

#include "common/batches/message.h"

namespace seer::worker {

engine::Batch ToBatch(const v1::BatchMessage& message,
                      const std::shared_ptr<const uint8_t>& pixels) {
  engine::Batch batch;
  batch.step = message.step();
  batch.first_sample = message.first_sample();
  const char* at = reinterpret_cast<const char*>(pixels.get());
  for (const v1::CropTensor& crops : message.crops()) {
    const auto bytes = static_cast<size_t>(PixelBytes(crops));
    batch.crops.push_back({crops.views(), crops.samples(), crops.size(), {{at, bytes}, pixels}});
    at += bytes;
  }
  batch.image_ids.resize(message.image_ids().size() / 32);
  std::memcpy(batch.image_ids.data(), message.image_ids().data(), batch.image_ids.size() * 32);
  batch.labels.assign(message.labels().begin(), message.labels().end());
  return batch;
}

}  // namespace seer::worker
