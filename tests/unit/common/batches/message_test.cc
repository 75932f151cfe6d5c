// Batches on the wire: what this encodes any client reads, and what any server sends this decodes.
#include "common/batches/message.h"

#include <gmock/gmock.h>
#include <grpcpp/support/slice.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <functional>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "tests/support/status_matchers.h"

namespace seer {
namespace {

using ::testing::HasSubstr;

v1::BatchMessage Message() {
  v1::BatchMessage message;
  message.set_step(1234567);
  message.set_first_sample(99);
  for (const auto& [views, size] : {std::pair(2, 30), std::pair(4, 8)}) {
    auto& crop = *message.add_crops();
    crop.set_views(views);
    crop.set_samples(3);
    crop.set_size(size);
  }
  message.set_image_ids(std::string(96, 'i'));
  for (const int label : {-1, 7, 1000}) message.add_labels(label);
  message.add_substituted(2);
  return message;
}

std::shared_ptr<uint8_t> PixelsOf(const v1::BatchMessage& message) {
  const int64_t bytes = PixelBytes(message);
  auto pixels = PixelBuffers().Take(static_cast<size_t>(bytes));
  std::mt19937 random(1);
  std::generate_n(pixels.get(), bytes, [&] { return static_cast<uint8_t>(random()); });
  return pixels;
}

// The message with the pixels that lie at `at`.
v1::BatchMessage Whole(v1::BatchMessage message, const uint8_t* at) {
  for (auto& crop : *message.mutable_crops()) {
    const auto bytes = static_cast<size_t>(PixelBytes(crop));
    crop.set_pixels(at, bytes);
    at += bytes;
  }
  return message;
}

std::string BytesOf(const grpc::ByteBuffer& buffer) {
  std::vector<grpc::Slice> slices;
  EXPECT_TRUE(buffer.Dump(&slices).ok());
  std::string bytes;
  for (const auto& slice : slices)
    bytes.append(reinterpret_cast<const char*>(slice.begin()), slice.size());
  return bytes;
}

// In slices of `most` bytes.
grpc::ByteBuffer BufferOf(absl::string_view bytes, size_t most) {
  std::vector<grpc::Slice> slices;
  for (size_t at = 0; at < bytes.size(); at += most)
    slices.emplace_back(std::string(bytes.substr(at, most)));
  return grpc::ByteBuffer(slices.data(), slices.size());
}

absl::StatusOr<DecodedBatch> Decode(grpc::ByteBuffer bytes) {
  PixelBuffers buffers;
  return DecodeBatch(std::move(bytes), buffers);
}

TEST(BatchMessage, AnyClientReadsWhatIsEncoded) {
  const v1::BatchMessage message = Message();
  const auto pixels = PixelsOf(message);
  v1::BatchMessage parsed;
  ASSERT_TRUE(parsed.ParseFromString(BytesOf(EncodeBatch(message, pixels))));
  EXPECT_EQ(parsed.SerializeAsString(), Whole(message, pixels.get()).SerializeAsString());
}

TEST(BatchMessage, PixelsAreSentFromWhereTheyAre) {
  const v1::BatchMessage message = Message();
  auto pixels = PixelsOf(message);
  const std::weak_ptr<uint8_t> alive = pixels;
  const uint8_t* const at = pixels.get();
  {
    const grpc::ByteBuffer buffer = EncodeBatch(message, std::exchange(pixels, nullptr));
    std::vector<grpc::Slice> slices;
    ASSERT_TRUE(buffer.Dump(&slices).ok());
    EXPECT_TRUE(std::any_of(slices.begin(), slices.end(),
                            [&](const grpc::Slice& slice) { return slice.begin() == at; }));
    EXPECT_FALSE(alive.expired()) << "sent from memory that is gone";
  }
  EXPECT_TRUE(alive.expired()) << "kept for ever";
}

TEST(BatchMessage, WhatAnyServerSendsIsDecodedHoweverItIsCutUp) {
  const v1::BatchMessage message = Message();
  const auto pixels = PixelsOf(message);
  const std::string bytes = Whole(message, pixels.get()).SerializeAsString();
  for (const size_t most : {size_t{1}, size_t{7}, size_t{4096}, bytes.size()}) {
    ASSERT_OK_AND_ASSIGN(const DecodedBatch decoded, Decode(BufferOf(bytes, most)));
    EXPECT_EQ(decoded.message.SerializeAsString(), message.SerializeAsString());
    EXPECT_EQ(Whole(decoded.message, decoded.pixels.get()).SerializeAsString(), bytes);
  }
}

TEST(BatchMessage, AMessageOfASlotHasNoPixels) {
  v1::BatchMessage message = Message();
  message.set_slot(3);
  ASSERT_OK_AND_ASSIGN(const DecodedBatch decoded, Decode(EncodeBatch(message, nullptr)));
  EXPECT_EQ(decoded.pixels, nullptr);
  EXPECT_EQ(decoded.message.SerializeAsString(), message.SerializeAsString());
}

TEST(BatchMessage, PixelsThatDoNotFitTheirShapeAreRefused) {
  const v1::BatchMessage message = Message();
  const v1::BatchMessage good = Whole(message, PixelsOf(message).get());
  const auto refuse = [&](const std::function<void(v1::BatchMessage&)>& spoil) {
    v1::BatchMessage bad = good;
    spoil(bad);
    return Decode(BufferOf(bad.SerializeAsString(), 1000)).status();
  };
  EXPECT_THAT(refuse([](auto& m) { m.mutable_crops(1)->mutable_pixels()->pop_back(); }).message(),
              HasSubstr("18503 bytes of pixels, not"));
  EXPECT_THAT(refuse([](auto& m) { m.mutable_crops(0)->clear_pixels(); }).message(),
              HasSubstr("bytes of pixels, not"));
  EXPECT_THAT(refuse([](auto& m) { m.mutable_crops(0)->set_views(-1); }).message(),
              HasSubstr("-1 views"));
  EXPECT_THAT(refuse([](auto& m) { m.mutable_crops(0)->set_size(1 << 30); }).message(),
              HasSubstr("1073741824 pixels"));
}

TEST(BatchMessage, DamagedBytesAreRefusedOrRead) {
  const v1::BatchMessage message = Message();
  const std::string bytes = Whole(message, PixelsOf(message).get()).SerializeAsString();
  for (size_t length = 0; length < bytes.size(); length += length < 64 ? 1 : 97) {
    const auto decoded = Decode(BufferOf(absl::string_view(bytes).substr(0, length), 64));
    // Between two fields a message may end; its pixels are then all there.
    if (decoded.ok() && decoded->pixels != nullptr) {
      EXPECT_LE(PixelBytes(decoded->message), static_cast<int64_t>(length));
    }
  }
  std::mt19937 random(2);
  for (int i = 0; i < 2000; ++i) {
    std::string damaged = bytes;
    for (int byte = 0; byte < 4; ++byte) damaged[random() % 64] = static_cast<char>(random());
    const auto decoded = Decode(BufferOf(damaged, 64));
    if (decoded.ok() && decoded->pixels != nullptr) {
      EXPECT_LE(PixelBytes(decoded->message), static_cast<int64_t>(bytes.size()));
    }
  }
}

TEST(PixelBuffers, WhatIsReleasedIsUsedAgainIfItIsLargeEnough) {
  PixelBuffers buffers;
  auto first = buffers.Take(1 << 20);
  const uint8_t* const at = first.get();
  const auto second = buffers.Take(1 << 20);
  EXPECT_NE(second.get(), at);
  first = nullptr;
  first = buffers.Take((1 << 20) - 100);
  EXPECT_EQ(first.get(), at);
  first = nullptr;
  first = buffers.Take(2 << 20);
  std::fill_n(first.get(), 2 << 20, uint8_t{7});
}

TEST(PixelBuffers, MemoryMayOutliveThem) {
  std::shared_ptr<uint8_t> pixels;
  {
    PixelBuffers buffers;
    pixels = buffers.Take(100);
  }
  std::fill_n(pixels.get(), 100, uint8_t{7});
}

}  // namespace
}  // namespace seer
