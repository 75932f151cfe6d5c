#include "dataservice/pool/tar_shard.h"

#include <archive.h>
#include <archive_entry.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "common/base/error.h"

namespace seer::dataservice {

struct TarShardBuilder::Impl {
  archive* tar = archive_write_new();
  std::string bytes;
  ~Impl() { archive_write_free(tar); }

  static la_ssize_t Take(archive*, void* self, const void* data, size_t size) {
    static_cast<Impl*>(self)->bytes.append(static_cast<const char*>(data), size);
    return static_cast<la_ssize_t>(size);
  }
  absl::Status Failed(const char* doing) const {
    return absl::InternalError(absl::StrCat(doing, ": ", archive_error_string(tar)));
  }
};

TarShardBuilder::TarShardBuilder() : impl_(std::make_unique<Impl>()) {
  archive_write_set_format_ustar(impl_->tar);
  archive_write_set_bytes_per_block(
      impl_->tar, 0);  // unbuffered: a member's offset is known when its header is out
  archive_write_open(impl_->tar, impl_.get(), nullptr, &Impl::Take, nullptr);
}
TarShardBuilder::~TarShardBuilder() = default;

absl::StatusOr<int64_t> TarShardBuilder::Add(const std::string& name, absl::string_view bytes) {
  archive_entry* entry = archive_entry_new();
  archive_entry_set_pathname(entry, name.c_str());
  archive_entry_set_size(entry, static_cast<la_int64_t>(bytes.size()));
  archive_entry_set_filetype(entry, AE_IFREG);
  archive_entry_set_perm(entry, 0644);
  archive_entry_set_mtime(entry, 0, 0);  // the same images give the same shard
  const int wrote = archive_write_header(impl_->tar, entry);
  archive_entry_free(entry);
  if (wrote != ARCHIVE_OK) return impl_->Failed("writing a shard");
  const auto offset = static_cast<int64_t>(impl_->bytes.size());
  if (archive_write_data(impl_->tar, bytes.data(), bytes.size()) !=
          static_cast<la_ssize_t>(bytes.size()) ||
      archive_write_finish_entry(impl_->tar) != ARCHIVE_OK) {
    return impl_->Failed("writing a shard");
  }
  return offset;
}

int64_t TarShardBuilder::size_bytes() const { return static_cast<int64_t>(impl_->bytes.size()); }

absl::StatusOr<std::string> TarShardBuilder::Finish() {
  if (archive_write_close(impl_->tar) != ARCHIVE_OK) return impl_->Failed("closing a shard");
  return std::move(impl_->bytes);
}

struct TarReader::Impl {
  archive* tar = archive_read_new();
  std::string path;
  bool at_end = false;
  ~Impl() { archive_read_free(tar); }
  absl::Status Torn() const {
    return Error(absl::StatusCode::kDataLoss, reason::kPoolCorrupt,
                 absl::StrCat(path, " is not a whole tar archive: ", archive_error_string(tar)))
        .Hint("copy or make the archive again")
        .With("path", path);
  }
};

TarReader::TarReader() : impl_(std::make_unique<Impl>()) {}
TarReader::~TarReader() = default;

absl::StatusOr<std::unique_ptr<TarReader>> TarReader::Open(const std::string& path) {
  if (::access(path.c_str(), R_OK) != 0) {
    return Error(absl::StatusCode::kNotFound, reason::kSourceNotFound,
                 absl::StrCat("cannot read ", path))
        .With("path", path);
  }
  std::unique_ptr<TarReader> reader(new TarReader());
  reader->impl_->path = path;
  archive_read_support_format_tar(reader->impl_->tar);
  if (archive_read_open_filename(reader->impl_->tar, path.c_str(), 1 << 20) != ARCHIVE_OK)
    return reader->impl_->Torn();
  return reader;
}

absl::StatusOr<bool> TarReader::Next(Member& member, int64_t max_bytes) {
  archive_entry* entry = nullptr;
  while (true) {
    if (impl_->at_end) return false;
    const int got = archive_read_next_header(impl_->tar, &entry);
    impl_->at_end = got == ARCHIVE_EOF;
    if (impl_->at_end) return false;
    if (got != ARCHIVE_OK && got != ARCHIVE_WARN) return impl_->Torn();
    if (archive_entry_filetype(entry) == AE_IFREG) break;
  }
  // Null where a pax name cannot be had in any encoding: the bytes count, not the name.
  const char* name = archive_entry_pathname(entry);
  member.name = name != nullptr ? name : "";
  const int64_t size = std::clamp<int64_t>(archive_entry_size(entry), 0, max_bytes + 1);
  member.bytes.resize(static_cast<size_t>(size));
  size_t done = 0;
  while (done < member.bytes.size()) {
    const la_ssize_t got =
        archive_read_data(impl_->tar, member.bytes.data() + done, member.bytes.size() - done);
    if (got <= 0) return impl_->Torn();
    done += static_cast<size_t>(got);
  }
  return true;
}

}  // namespace seer::dataservice
