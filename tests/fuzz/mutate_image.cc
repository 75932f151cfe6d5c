#include "tests/fuzz/mutate_image.h"

#include <zlib.h>

#include <algorithm>
#include <array>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace seer::testing {
namespace {

uint32_t Number(const std::string& bytes, size_t at, int count, bool big_endian) {
  uint32_t value = 0;
  for (int i = 0; i < count; ++i) {
    const uint32_t byte = static_cast<uint8_t>(bytes[at + static_cast<size_t>(i)]);
    value |= byte << (8 * (big_endian ? count - 1 - i : i));
  }
  return value;
}

void SetNumber(std::string& bytes, size_t at, int count, bool big_endian, uint32_t value) {
  for (int i = 0; i < count && at + static_cast<size_t>(i) < bytes.size(); ++i) {
    bytes[at + static_cast<size_t>(i)] =
        static_cast<char>(value >> (8 * (big_endian ? count - 1 - i : i)));
  }
}

bool IsPng(const std::string& file) { return absl::StartsWith(file, "\x89PNG"); }
bool IsJpeg(const std::string& file) { return absl::StartsWith(file, "\xFF\xD8"); }
bool IsRiff(const std::string& file) { return absl::StartsWith(file, "RIFF"); }
bool IsGif(const std::string& file) { return absl::StartsWith(file, "GIF"); }
bool IsBmp(const std::string& file) { return absl::StartsWith(file, "BM"); }
bool IsTiff(const std::string& file) {
  return absl::StartsWith(file, "II") || absl::StartsWith(file, "MM");
}

// Cuts `file` at the given places, which ascend and lie within it.
std::vector<std::string> CutAt(const std::string& file, std::vector<size_t> places) {
  places.push_back(file.size());
  std::vector<std::string> parts;
  size_t from = 0;
  for (const size_t to : places) {
    if (to <= from || to > file.size()) continue;
    parts.push_back(file.substr(from, to - from));
    from = to;
  }
  return parts;
}

std::vector<size_t> PngCuts(const std::string& file) {
  std::vector<size_t> cuts;
  for (size_t at = 8; at + 12 <= file.size(); at += Number(file, at, 4, true) + size_t{12})
    cuts.push_back(at);
  return cuts;
}

std::vector<size_t> JpegCuts(const std::string& file) {
  std::vector<size_t> cuts;
  size_t at = 2;
  while (at + 4 <= file.size() && file[at] == '\xFF') {
    cuts.push_back(at);
    const bool scan = file[at + 1] == '\xDA';
    at += 2 + Number(file, at + 2, 2, true);
    // To the next marker that is neither a stuffed byte nor a restart.
    while (scan && at + 1 < file.size() &&
           (file[at] != '\xFF' || file[at + 1] == 0 || (file[at + 1] & 0xF8) == 0xD0)) {
      ++at;
    }
  }
  return cuts;
}

std::vector<size_t> RiffCuts(const std::string& file) {
  std::vector<size_t> cuts;
  for (size_t at = 12; at + 8 <= file.size();) {
    cuts.push_back(at);
    const size_t length = Number(file, at + 4, 4, false);
    at += 8 + length + length % 2;
  }
  return cuts;
}

std::vector<size_t> GifCuts(const std::string& file) {
  std::vector<size_t> cuts;
  const auto palette = [&](size_t flags_at) {
    const auto flags = static_cast<uint8_t>(file[flags_at]);
    return (flags & 0x80) != 0 ? size_t{3} << ((flags & 7) + 1) : 0;
  };
  if (file.size() < 14) return cuts;
  cuts.push_back(13);
  size_t at = 13 + palette(10);
  while (at + 11 < file.size()) {
    cuts.push_back(at);
    at += file[at] == ',' ? 10 + palette(at + 9) + 1 : 2;
    while (at < file.size() && file[at] != 0) {  // sub-blocks
      cuts.push_back(at);
      at += static_cast<uint8_t>(file[at]) + size_t{1};
    }
    ++at;
  }
  return cuts;
}

std::vector<size_t> TiffCuts(const std::string& file) {
  std::vector<size_t> cuts = {4, 8};
  const bool big_endian = file[0] == 'M';
  const size_t directory = file.size() >= 8 ? Number(file, 4, 4, big_endian) : file.size();
  if (directory + 2 > file.size()) return cuts;
  const size_t tags = Number(file, directory, 2, big_endian);
  cuts.push_back(directory);
  for (size_t i = 0; i <= tags; ++i) cuts.push_back(directory + 2 + i * 12);
  return cuts;
}

// A PNG's chunks get sound checksums again, so that damage is seen behind them.
void FixChecksums(std::string& file) {
  for (const size_t at : PngCuts(file)) {
    const size_t length = Number(file, at, 4, true);
    if (length > file.size() || at + 12 + length > file.size()) return;
    const auto* data = reinterpret_cast<const Bytef*>(file.data()) + at + 4;
    SetNumber(file, at + 8 + length, 4, true,
              static_cast<uint32_t>(crc32(0, data, static_cast<uInt>(length + 4))));
  }
}

size_t Place(Philox& random, size_t size) {
  // Half of them in the first 64 bytes, where the sizes are.
  return random.Below(random.Below(2) == 0 ? std::min<uint64_t>(64, size) : size);
}

// Numbers at which counts and sums go wrong.
uint32_t Edge(Philox& random) {
  constexpr std::array<uint32_t, 16> kEdges = {
      0,      1,      2,      3,       0x7F,       0x80,       0xFF, 0x100,
      0x7FFF, 0x8000, 0xFFFF, 0x10000, 0x7FFFFFFF, 0x80000000, ~1U,  ~0U};
  return kEdges[random.Below(kEdges.size())];
}

// Where width and height stand: place, bytes of each, byte order. TIFF: the values of its tags.
struct SizePlace {
  size_t at;
  int count;
  bool big_endian;
};
std::vector<SizePlace> SizePlaces(const std::string& file) {
  if (IsPng(file)) return {{16, 4, true}, {20, 4, true}};
  if (IsGif(file)) {
    const std::vector<size_t> cuts = GifCuts(file);
    std::vector<SizePlace> places = {{6, 2, false}, {8, 2, false}};
    for (const size_t cut : cuts) {
      if (file[cut] == ',')
        for (const size_t offset : {1, 3, 5, 7}) places.push_back({cut + offset, 2, false});
    }
    return places;
  }
  if (IsBmp(file)) return {{18, 4, false}, {22, 4, false}};
  if (IsRiff(file)) return {{24, 3, false}, {27, 3, false}, {26, 2, false}, {28, 2, false}};
  std::vector<SizePlace> places;
  if (IsJpeg(file)) {
    for (const size_t cut : JpegCuts(file)) {
      if ((file[cut + 1] & 0xF0) == 0xC0 && file[cut + 1] != '\xC4')
        places.insert(places.end(), {{cut + 5, 2, true}, {cut + 7, 2, true}});
    }
  }
  if (IsTiff(file)) {
    for (const size_t cut : TiffCuts(file)) {
      if (cut < 8 || cut + 12 > file.size()) continue;
      const uint32_t tag = Number(file, cut, 2, file[0] == 'M');
      for (const uint32_t sized : {256U, 257U, 258U, 277U, 278U, 322U, 323U})
        if (tag == sized) places.push_back({cut + 8, 2, file[0] == 'M'});
    }
  }
  return places;
}

std::string Joined(const std::vector<std::string>& parts) { return absl::StrJoin(parts, ""); }

using Others = std::vector<std::pair<std::string, std::string>>;

std::string Truncate(const std::string& file, Philox& random) {
  return file.substr(0, random.Below(file.size() + 1));
}
std::string FlipBits(std::string file, Philox& random) {
  for (uint64_t i = random.Below(8) + 1; i > 0; --i)
    file[Place(random, file.size())] ^= static_cast<char>(1 << random.Below(8));
  return file;
}
std::string SetEdge(std::string file, Philox& random) {
  const int count = 1 << random.Below(3);
  SetNumber(file, Place(random, file.size()), count, random.Below(2) == 0, Edge(random));
  return file;
}
std::string SwapParts(const std::string& file, Philox& random) {
  std::vector<std::string> parts = SplitImage(file);
  std::swap(parts[random.Below(parts.size())], parts[random.Below(parts.size())]);
  return Joined(parts);
}
std::string RepeatPart(const std::string& file, Philox& random) {
  std::vector<std::string> parts = SplitImage(file);
  const std::string part = parts[random.Below(parts.size())];
  // Many times: what a decoder does for a part must not cost more than its bytes.
  const size_t times = random.Below(4) == 0 ? std::min<size_t>(400, 40'000 / part.size()) : 1;
  const auto at = static_cast<std::ptrdiff_t>(random.Below(parts.size() + 1));
  parts.insert(parts.begin() + at, times, part);
  return Joined(parts);
}
std::string DropPart(const std::string& file, Philox& random) {
  std::vector<std::string> parts = SplitImage(file);
  parts.erase(parts.begin() + static_cast<std::ptrdiff_t>(random.Below(parts.size())));
  return Joined(parts);
}
// The length that a part says of itself: where it lies depends on the format.
std::string ChangeLength(const std::string& file, Philox& random) {
  std::vector<std::string> parts = SplitImage(file);
  std::string& part = parts[random.Below(parts.size())];
  const bool big_endian = IsPng(file) || IsJpeg(file) || file[0] == 'M';
  const size_t at = IsJpeg(file) ? 2 : IsRiff(file) || IsTiff(file) ? 4 : 0;
  const int count = IsJpeg(file) ? 2 : IsGif(file) ? 1 : 4;
  if (part.size() < at + static_cast<size_t>(count)) return FlipBits(file, random);
  const uint32_t was = Number(part, at, count, big_endian);
  const uint32_t now =
      random.Below(2) == 0 ? Edge(random) : was + static_cast<uint32_t>(random.Below(9)) - 4;
  SetNumber(part, at, count, big_endian, now);
  return Joined(parts);
}
std::string OtherHead(const std::string& file, const Others& others, Philox& random) {
  const std::string& other = others[random.Below(others.size())].second;
  const size_t head = std::min({other.size(), file.size(), size_t{4} << random.Below(4)});
  return other.substr(0, head) + file.substr(head);
}
std::string ForeignPart(const std::string& file, const Others& others, Philox& random) {
  std::vector<std::string> parts = SplitImage(file);
  const std::vector<std::string> theirs = SplitImage(others[random.Below(others.size())].second);
  parts[random.Below(parts.size())] = theirs[random.Below(theirs.size())];
  return Joined(parts);
}
std::string InsertBytes(std::string file, Philox& random) {
  const std::string run(random.Below(64) + 1, static_cast<char>(random.Below(256)));
  return file.insert(Place(random, file.size()), run);
}
std::string EraseBytes(std::string file, Philox& random) {
  return file.erase(Place(random, file.size()), random.Below(64) + 1);
}

}  // namespace

std::vector<std::string> SplitImage(const std::string& file) {
  if (file.size() < 16) return {file};
  if (IsPng(file)) return CutAt(file, PngCuts(file));
  if (IsJpeg(file)) return CutAt(file, JpegCuts(file));
  if (IsRiff(file)) return CutAt(file, RiffCuts(file));
  if (IsGif(file)) return CutAt(file, GifCuts(file));
  if (IsBmp(file)) return CutAt(file, {14, 18, 26, 54});
  if (IsTiff(file)) return CutAt(file, TiffCuts(file));
  return {file};
}

std::string ClaimManyPixels(std::string file, Philox& random) {
  for (const SizePlace& place : SizePlaces(file)) {
    if (random.Below(3) == 0) continue;
    const uint32_t size =
        random.Below(2) == 0 ? Edge(random) : static_cast<uint32_t>(random.Below(20'000)) + 1;
    SetNumber(file, place.at, place.count, place.big_endian, size);
  }
  return file;
}

Mutation MutateImage(const std::string& file, const Others& others, Philox& random) {
  if (file.size() < 2) return {file, "nothing left to damage"};
  Mutation mutation;
  switch (random.Below(12)) {
    case 0:
      mutation = {Truncate(file, random), "truncated"};
      break;
    case 1:
      mutation = {FlipBits(file, random), "bits flipped"};
      break;
    case 2:
      mutation = {SetEdge(file, random), "a number set"};
      break;
    case 3:
      mutation = {SwapParts(file, random), "parts swapped"};
      break;
    case 4:
      mutation = {RepeatPart(file, random), "a part repeated"};
      break;
    case 5:
      mutation = {DropPart(file, random), "a part dropped"};
      break;
    case 6:
      mutation = {ChangeLength(file, random), "a length changed"};
      break;
    case 7:
      mutation = {OtherHead(file, others, random), "another format's head"};
      break;
    case 8:
      mutation = {ForeignPart(file, others, random), "another file's part"};
      break;
    case 9:
      mutation = {InsertBytes(file, random), "bytes inserted"};
      break;
    case 10:
      mutation = {EraseBytes(file, random), "bytes erased"};
      break;
    default:
      mutation = {ClaimManyPixels(file, random), "pixels claimed"};
      break;
  }
  if (IsPng(mutation.bytes) && random.Below(2) == 0) FixChecksums(mutation.bytes);
  return mutation;
}

}  // namespace seer::testing
