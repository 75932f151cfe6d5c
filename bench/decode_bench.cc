// Claim: decoding an image and cutting the six views of a multi-crop (2 x 224 of 14 % to 100 % of
// the area, 4 x 96 of 5 % to 14 %) costs a core little more than decoding the same file to RGB does
// with libjpeg-turbo alone (TurboJPEG, full size), and on large photographs less.
// One thread, both sides in turns in one run, the best of the rounds of each; files are read into
// memory before the clock runs. Also: the same through the data service's work pool, as it serves.
#include <turbojpeg.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/blocking_counter.h"
#include "common/base/clock.h"
#include "common/base/status_macros.h"
#include "dataservice/decode/decoder.h"
#include "dataservice/order/crops.h"
#include "dataservice/pool/tar_shard.h"
#include "dataservice/serve/work_pool.h"

namespace {

namespace fs = std::filesystem;
using seer::dataservice::CropSpec;
using seer::dataservice::DecodeScratch;

constexpr char kUsage[] =
    "decode_bench [--rounds N] [--seconds S] [--threads N] [PATH...]\n"
    "\n"
    "Images per second of one core: decode + 2 x 224 and 4 x 96 crops beside a bare TurboJPEG\n"
    "decode of the same files. PATH: JPEG files, folders of them, or tar shards; default\n"
    "/usr/share/backgrounds/mate (Debian's mate-backgrounds). Other formats are left out.\n"
    "  --rounds N   rounds of each side, in turns; the best counts (default 5)\n"
    "  --seconds S  least duration of a round (default 2)\n"
    "  --threads N  also measure the work pool with N threads; 0: not (default 0)\n"
    "A table goes to stderr, one line of JSON to stdout.\n";

struct Recipe {
  int views, size;
  double min_scale, max_scale;
};
constexpr Recipe kRecipes[] = {{2, 224, 0.14, 1.0}, {4, 96, 0.05, 0.14}};
constexpr size_t kCropBytes = size_t{3} * (2 * 224 * 224 + 4 * 96 * 96);
constexpr int64_t kMaxFileBytes = int64_t{256} << 20;

struct File {
  std::string bytes;
  int width = 0;
  int height = 0;
};

absl::Status Add(std::string bytes, std::vector<File>& files) {
  const auto info = seer::dataservice::ReadImageInfo(bytes);
  if (!info.ok() || info->format != seer::dataservice::ImageFormat::kJpeg) return absl::OkStatus();
  files.push_back({std::move(bytes), info->width, info->height});
  return absl::OkStatus();
}

absl::Status Load(const std::string& path, std::vector<File>& files) {
  if (fs::is_directory(path)) {
    std::vector<std::string> inside;
    for (const auto& entry : fs::recursive_directory_iterator(path))
      if (entry.is_regular_file()) inside.push_back(entry.path().string());
    std::sort(inside.begin(), inside.end());
    for (const std::string& file : inside) SEER_RETURN_IF_ERROR(Load(file, files));
    return absl::OkStatus();
  }
  if (absl::EndsWith(absl::AsciiStrToLower(path), ".tar")) {
    SEER_ASSIGN_OR_RETURN(auto tar, seer::dataservice::TarReader::Open(path));
    seer::dataservice::TarReader::Member member;
    while (true) {
      SEER_ASSIGN_OR_RETURN(const bool more, tar->Next(member, kMaxFileBytes));
      if (!more) return absl::OkStatus();
      SEER_RETURN_IF_ERROR(Add(std::move(member.bytes), files));
    }
  }
  std::ifstream in(path, std::ios::binary);
  if (!in) return absl::NotFoundError(absl::StrCat("cannot read ", path));
  return Add(std::string(std::istreambuf_iterator<char>(in), {}), files);
}

// `pixels` is the thread's: what a stream would send of this image.
absl::Status DecodeSixViews(const File& file, int64_t sample, std::vector<uint8_t>& pixels,
                            DecodeScratch& scratch) {
  pixels.resize(kCropBytes);
  uint8_t* out = pixels.data();
  std::vector<CropSpec> crops;
  uint32_t view = 0;
  for (const Recipe& recipe : kRecipes) {
    for (int v = 0; v < recipe.views; ++v, ++view) {
      crops.push_back(
          {seer::dataservice::RandomResizedCrop(1, sample, view, file.width, file.height,
                                                recipe.min_scale, recipe.max_scale, 0.5),
           recipe.size, out});
      out += size_t{3} * recipe.size * recipe.size;
    }
  }
  return seer::dataservice::DecodeAndCrop(file.bytes, crops, {}, &scratch).status();
}

class BareDecoder {
 public:
  BareDecoder() : handle_(tjInitDecompress()) {}
  BareDecoder(const BareDecoder&) = delete;
  ~BareDecoder() { tjDestroy(handle_); }

  absl::Status Decode(const File& file) {
    const auto* bytes = reinterpret_cast<const unsigned char*>(file.bytes.data());
    int width = 0, height = 0, sampling = 0, colors = 0;
    if (tjDecompressHeader3(handle_, bytes, file.bytes.size(), &width, &height, &sampling,
                            &colors) != 0) {
      return absl::DataLossError(tjGetErrorStr2(handle_));
    }
    // CMYK has no RGB in TurboJPEG; its decode stops one step earlier.
    const int format = colors == TJCS_CMYK || colors == TJCS_YCCK ? TJPF_CMYK : TJPF_RGB;
    rgb_.resize(static_cast<size_t>(width) * height * tjPixelSize[format]);
    // Both sides use the exact inverse DCT and smooth upsampling, the defaults.
    if (tjDecompress2(handle_, bytes, file.bytes.size(), rgb_.data(), width, 0, height, format,
                      TJFLAG_ACCURATEDCT) != 0 &&
        tjGetErrorCode(handle_) == TJERR_FATAL) {
      return absl::DataLossError(tjGetErrorStr2(handle_));
    }
    return absl::OkStatus();
  }

 private:
  tjhandle handle_;
  std::vector<uint8_t> rgb_;
};

// Images per second of `image(file, sample)` over whole passes of `files`, for `seconds` at least.
template <typename Image>
absl::StatusOr<double> Rate(const std::vector<File>& files, double seconds, const Image& image) {
  const absl::Duration start = seer::Clock::Real().Steady();
  double passed = 0;
  int64_t done = 0;
  while (passed < seconds) {
    for (const File& file : files) SEER_RETURN_IF_ERROR(image(file, done++));
    passed = absl::ToDoubleSeconds(seer::Clock::Real().Steady() - start);
  }
  return static_cast<double>(done) / passed;
}

absl::StatusOr<double> PoolRate(const std::vector<File>& files, double seconds, int threads) {
  seer::dataservice::WorkPool pool(threads);
  const absl::Duration start = seer::Clock::Real().Steady();
  double passed = 0;
  int64_t done = 0;
  std::vector<absl::Status> status(files.size());
  while (passed < seconds) {
    absl::BlockingCounter left(static_cast<int>(files.size()));
    for (size_t i = 0; i < files.size(); ++i) {
      pool.Post([&, i, sample = done++] {
        static thread_local DecodeScratch scratch;
        static thread_local std::vector<uint8_t> pixels;
        status[i].Update(DecodeSixViews(files[i], sample, pixels, scratch));
        left.DecrementCount();
      });
    }
    left.Wait();
    passed = absl::ToDoubleSeconds(seer::Clock::Real().Steady() - start);
  }
  for (const absl::Status& one : status) SEER_RETURN_IF_ERROR(one);
  return static_cast<double>(done) / passed;
}

struct Options {
  int rounds = 5;
  double seconds = 2;
  int threads = 0;
  std::vector<std::string> paths;
};

absl::Status Run(const Options& options) {
  std::vector<File> files;
  for (const std::string& path : options.paths) SEER_RETURN_IF_ERROR(Load(path, files));
  BareDecoder bare;
  // What either side cannot decode says nothing about speed.
  DecodeScratch scratch;
  std::vector<uint8_t> pixels;
  const auto useless = [&](const File& file) {
    return !bare.Decode(file).ok() || !DecodeSixViews(file, 0, pixels, scratch).ok();
  };
  files.erase(std::remove_if(files.begin(), files.end(), useless), files.end());
  if (files.empty()) return absl::NotFoundError("no JPEG that can be decoded in the paths given");

  double bytes = 0, image_pixels = 0, bare_rate = 0, view_rate = 0, pool_rate = 0;
  for (const File& file : files) {
    bytes += static_cast<double>(file.bytes.size());
    image_pixels += static_cast<double>(file.width) * file.height;
  }
  for (int round = 0; round < options.rounds; ++round) {
    SEER_ASSIGN_OR_RETURN(
        const double full,
        Rate(files, options.seconds, [&](const File& file, int64_t) { return bare.Decode(file); }));
    SEER_ASSIGN_OR_RETURN(const double views,
                          Rate(files, options.seconds, [&](const File& file, int64_t sample) {
                            return DecodeSixViews(file, sample, pixels, scratch);
                          }));
    bare_rate = std::max(bare_rate, full);
    view_rate = std::max(view_rate, views);
    if (options.threads == 0) continue;
    SEER_ASSIGN_OR_RETURN(const double pooled, PoolRate(files, options.seconds, options.threads));
    pool_rate = std::max(pool_rate, pooled);
  }
  const double count = static_cast<double>(files.size());
  std::fprintf(stderr, "%zu JPEGs, mean %.2f Mpixel and %.0f KiB; best of %d rounds\n",
               files.size(), image_pixels / count / 1e6, bytes / count / 1024, options.rounds);
  std::fprintf(stderr, "%-44s %10s %8s\n", "one thread", "images/s", "ratio");
  std::fprintf(stderr, "%-44s %10.1f %8.2f\n", "TurboJPEG, full size to RGB", bare_rate, 1.0);
  std::fprintf(stderr, "%-44s %10.1f %8.2f\n", "decode + 2 x 224 + 4 x 96 crops", view_rate,
               view_rate / bare_rate);
  if (options.threads > 0) {
    std::fprintf(stderr, "%-44s %10.1f %8.2f\n",
                 absl::StrCat("the same, work pool of ", options.threads).c_str(), pool_rate,
                 pool_rate / bare_rate);
  }
  std::printf(
      "{\"bench\": \"decode\", \"images\": %zu, \"megapixels\": %.4f, \"kibibytes\": %.1f, "
      "\"rounds\": %d, \"bare_images_per_second\": %.2f, "
      "\"crops_images_per_second\": %.2f, \"ratio\": %.4f",
      files.size(), image_pixels / count / 1e6, bytes / count / 1024, options.rounds, bare_rate,
      view_rate, view_rate / bare_rate);
  if (options.threads > 0)
    std::printf(", \"threads\": %d, \"pool_images_per_second\": %.2f", options.threads, pool_rate);
  std::printf("}\n");
  return absl::OkStatus();
}

// False: the arguments make no sense.
bool Parse(int argc, char** argv, Options& options) {
  for (int i = 1; i < argc; ++i) {
    const std::string argument = argv[i];
    const char* value = i + 1 < argc ? argv[i + 1] : "";
    if (argument == "--rounds") {
      if (!absl::SimpleAtoi(value, &options.rounds) || options.rounds < 1) return false;
      ++i;
    } else if (argument == "--seconds") {
      if (!absl::SimpleAtod(value, &options.seconds) || !(options.seconds > 0)) return false;
      ++i;
    } else if (argument == "--threads") {
      if (!absl::SimpleAtoi(value, &options.threads) || options.threads < 0 ||
          options.threads > 1024) {
        return false;
      }
      ++i;
    } else if (absl::StartsWith(argument, "--")) {
      return false;
    } else {
      options.paths.push_back(argument);
    }
  }
  if (options.paths.empty()) options.paths.push_back("/usr/share/backgrounds/mate");
  return true;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc > 1 && std::strcmp(argv[1], "--help") == 0) {
    std::fputs(kUsage, stdout);
    return 0;
  }
  Options options;
  if (!Parse(argc, argv, options)) {
    std::fputs(kUsage, stderr);
    return 2;
  }
  const absl::Status status = Run(options);
  if (status.ok()) return 0;
  std::fprintf(stderr, "decode_bench: %s\n", status.ToString().c_str());
  return 1;
}
