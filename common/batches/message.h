// A v1::BatchMessage on the wire whose pixels do not go through protobuf: the data service sends
// them from where they were decoded, and the reader copies them once. To any other client it is an
// ordinary BatchMessage.
//
// Pixels lie as in a slot of shared memory: those of the crops one after the other. Thread-safe.
#pragma once

#include <cstdint>
#include <memory>

#include <grpcpp/channel.h>
#include <grpcpp/client_context.h>
#include <grpcpp/support/byte_buffer.h>
#include <grpcpp/support/sync_stream.h>

#include "absl/status/statusor.h"
#include "common/batches/pixel_buffers.h"
#include "seer/v1/batches.pb.h"

namespace seer {

// Of the crops of one image, by recipes that have been checked.
template <typename Recipes>
int64_t PixelBytesPerImage(const Recipes& recipes) {
  int64_t bytes = 0;
  for (const v1::CropRecipe& recipe : recipes)
    bytes += int64_t{3} * recipe.views() * recipe.size() * recipe.size();
  return bytes;
}

// By its shape; -1: no crops have it.
int64_t PixelBytes(const v1::CropTensor& crops);
int64_t PixelBytes(const v1::BatchMessage& message);  // of all its crops, which have such shapes

// `message`: without pixels, which are in its slot, or at `pixels` and kept until they are sent.
grpc::ByteBuffer EncodeBatch(const v1::BatchMessage& message,
                             const std::shared_ptr<uint8_t>& pixels);

struct DecodedBatch {
  v1::BatchMessage message;         // without pixels
  std::shared_ptr<uint8_t> pixels;  // null: they are in the message's slot
};
// INTERNAL: not a BatchMessage, or one whose pixels are more or fewer than its shapes say.
absl::StatusOr<DecodedBatch> DecodeBatch(grpc::ByteBuffer bytes, PixelBuffers& buffers);

// Calls v1::Batches.StreamBatches for messages as they come. The channel and the context must
// outlive the result.
std::unique_ptr<grpc::ClientReader<grpc::ByteBuffer>> StreamEncodedBatches(
    grpc::Channel& channel, grpc::ClientContext& context, const v1::StreamBatchesRequest& request);

}  // namespace seer
