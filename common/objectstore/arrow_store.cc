#include "common/objectstore/arrow_store.h"

#include <arrow/buffer.h>
#include <arrow/filesystem/filesystem.h>
#include <arrow/io/interfaces.h>
#include <arrow/result.h>
#include <arrow/util/io_util.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "common/base/error.h"
#include "common/base/status_macros.h"
#include "common/objectstore/object_key.h"
#include "common/objectstore/storage_error.h"

namespace seer {
namespace {

absl::Status FromArrow(const arrow::Status& status, absl::string_view doing,
                       absl::string_view what) {
  if (status.ok()) return absl::OkStatus();
  if (arrow::internal::ErrnoFromStatus(status) == ENOENT ||
      absl::StrContains(status.message(), "NO_SUCH_KEY")) {
    return ObjectNotFound(doing, what);
  }
  return StorageError(doing, what, status.message());
}

class ArrowWriter final : public ObjectWriter {
 public:
  ArrowWriter(std::shared_ptr<arrow::io::OutputStream> stream, std::string name)
      : stream_(std::move(stream)), name_(std::move(name)) {}
  // Arrow's own destructors commit.
  ~ArrowWriter() override {
    if (!stream_->closed()) static_cast<void>(stream_->Abort());  // nobody hears of an error
  }
  absl::Status Append(absl::string_view bytes) override {
    return FromArrow(stream_->Write(bytes.data(), static_cast<int64_t>(bytes.size())),
                     "cannot write", name_);
  }
  absl::Status Commit() override { return FromArrow(stream_->Close(), "cannot write", name_); }

 private:
  const std::shared_ptr<arrow::io::OutputStream> stream_;
  const std::string name_;
};

}  // namespace

ArrowStore::ArrowStore(std::shared_ptr<arrow::fs::FileSystem> file_system,
                       std::shared_ptr<arrow::fs::FileSystem> streams, std::string root,
                       std::string uri)
    : file_system_(std::move(file_system)),
      streams_(std::move(streams)),
      root_(std::move(root)),
      uri_(std::move(uri)) {}

ArrowStore::~ArrowStore() = default;

std::string ArrowStore::PathOf(absl::string_view key) const {
  return absl::StrCat(root_, "/", key);
}
std::string ArrowStore::NameOf(absl::string_view key) const { return absl::StrCat(uri_, "/", key); }

absl::StatusOr<std::string> ArrowStore::Get(absl::string_view key) {
  SEER_ASSIGN_OR_RETURN(const ObjectInfo info, Stat(key));
  return GetRange(key, 0, info.size_bytes);
}

absl::StatusOr<std::string> ArrowStore::GetRange(absl::string_view key, int64_t offset,
                                                 int64_t length) {
  SEER_RETURN_IF_ERROR(CheckObjectKey(key));
  const auto file = file_system_->OpenInputFile(PathOf(key));
  if (!file.ok()) return FromArrow(file.status(), "cannot read", NameOf(key));
  const auto size = (*file)->GetSize();
  if (!size.ok()) return FromArrow(size.status(), "cannot read", NameOf(key));
  std::string bytes(static_cast<size_t>(std::clamp<int64_t>(*size - offset, 0, length)), '\0');
  if (bytes.empty()) return bytes;
  const auto got = (*file)->ReadAt(offset, static_cast<int64_t>(bytes.size()), bytes.data());
  if (!got.ok()) return FromArrow(got.status(), "cannot read", NameOf(key));
  if (*got != static_cast<int64_t>(bytes.size()))
    return StorageError("cannot read", NameOf(key), "the answer was cut short");
  return bytes;
}

absl::StatusOr<ObjectInfo> ArrowStore::Stat(absl::string_view key) {
  SEER_RETURN_IF_ERROR(CheckObjectKey(key));
  const auto info = file_system_->GetFileInfo(PathOf(key));
  if (!info.ok()) return FromArrow(info.status(), "cannot find", NameOf(key));
  if (!info->IsFile()) return ObjectNotFound("cannot find", NameOf(key));
  return ObjectInfo{std::string(key), info->size()};
}

absl::Status ArrowStore::Put(absl::string_view key, absl::string_view bytes) {
  SEER_ASSIGN_OR_RETURN(const auto writer, OpenWriter(key));
  SEER_RETURN_IF_ERROR(writer->Append(bytes));
  return writer->Commit();
}

absl::Status ArrowStore::PutIfAbsent(absl::string_view key, absl::string_view bytes) {
  const absl::Status taken =
      absl::AlreadyExistsError(absl::StrCat(NameOf(key), " is there already"));
  const auto present = Stat(key);
  if (present.ok()) return taken;
  if (!absl::IsNotFound(present.status())) return present.status();
  SEER_RETURN_IF_ERROR(Put(key, bytes));
  SEER_ASSIGN_OR_RETURN(const std::string now, Get(key));
  return now == bytes ? absl::OkStatus() : taken;
}

absl::StatusOr<std::unique_ptr<ObjectWriter>> ArrowStore::OpenWriter(absl::string_view key) {
  SEER_RETURN_IF_ERROR(CheckObjectKey(key));
  auto stream = streams_->OpenOutputStream(PathOf(key));
  if (!stream.ok()) return FromArrow(stream.status(), "cannot write", NameOf(key));
  return std::make_unique<ArrowWriter>(std::move(*stream), NameOf(key));
}

absl::StatusOr<std::vector<ObjectInfo>> ArrowStore::List(absl::string_view prefix) {
  for (absl::string_view part : absl::StrSplit(prefix, '/')) {
    if (part != ".." && !absl::StartsWith(prefix, "/")) continue;
    return Error(absl::StatusCode::kInvalidArgument, reason::kInvalidArgument,
                 absl::StrCat("prefix '", prefix, "' leaves the store"));
  }
  arrow::fs::FileSelector selector;
  const size_t slash = prefix.rfind('/');
  selector.base_dir = slash == absl::string_view::npos ? root_ : PathOf(prefix.substr(0, slash));
  selector.recursive = true;
  selector.allow_not_found = true;
  const auto infos = file_system_->GetFileInfo(selector);
  if (!infos.ok()) return FromArrow(infos.status(), "cannot list", NameOf(prefix));
  std::vector<ObjectInfo> objects;
  for (const arrow::fs::FileInfo& info : *infos) {
    const absl::string_view key = absl::StripPrefix(info.path(), absl::StrCat(root_, "/"));
    if (!info.IsFile() || !absl::StartsWith(key, prefix)) continue;
    const bool timed = info.mtime() != arrow::fs::kNoTime;
    objects.push_back({std::string(key), info.size(),
                       timed ? absl::FromChrono(info.mtime()) : absl::InfiniteFuture()});
  }
  std::sort(objects.begin(), objects.end(),
            [](const auto& a, const auto& b) { return a.key < b.key; });
  return objects;
}

absl::StatusOr<std::vector<std::string>> ArrowStore::TopFolders() {
  arrow::fs::FileSelector selector;
  selector.base_dir = root_;
  selector.allow_not_found = true;
  const auto infos = file_system_->GetFileInfo(selector);
  if (!infos.ok()) return FromArrow(infos.status(), "cannot list", uri_);
  std::vector<std::string> folders;
  for (const arrow::fs::FileInfo& info : *infos)
    if (info.IsDirectory()) folders.push_back(info.base_name());
  std::sort(folders.begin(), folders.end());
  return folders;
}

absl::Status ArrowStore::Delete(absl::string_view key) {
  SEER_RETURN_IF_ERROR(CheckObjectKey(key));
  const absl::Status status =
      FromArrow(file_system_->DeleteFile(PathOf(key)), "cannot delete", NameOf(key));
  return absl::IsNotFound(status) && HasReason(status, reason::kObjectNotFound) ? absl::OkStatus()
                                                                                : status;
}

absl::StatusOr<std::unique_ptr<ObjectStore>> OpenArrowStore(const std::string& uri) {
  std::string root;
  auto file_system = arrow::fs::FileSystemFromUri(uri, &root);
  const std::string shown = uri.substr(0, uri.find('?'));
  if (!file_system.ok() || root.empty()) {
    return Error(absl::StatusCode::kInvalidArgument, reason::kInvalidArgument,
                 absl::StrCat("cannot use storage ", shown, ": ",
                              file_system.ok() ? "it names no bucket or container"
                                               : file_system.status().message()))
        .Hint("docs/operations.md shows the URIs of each kind of storage");
  }
  return std::make_unique<ArrowStore>(*file_system, *file_system,
                                      std::string(absl::StripSuffix(root, "/")),
                                      std::string(absl::StripSuffix(shown, "/")));
}

}  // namespace seer
