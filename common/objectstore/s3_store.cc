#include "common/objectstore/s3_store.h"

#include <arrow/filesystem/s3fs.h>

#include <algorithm>
#include <cstdlib>
#include <utility>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "absl/synchronization/mutex.h"
#include "common/base/error.h"
#include "common/base/log.h"
#include "common/base/status_macros.h"
#include "common/http/http_client.h"
#include "common/objectstore/arrow_store.h"
#include "common/objectstore/object_key.h"
#include "common/objectstore/storage_error.h"

namespace seer {
namespace {

constexpr double kConnectSeconds = 5;
constexpr double kStallSeconds = 10;  // without a byte
constexpr int kUploadAttempts = 10;   // of each part of a large upload
constexpr size_t kSinglePutBytes = size_t{8} << 20;
constexpr int64_t kErrorBytes = 1 << 20;  // an answer may have more bytes than were asked for

class NoRetries final : public arrow::fs::S3RetryStrategy {
 public:
  bool ShouldRetry(const AWSErrorDetail&, int64_t) override { return false; }
  int64_t CalculateDelayBeforeNextRetry(const AWSErrorDetail&, int64_t) override { return 0; }
};

// Percent-encodes what RFC 3986 reserves, but for '/': as signatures want it.
std::string EncodePath(absl::string_view path) {
  static constexpr char kHex[] = "0123456789ABCDEF";
  std::string out;
  for (const char c : path) {
    const auto byte = static_cast<unsigned char>(c);
    if (absl::ascii_isalnum(byte) || absl::StrContains("-._~/", absl::string_view(&c, 1))) {
      out += c;
    } else {
      out += {'%', kHex[byte >> 4], kHex[byte & 15]};
    }
  }
  return out;
}

// Where keys of the bucket begin: "https://bucket.s3.eu-west-1.amazonaws.com".
std::string BucketUrl(const arrow::fs::S3Options& options, const std::string& region,
                      absl::string_view bucket) {
  if (!options.endpoint_override.empty()) {
    return options.force_virtual_addressing
               ? absl::StrCat(options.scheme, "://", bucket, ".", options.endpoint_override)
               : absl::StrCat(options.scheme, "://", options.endpoint_override, "/", bucket);
  }
  const std::string host =
      absl::StrCat("s3.", region, ".amazonaws.com", absl::StartsWith(region, "cn-") ? ".cn" : "");
  // A name with dots does not fit the certificate.
  return absl::StrContains(bucket, ".") ? absl::StrCat(options.scheme, "://", host, "/", bucket)
                                        : absl::StrCat(options.scheme, "://", bucket, ".", host);
}

// The text of an XML element without attributes, as S3's errors have them; "": none.
absl::string_view Element(absl::string_view xml, absl::string_view name) {
  const std::string open = absl::StrCat("<", name, ">"), close = absl::StrCat("</", name, ">");
  const size_t begin = xml.find(open);
  if (begin == absl::string_view::npos) return "";
  const size_t end = xml.find(close, begin);
  if (end == absl::string_view::npos) return "";
  return xml.substr(begin + open.size(), end - begin - open.size());
}

std::string Said(const HttpResponse& response) {
  return absl::StrCat("HTTP ", response.status, " ", Element(response.body, "Code"), " ",
                      Element(response.body, "Message"));
}

// The object's size by "Content-Range: bytes 0-99/1234" or "bytes */1234"; -1: it does not say.
int64_t TotalSize(const HttpResponse& response) {
  const auto header = response.headers.find("content-range");
  if (header == response.headers.end()) return -1;
  const size_t slash = header->second.rfind('/');
  int64_t size;
  return slash != std::string::npos && absl::SimpleAtoi(header->second.substr(slash + 1), &size)
             ? size
             : -1;
}

class S3Store final : public ArrowStore {
 public:
  S3Store(std::shared_ptr<arrow::fs::S3FileSystem> file_system,
          std::shared_ptr<arrow::fs::S3FileSystem> streams, const std::string& root,
          const std::string& uri)
      : ArrowStore(file_system, std::move(streams), root, uri),
        options_(file_system->options()),
        region_(file_system->region()),
        bucket_url_(BucketUrl(options_, region_, root.substr(0, root.find('/')))) {}

  absl::StatusOr<std::string> Get(absl::string_view key) override {
    SEER_ASSIGN_OR_RETURN(const ObjectInfo info, Stat(key));
    return GetRange(key, 0, info.size_bytes);
  }

  absl::StatusOr<std::string> GetRange(absl::string_view key, int64_t offset,
                                       int64_t length) override {
    if (length <= 0) {
      SEER_RETURN_IF_ERROR(Stat(key).status());
      return std::string();
    }
    SEER_ASSIGN_OR_RETURN(HttpResponse response, Read(key, offset, length));
    if (response.status == 416) return std::string();  // begins behind the end
    int64_t expected = length;
    if (response.status == 200) {  // a server without ranges: the whole object
      const auto size = static_cast<int64_t>(response.body.size());
      response.body = offset < size ? response.body.substr(static_cast<size_t>(offset),
                                                           static_cast<size_t>(length))
                                    : std::string();
      expected = std::clamp<int64_t>(size - offset, 0, length);
    } else if (const int64_t total = TotalSize(response); total >= 0) {
      expected = std::clamp<int64_t>(total - offset, 0, length);
    }
    if (static_cast<int64_t>(response.body.size()) != expected) {
      return StorageError(
          "cannot read", NameOf(key),
          absl::StrCat("the answer has ", response.body.size(), " bytes of ", expected));
    }
    return std::move(response.body);
  }

  // By the first byte and not by HEAD, whose errors have no text.
  absl::StatusOr<ObjectInfo> Stat(absl::string_view key) override {
    SEER_ASSIGN_OR_RETURN(const HttpResponse response, Read(key, 0, 1));
    int64_t size = TotalSize(response);
    if (size < 0) size = response.status == 416 ? 0 : static_cast<int64_t>(response.body.size());
    return ObjectInfo{std::string(key), size};
  }

  absl::Status Put(absl::string_view key, absl::string_view bytes) override {
    if (bytes.size() > kSinglePutBytes) return ArrowStore::Put(key, bytes);
    SEER_ASSIGN_OR_RETURN(const HttpResponse response, Write(key, bytes, {}));
    return response.status == 200 ? absl::OkStatus()
                                  : StorageError("cannot write", NameOf(key), Said(response));
  }

  absl::Status PutIfAbsent(absl::string_view key, absl::string_view bytes) override {
    SEER_ASSIGN_OR_RETURN(const HttpResponse response, Write(key, bytes, {"If-None-Match: *"}));
    switch (response.status) {
      case 200:
        return absl::OkStatus();
      case 412:
        return absl::AlreadyExistsError(absl::StrCat(NameOf(key), " is there already"));
      case 501:
        LogWarn("no_conditional_writes", {{"object", NameOf(key)}});
        return ArrowStore::PutIfAbsent(key, bytes);
      default:  // 409: another write of this key was in progress
        return StorageError("cannot write", NameOf(key), Said(response));
    }
  }

 private:
  // 200, 206 or 416; other answers as their errors.
  absl::StatusOr<HttpResponse> Read(absl::string_view key, int64_t offset, int64_t length) {
    HttpRequest request;
    request.headers = {absl::StrCat("Range: bytes=", offset, "-", offset + length - 1)};
    request.max_bytes = length + kErrorBytes;
    SEER_ASSIGN_OR_RETURN(HttpResponse response, Send(key, "cannot read", std::move(request)));
    if (response.status == 200 || response.status == 206 || response.status == 416) return response;
    const std::string said = Said(response);
    if (response.status == 404 && !absl::StrContains(said, "NoSuchBucket"))
      return ObjectNotFound("cannot read", NameOf(key));
    return StorageError("cannot read", NameOf(key), said);
  }

  absl::StatusOr<HttpResponse> Write(absl::string_view key, absl::string_view bytes,
                                     std::vector<std::string> headers) {
    HttpRequest request;
    request.headers = std::move(headers);
    request.put = bytes;
    return Send(key, "cannot write", std::move(request));
  }

  absl::StatusOr<HttpResponse> Send(absl::string_view key, absl::string_view doing,
                                    HttpRequest request) {
    SEER_RETURN_IF_ERROR(CheckObjectKey(key));
    const std::string path = PathOf(key);
    request.url = absl::StrCat(bucket_url_, EncodePath(path.substr(path.find('/'))));
    request.connect_timeout = absl::Seconds(kConnectSeconds);
    request.stall = absl::Seconds(kStallSeconds);
    request.max_redirects = 0;
    request.ca_file = options_.tls_ca_file_path;
    request.verify_tls = options_.tls_verify_certificates;
    if (options_.credentials_kind != arrow::fs::S3CredentialsKind::Anonymous)
      request.signature = Signature();
    std::unique_ptr<HttpClient> client = Take();
    auto response = client->Do(request);
    Return(std::move(client));
    if (!response.ok()) return StorageError(doing, NameOf(key), response.status().message());
    return response;
  }

  // The provider may renew its credentials between two questions.
  AwsSignature Signature() const {
    while (true) {
      const AwsSignature signature{options_.GetAccessKey(), options_.GetSecretKey(),
                                   options_.GetSessionToken(), region_};
      if (options_.GetAccessKey() == signature.access_key) return signature;
    }
  }

  std::unique_ptr<HttpClient> Take() ABSL_LOCKS_EXCLUDED(mu_) {
    absl::MutexLock lock(&mu_);
    if (idle_.empty()) return std::make_unique<HttpClient>();
    std::unique_ptr<HttpClient> client = std::move(idle_.back());
    idle_.pop_back();
    return client;
  }
  void Return(std::unique_ptr<HttpClient> client) ABSL_LOCKS_EXCLUDED(mu_) {
    absl::MutexLock lock(&mu_);
    idle_.push_back(std::move(client));  // at most as many as calls have run at once
  }

  const arrow::fs::S3Options options_;
  const std::string region_;
  const std::string bucket_url_;
  absl::Mutex mu_;
  std::vector<std::unique_ptr<HttpClient>> idle_ ABSL_GUARDED_BY(mu_);
};

absl::Status BadUri(absl::string_view shown, absl::string_view why) {
  return Error(absl::StatusCode::kInvalidArgument, reason::kInvalidArgument,
               absl::StrCat("cannot use storage ", shown, ": ", why))
      .Hint("s3://BUCKET/PREFIX?region=REGION; docs/operations.md has the other parameters");
}

// Takes "anonymous=true", which Arrow does not know, out of the query.
bool TakeAnonymous(std::string& uri) {
  const size_t mark = uri.find('?');
  if (mark == std::string::npos) return false;
  std::vector<std::string> parameters = absl::StrSplit(uri.substr(mark + 1), '&');
  const size_t before = parameters.size();
  std::erase(parameters, "anonymous=true");
  if (parameters.size() == before) return false;
  uri.resize(mark);
  if (!parameters.empty()) absl::StrAppend(&uri, "?", absl::StrJoin(parameters, "&"));
  return true;
}

// Value of the first variable that is set; "": none.
absl::string_view FromEnvironment(std::initializer_list<const char*> names) {
  for (const char* name : names) {
    const char* const value = std::getenv(name);
    if (value != nullptr && *value != '\0') return value;
  }
  return "";
}

// Adds what the URI leaves to the environment: without a region Arrow would ask AWS for it.
void AddFromEnvironment(std::string& uri) {
  const auto add = [&](absl::string_view name, absl::string_view value) {
    if (value.empty() || absl::StrContains(uri, absl::StrCat(name, "="))) return;
    absl::StrAppend(&uri, absl::StrContains(uri, "?") ? "&" : "?", name, "=", value);
  };
  add("region", FromEnvironment({"AWS_REGION", "AWS_DEFAULT_REGION"}));
  if (absl::StrContains(uri, "endpoint_override=")) return;
  absl::string_view url = FromEnvironment({"AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"});
  const size_t scheme = url.find("://");
  if (scheme != absl::string_view::npos) {
    add("scheme", url.substr(0, scheme));
    url.remove_prefix(scheme + 3);
  }
  add("endpoint_override", absl::StripSuffix(url, "/"));
}

void StopSdk() { static_cast<void>(arrow::fs::EnsureS3Finalized()); }

absl::Status StartSdk() {
  static const arrow::Status started = [] {
    arrow::Status status = arrow::fs::EnsureS3Initialized();
    if (status.ok()) std::atexit(StopSdk);
    return status;
  }();
  if (started.ok()) return absl::OkStatus();
  return absl::InternalError(absl::StrCat("the S3 client does not start: ", started.message()));
}

arrow::Result<std::shared_ptr<arrow::fs::S3FileSystem>> MakeFileSystem(
    const arrow::fs::S3Options& options) {
  auto file_system = arrow::fs::S3FileSystem::Make(options);
  // Again after the first one: the SDK must stop before the statics that this has made are gone.
  static const int registered = std::atexit(StopSdk);
  static_cast<void>(registered);
  return file_system;
}

}  // namespace

absl::StatusOr<std::unique_ptr<ObjectStore>> OpenS3Store(const std::string& uri) {
  SEER_RETURN_IF_ERROR(StartSdk());
  std::string plain = uri;
  const bool anonymous = TakeAnonymous(plain);
  AddFromEnvironment(plain);
  const std::string shown(absl::StripSuffix(plain.substr(0, plain.find('?')), "/"));
  if (absl::StrContains(shown, "@"))
    return BadUri("s3://", "it has credentials in its URI, which is logged and shown");
  std::string root;
  auto options = arrow::fs::S3Options::FromUri(plain, &root);
  if (!options.ok()) return BadUri(shown, options.status().message());
  root = std::string(absl::StripSuffix(root, "/"));
  if (root.empty()) return BadUri(shown, "it names no bucket");
  if (anonymous) options->ConfigureAnonymousCredentials();
  options->connect_timeout = kConnectSeconds;
  options->request_timeout = kStallSeconds;
  options->allow_delayed_open = true;  // no multipart upload for what one request can carry
  options->retry_strategy = std::make_shared<NoRetries>();
  if (!anonymous && options->GetAccessKey().empty())
    return NoCredentials(shown, "neither in the environment, nor in a profile, nor of the machine");
  const auto file_system = MakeFileSystem(*options);
  if (!file_system.ok()) return BadUri(shown, file_system.status().message());
  options->retry_strategy =
      arrow::fs::S3RetryStrategy::GetAwsStandardRetryStrategy(kUploadAttempts);
  const auto streams = MakeFileSystem(*options);
  if (!streams.ok()) return BadUri(shown, streams.status().message());
  return std::make_unique<S3Store>(*file_system, *streams, root, shown);
}

}  // namespace seer
