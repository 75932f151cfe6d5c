#include "dataservice/ingest/url_source.h"

#include <algorithm>
#include <fstream>
#include <thread>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/base/backoff.h"
#include "common/base/error.h"
#include "common/base/philox.h"
#include "common/base/status_macros.h"
#include "common/http/http_client.h"
#include "dataservice/ingest/read_ahead.h"

namespace seer::dataservice {
namespace {

constexpr int64_t kPieceUrls = 1024;
constexpr int64_t kUrlBytes = 64 << 10;  // nobody knows: of a picture on a web page
constexpr int kAttempts = 4;
constexpr absl::Duration kFirstBackoff = absl::Milliseconds(200);
constexpr absl::Duration kMaxBackoff = absl::Seconds(10);

bool WorthRetrying(const absl::StatusOr<HttpResponse>& response) {
  if (!response.ok()) {
    return absl::IsUnavailable(response.status()) || absl::IsDeadlineExceeded(response.status());
  }
  switch (response->status) {
    case 408:
    case 429:
    case 500:
    case 502:
    case 503:
    case 504:
      return true;
    default:
      return false;
  }
}

// What the server asks for in seconds ("Retry-After: 3"), within our own bound.
absl::Duration AskedWait(const absl::StatusOr<HttpResponse>& response) {
  if (!response.ok()) return absl::ZeroDuration();
  const auto header = response->headers.find("retry-after");
  int seconds;
  if (header == response->headers.end() || !absl::SimpleAtoi(header->second, &seconds))
    return absl::ZeroDuration();
  return std::clamp(absl::Seconds(seconds), absl::ZeroDuration(), kMaxBackoff);
}

absl::Status FailureOf(const std::string& url, const absl::StatusOr<HttpResponse>& response) {
  if (absl::IsResourceExhausted(response.status())) {
    return Error(absl::StatusCode::kResourceExhausted, reason::kImageTooLarge,
                 absl::StrCat(url, ": ", response.status().message()));
  }
  const std::string why = response.ok() ? absl::StrCat("HTTP ", response->status)
                                        : std::string(response.status().message());
  return Error(absl::StatusCode::kUnavailable, reason::kDownloadFailed,
               absl::StrCat("cannot download ", url, ": ", why));
}

class UrlSource final : public ImageSource {
 public:
  UrlSource(std::vector<std::string> urls, const SourceOptions& options)
      : urls_(std::move(urls)),
        ahead_(
            std::min(options.downloads, static_cast<int>(urls_.size())),
            [this, max_bytes = options.max_download_bytes]() -> absl::StatusOr<ReadAhead::Fetch> {
              if (next_ == urls_.size()) return ReadAhead::Fetch();
              const std::string& url = urls_[next_++];
              return ReadAhead::Fetch([&url, max_bytes]() -> absl::StatusOr<SourceImage> {
                return Download(url, max_bytes);
              });
            }) {}

  absl::StatusOr<std::optional<SourceImage>> Next() override { return ahead_.Next(); }

 private:
  const std::vector<std::string> urls_;
  size_t next_ = 0;
  ReadAhead ahead_;  // last: its threads read the URLs
};

class OneUrl final : public ListedSource {
 public:
  OneUrl(std::string url, const SourceOptions& options) : url_(std::move(url)), options_(options) {}
  size_t entries() const override { return 1; }
  SourceEntry Entry(size_t) const override { return {kUrlBytes, 1}; }
  void AppendIdentity(size_t, std::string& text) const override {
    absl::StrAppend(&text, url_, "\n");
  }
  absl::StatusOr<std::unique_ptr<ImageSource>> Open(size_t, size_t, int) const override {
    return std::make_unique<UrlSource>(std::vector<std::string>{url_}, options_);
  }

 private:
  const std::string url_;
  const SourceOptions options_;
};

absl::Status CannotRead(const std::string& name) {
  return Error(absl::StatusCode::kNotFound, reason::kSourceNotFound,
               absl::StrCat("cannot read ", name))
      .Field("sources");
}

}  // namespace

bool IsUrl(absl::string_view text) {
  return absl::StartsWithIgnoreCase(text, "http://") ||
         absl::StartsWithIgnoreCase(text, "https://");
}

SourceImage Download(const std::string& url, int64_t max_bytes) {
  static thread_local HttpClient client;
  HttpRequest request;
  request.url = url;
  request.max_bytes = max_bytes;
  Backoff backoff(kFirstBackoff, kMaxBackoff);
  auto response = client.Do(request);
  for (int attempt = 1; attempt < kAttempts && WorthRetrying(response); ++attempt) {
    std::this_thread::sleep_for(absl::ToChronoMilliseconds(AskedWait(response) + backoff.Next()));
    response = client.Do(request);
  }
  SourceImage image;
  image.source = url;
  if (response.ok() && response->status == 200) {
    image.bytes = std::move(response->body);
  } else {
    image.failure = FailureOf(url, response);
  }
  return image;
}

absl::StatusOr<std::vector<FilePiece>> ListUrls(const std::string& path, const std::string& name) {
  std::ifstream file(path);
  if (!file) return CannotRead(name);
  std::vector<FilePiece> pieces;
  int64_t number = 0, at = 0;
  for (std::string line; std::getline(file, line);) {
    ++number;
    const int64_t begin = at;
    at += static_cast<int64_t>(line.size()) + 1;
    const absl::string_view text = absl::StripAsciiWhitespace(line);
    if (text.empty() || text.front() == '#') continue;
    if (!IsUrl(text)) {
      return Error(absl::StatusCode::kInvalidArgument, reason::kInvalidArgument,
                   absl::StrCat(name, ", line ", number, ": '", text.substr(0, 100),
                                "' is no http or https URL"))
          .Field("sources")
          .Hint("a .txt source has one URL a line; \"#\" begins a comment");
    }
    if (pieces.empty() || pieces.back().count == kPieceUrls) {
      pieces.push_back({path});
      pieces.back().first = begin;
      pieces.back().count = 0;
    }
    FilePiece& piece = pieces.back();
    piece.images = ++piece.count;
    piece.bytes += kUrlBytes;
    piece.version = static_cast<int64_t>(StableHash(absl::StrCat(piece.version, " ", text)));
  }
  if (pieces.empty()) {
    return Error(absl::StatusCode::kFailedPrecondition, reason::kSourceEmpty,
                 absl::StrCat(name, " holds no URL"))
        .Field("sources")
        .Hint("a .txt source has one http or https URL a line");
  }
  return pieces;
}

absl::StatusOr<std::unique_ptr<ImageSource>> OpenUrls(const FilePiece& piece,
                                                      const SourceOptions& options) {
  std::ifstream file(piece.path);
  if (!file.seekg(piece.first)) return CannotRead(piece.path);
  std::vector<std::string> urls;
  for (std::string line;
       static_cast<int64_t>(urls.size()) < piece.count && std::getline(file, line);) {
    const absl::string_view url = absl::StripAsciiWhitespace(line);
    if (IsUrl(url)) urls.emplace_back(url);  // the others are blank or comments
  }
  return std::make_unique<UrlSource>(std::move(urls), options);
}

std::unique_ptr<ListedSource> ListUrl(const std::string& url, const SourceOptions& options) {
  return std::make_unique<OneUrl>(url, options);
}

}  // namespace seer::dataservice
