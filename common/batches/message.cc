#include "common/batches/message.h"

#include <google/protobuf/io/coded_stream.h>
#include <google/protobuf/io/zero_copy_stream_impl_lite.h>
#include <google/protobuf/wire_format_lite.h>
#include <grpcpp/grpcpp.h>
#include <grpcpp/impl/codegen/proto_utils.h>
#include <grpcpp/support/proto_buffer_reader.h>

#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"

namespace seer {
namespace {

using google::protobuf::internal::WireFormatLite;
using google::protobuf::io::CodedInputStream;
using google::protobuf::io::CodedOutputStream;
using google::protobuf::io::StringOutputStream;

constexpr uint32_t kCropsTag = WireFormatLite::MakeTag(v1::BatchMessage::kCropsFieldNumber,
                                                       WireFormatLite::WIRETYPE_LENGTH_DELIMITED);
constexpr uint32_t kPixelsTag = WireFormatLite::MakeTag(v1::CropTensor::kPixelsFieldNumber,
                                                        WireFormatLite::WIRETYPE_LENGTH_DELIMITED);

// The head of a field of `bytes` bytes.
std::string HeadOf(uint32_t tag, size_t bytes) {
  std::string head;
  StringOutputStream stream(&head);
  CodedOutputStream out(&stream);
  out.WriteTag(tag);
  out.WriteVarint64(bytes);
  out.Trim();
  return head;
}

absl::Status NotABatch(absl::string_view why) {
  return absl::InternalError(absl::StrCat("the message is no batch: ", why));
}

// Copies the fields of `in` up to its limit, or its end, to `out`; calls `own` for those of `tag`,
// which reads them.
template <typename Own>
absl::Status CopyFields(CodedInputStream& in, uint32_t tag, CodedOutputStream& out, Own own) {
  while (const uint32_t next = in.ReadTag()) {
    if (next == tag) {
      SEER_RETURN_IF_ERROR(own());
    } else if (!WireFormatLite::SkipField(&in, next, &out)) {
      return NotABatch("a field is cut short");
    }
  }
  if (!in.ConsumedEntireMessage()) return NotABatch("it ends within a field");
  return absl::OkStatus();
}

// Reads a field of crops: its pixels to `pixels`, of at most `room` bytes, the rest to `rest`.
// Returns how many pixels' bytes there were.
absl::StatusOr<size_t> ReadCrops(CodedInputStream& in, CodedOutputStream& rest, uint8_t* pixels,
                                 size_t room) {
  int length = 0;
  if (!in.ReadVarintSizeAsInt(&length)) return NotABatch("crops without a length");
  const auto limit = in.PushLimit(length);
  if (in.BytesUntilLimit() != length) return NotABatch("crops are cut short");
  std::string others;
  size_t bytes = 0;
  {
    StringOutputStream stream(&others);
    CodedOutputStream out(&stream);
    SEER_RETURN_IF_ERROR(CopyFields(in, kPixelsTag, out, [&]() -> absl::Status {
      int size = 0;
      if (!in.ReadVarintSizeAsInt(&size) || bytes > 0 || static_cast<size_t>(size) > room ||
          !in.ReadRaw(pixels, size)) {
        return NotABatch("pixels are cut short, or come twice");
      }
      bytes = static_cast<size_t>(size);
      return absl::OkStatus();
    }));
  }
  in.PopLimit(limit);
  rest.WriteTag(kCropsTag);
  rest.WriteVarint64(others.size());
  rest.WriteString(others);
  return bytes;
}

}  // namespace

int64_t PixelBytes(const v1::CropTensor& crops) {
  if (crops.views() < 1 || crops.views() > 64 || crops.samples() < 1 || crops.size() < 1 ||
      crops.size() > 1024) {
    return -1;
  }
  return int64_t{3} * crops.views() * crops.samples() * crops.size() * crops.size();
}

int64_t PixelBytes(const v1::BatchMessage& message) {
  int64_t bytes = 0;
  for (const v1::CropTensor& crops : message.crops()) bytes += PixelBytes(crops);
  return bytes;
}

grpc::ByteBuffer EncodeBatch(const v1::BatchMessage& message,
                             const std::shared_ptr<uint8_t>& pixels) {
  v1::BatchMessage rest = message;
  std::vector<grpc::Slice> slices;
  if (message.slot() == 0) {
    rest.clear_crops();
    uint8_t* at = pixels.get();
    for (const v1::CropTensor& crops : message.crops()) {
      const auto bytes = static_cast<size_t>(PixelBytes(crops));
      const std::string shape = crops.SerializeAsString(), head = HeadOf(kPixelsTag, bytes);
      slices.emplace_back(
          absl::StrCat(HeadOf(kCropsTag, shape.size() + head.size() + bytes), shape, head));
      slices.emplace_back(
          at, bytes, [](void* kept) { delete static_cast<std::shared_ptr<uint8_t>*>(kept); },
          new std::shared_ptr<uint8_t>(pixels));
      at += bytes;
    }
  }
  slices.emplace_back(rest.SerializeAsString());
  return grpc::ByteBuffer(slices.data(), slices.size());
}

absl::StatusOr<DecodedBatch> DecodeBatch(grpc::ByteBuffer bytes, PixelBuffers& buffers) {
  DecodedBatch batch;
  const size_t most = bytes.Length();
  grpc::ProtoBufferReader reader(&bytes);
  CodedInputStream in(&reader);
  std::string rest;
  size_t used = 0;
  {
    StringOutputStream stream(&rest);
    CodedOutputStream out(&stream);
    SEER_RETURN_IF_ERROR(CopyFields(in, kCropsTag, out, [&]() -> absl::Status {
      if (batch.pixels == nullptr) batch.pixels = buffers.Take(most);
      SEER_ASSIGN_OR_RETURN(const size_t read,
                            ReadCrops(in, out, batch.pixels.get() + used, most - used));
      used += read;
      return absl::OkStatus();
    }));
  }
  if (!batch.message.ParseFromString(rest)) return NotABatch("it cannot be parsed");
  if (batch.message.slot() > 0) batch.pixels = nullptr;
  for (const v1::CropTensor& crops : batch.message.crops()) {
    if (PixelBytes(crops) < 0) {
      return NotABatch(absl::StrCat("crops of ", crops.views(), " views, ", crops.samples(),
                                    " samples and ", crops.size(), " pixels"));
    }
  }
  const int64_t wanted = PixelBytes(batch.message);
  if (batch.pixels != nullptr && wanted != static_cast<int64_t>(used))
    return NotABatch(absl::StrCat(used, " bytes of pixels, not ", wanted));
  return batch;
}

std::unique_ptr<grpc::ClientReader<grpc::ByteBuffer>> StreamEncodedBatches(
    grpc::Channel& channel, grpc::ClientContext& context, const v1::StreamBatchesRequest& request) {
  // As the generated stub does for messages that protobuf parses.
  static constexpr char kMethod[] = "/seer.v1.Batches/StreamBatches";
  const grpc::internal::RpcMethod method(kMethod, grpc::internal::RpcMethod::SERVER_STREAMING);
  return std::unique_ptr<grpc::ClientReader<grpc::ByteBuffer>>(
      grpc::internal::ClientReaderFactory<grpc::ByteBuffer>::Create(&channel, method, &context,
                                                                    request));
}

}  // namespace seer
