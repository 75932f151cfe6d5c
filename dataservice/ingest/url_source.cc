#include "dataservice/ingest/url_source.h"

#include <algorithm>
#include <fstream>
#include <sstream>
#include <thread>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "common/base/backoff.h"
#include "common/base/error.h"
#include "common/base/status_macros.h"
#include "common/http/http_client.h"
#include "dataservice/ingest/read_ahead.h"

namespace seer::dataservice {
namespace {

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
  UrlSource(std::unique_ptr<std::istream> lines, int64_t total, const SourceOptions& options)
      : lines_(std::move(lines)),
        total_(total),
        ahead_(
            static_cast<int>(std::min<int64_t>(options.downloads, total)),
            [this, max_bytes = options.max_download_bytes]() -> absl::StatusOr<ReadAhead::Fetch> {
              std::string url = NextUrl();
              if (url.empty()) return ReadAhead::Fetch();
              return ReadAhead::Fetch([url, max_bytes]() -> absl::StatusOr<SourceImage> {
                return Download(url, max_bytes);
              });
            }) {}

  absl::StatusOr<std::optional<SourceImage>> Next() override { return ahead_.Next(); }
  int64_t total() const override { return total_; }

 private:
  std::string NextUrl() {
    for (std::string line; std::getline(*lines_, line);) {
      const absl::string_view url = absl::StripAsciiWhitespace(line);
      if (IsUrl(url)) return std::string(url);  // the others are blank or comments
    }
    return "";
  }

  const std::unique_ptr<std::istream> lines_;
  const int64_t total_;
  ReadAhead ahead_;
};

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

absl::StatusOr<std::unique_ptr<ImageSource>> OpenUrlList(const std::string& path,
                                                         const std::string& name,
                                                         const SourceOptions& options) {
  auto file = std::make_unique<std::ifstream>(path);
  if (!*file) {
    return Error(absl::StatusCode::kNotFound, reason::kSourceNotFound,
                 absl::StrCat("cannot read ", name))
        .Field("sources");
  }
  int64_t urls = 0, number = 0;
  for (std::string line; std::getline(*file, line);) {
    ++number;
    const absl::string_view text = absl::StripAsciiWhitespace(line);
    if (text.empty() || text.front() == '#') continue;
    if (!IsUrl(text)) {
      return Error(absl::StatusCode::kInvalidArgument, reason::kInvalidArgument,
                   absl::StrCat(name, ", line ", number, ": '", text.substr(0, 100),
                                "' is no http or https URL"))
          .Field("sources")
          .Hint("a .txt source has one URL a line; \"#\" begins a comment");
    }
    ++urls;
  }
  if (urls == 0) {
    return Error(absl::StatusCode::kFailedPrecondition, reason::kSourceEmpty,
                 absl::StrCat(name, " holds no URL"))
        .Field("sources")
        .Hint("a .txt source has one http or https URL a line");
  }
  file->clear();
  file->seekg(0);
  return std::make_unique<UrlSource>(std::move(file), urls, options);
}

std::unique_ptr<ImageSource> OpenUrl(const std::string& url, const SourceOptions& options) {
  return std::make_unique<UrlSource>(std::make_unique<std::istringstream>(url), 1, options);
}

}  // namespace seer::dataservice
