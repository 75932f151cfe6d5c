#include "common/objectstore/local_store.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <limits>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/base/error.h"
#include "common/base/failpoint.h"
#include "common/base/status_macros.h"
#include "common/objectstore/object_key.h"

namespace seer {
namespace {

namespace fs = std::filesystem;

constexpr char kTemporaryPrefix[] = ".tmp-";
constexpr char kOpenFiles[] = "/proc/self/fd";
constexpr int kPopulateRead = 22;  // MADV_POPULATE_READ of Linux 5.14; others refuse it
constexpr int kRaces = 20;         // lost in a row to others who make and remove the same folder

absl::Status ErrnoStatus(int error, absl::string_view doing, absl::string_view path) {
  std::string message = absl::StrCat(doing, " ", path, ": ", std::strerror(error));
  switch (error) {
    case ENOENT:
    case ENOTDIR:
      return Error(absl::StatusCode::kNotFound, reason::kObjectNotFound, message)
          .With("path", path);
    case ENOSPC:
    case EDQUOT:
    case EFBIG:
      return Error(absl::StatusCode::kResourceExhausted, reason::kDiskFull, message)
          .Hint("free space on that file system, or choose another folder for storage")
          .With("path", path);
    case EACCES:
    case EPERM:
    case EROFS:
      return Error(absl::StatusCode::kPermissionDenied, reason::kStorageFailed, message)
          .Hint("check who owns the folder and whether it is mounted read-only")
          .With("path", path);
    default:
      return Error(absl::StatusCode::kUnavailable, reason::kStorageFailed, message)
          .With("path", path);
  }
}

class FileDescriptor {
 public:
  explicit FileDescriptor(int fd) : fd_(fd) {}
  FileDescriptor(FileDescriptor&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  FileDescriptor& operator=(FileDescriptor&&) = delete;
  ~FileDescriptor() { Close(); }
  int get() const { return fd_; }
  int Close() {
    const int fd = std::exchange(fd_, -1);
    return fd < 0 ? 0 : ::close(fd);
  }

 private:
  int fd_;
};

absl::Status SyncFolder(const fs::path& folder) {
  FileDescriptor fd(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (fd.get() < 0) return ErrnoStatus(errno, "cannot open the folder", folder.string());
  if (::fsync(fd.get()) != 0) return ErrnoStatus(errno, "cannot sync the folder", folder.string());
  return absl::OkStatus();
}

// Makes every missing folder down to `folder`. Each is durable once the folder that it lies in,
// which is appended to `parents`, has been synced: only after it is in use, for while it is empty
// others may take it away.
absl::Status MakeFolders(const fs::path& folder, std::vector<fs::path>& parents) {
  std::error_code error;
  if (fs::is_directory(folder, error)) return absl::OkStatus();
  if (folder.has_parent_path() && folder.parent_path() != folder)
    SEER_RETURN_IF_ERROR(MakeFolders(folder.parent_path(), parents));
  if (::mkdir(folder.c_str(), 0755) != 0 && errno != EEXIST) {
    return ErrnoStatus(errno, "cannot make the folder", folder.string());
  }
  parents.push_back(folder.has_parent_path() ? folder.parent_path() : fs::path("."));
  return absl::OkStatus();
}

absl::Status SyncFolders(const std::vector<fs::path>& folders) {
  for (const fs::path& folder : folders) SEER_RETURN_IF_ERROR(SyncFolder(folder));
  return absl::OkStatus();
}

class LocalWriter final : public ObjectWriter {
 public:
  enum class Mode { kReplace, kIfAbsent };

  static absl::StatusOr<std::unique_ptr<LocalWriter>> Open(fs::path path, Mode mode) {
    auto writer = TryOpen(path, mode);
    // Whoever deletes the last object of a folder takes the folder away, also just before the file
    // is made in it.
    for (int again = 0; again < kRaces && absl::IsNotFound(writer.status()); ++again)
      writer = TryOpen(path, mode);
    return writer;
  }

  ~LocalWriter() override { ::unlink(temporary_.c_str()); }  // fails harmlessly after a rename

  absl::Status Append(absl::string_view bytes) override {
    SEER_RETURN_IF_ERROR(SEER_FAILPOINT_STATUS("objectstore.append"));
    while (!bytes.empty()) {
      const ssize_t written = ::write(fd_.get(), bytes.data(), bytes.size());
      if (written < 0 && errno == EINTR) continue;
      if (written < 0) return ErrnoStatus(errno, "cannot write", path_.string());
      bytes.remove_prefix(static_cast<size_t>(written));
    }
    return absl::OkStatus();
  }

  absl::Status Commit() override {
    SEER_RETURN_IF_ERROR(SEER_FAILPOINT_STATUS("objectstore.commit"));
    if (::fsync(fd_.get()) != 0) return ErrnoStatus(errno, "cannot sync", path_.string());
    if (mode_ == Mode::kIfAbsent) {
      if (LinkAs(path_) != 0) {
        if (errno == EEXIST)
          return absl::AlreadyExistsError(absl::StrCat(path_.string(), " is there already"));
        return ErrnoStatus(errno, "cannot create", path_.string());
      }
    } else if (!named_) {
      ::unlink(temporary_.c_str());  // of a process that had the same number
      if (LinkAs(temporary_) != 0) return ErrnoStatus(errno, "cannot write", temporary_.string());
    }
    if (fd_.Close() != 0) return ErrnoStatus(errno, "cannot close", path_.string());
    if (mode_ == Mode::kReplace && ::rename(temporary_.c_str(), path_.c_str()) != 0)
      return ErrnoStatus(errno, "cannot replace", path_.string());
    parents_.push_back(path_.parent_path());
    return SyncFolders(parents_);
  }

 private:
  static absl::StatusOr<std::unique_ptr<LocalWriter>> TryOpen(fs::path path, Mode mode) {
    std::vector<fs::path> parents;
    SEER_RETURN_IF_ERROR(MakeFolders(path.parent_path(), parents));
    static std::atomic<uint64_t> counter{0};
    fs::path temporary =
        path.parent_path() /
        absl::StrCat(kTemporaryPrefix, ::getpid(), "-", ++counter, "-", path.filename().string());
    // Without a name until it is whole: of a process that is killed nothing is left.
    int fd = ::access(kOpenFiles, X_OK) == 0
                 ? ::open(path.parent_path().c_str(), O_WRONLY | O_TMPFILE | O_CLOEXEC, 0644)
                 : -1;
    const bool named = fd < 0;  // not every file system can
    if (named) fd = ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0) return ErrnoStatus(errno, "cannot write", temporary.string());
    return std::unique_ptr<LocalWriter>(new LocalWriter(std::move(path), std::move(temporary), fd,
                                                        named, mode, std::move(parents)));
  }

  LocalWriter(fs::path path, fs::path temporary, int fd, bool named, Mode mode,
              std::vector<fs::path> parents)
      : path_(std::move(path)),
        temporary_(std::move(temporary)),
        fd_(fd),
        named_(named),
        mode_(mode),
        parents_(std::move(parents)) {}

  // Gives the file the name `to`; not 0: failed, see errno.
  int LinkAs(const fs::path& to) {
    if (named_) return ::link(temporary_.c_str(), to.c_str());
    const std::string file = absl::StrCat(kOpenFiles, "/", fd_.get());
    for (int again = 0;; ++again) {
      const int result = ::linkat(AT_FDCWD, file.c_str(), AT_FDCWD, to.c_str(), AT_SYMLINK_FOLLOW);
      if (result == 0 || errno != ENOENT || again == kRaces) return result;
      MakeFolders(to.parent_path(), parents_).IgnoreError();  // it went away meanwhile
    }
  }

  const fs::path path_;
  const fs::path temporary_;
  FileDescriptor fd_;
  const bool named_;  // temporary_ is there already
  const Mode mode_;
  std::vector<fs::path> parents_;  // of folders made for it; Commit syncs them
};

class MappedView final : public ObjectView {
 public:
  MappedView(void* start, size_t size) : start_(start), size_(size) {}
  ~MappedView() override { ::munmap(start_, size_); }
  absl::string_view bytes() const override { return {static_cast<const char*>(start_), size_}; }
  void Prefetch(int64_t offset, int64_t length) const override {
    const auto page = static_cast<int64_t>(::sysconf(_SC_PAGESIZE));
    const int64_t begin = offset - offset % page;
    const int64_t end = std::min(offset + length, static_cast<int64_t>(size_));
    // All pages of the range at once, as the kernel's own read-ahead brings them; MADV_WILLNEED
    // would bring them in small pieces at half the rate.
    if (begin < end)
      ::madvise(static_cast<char*>(start_) + begin, static_cast<size_t>(end - begin),
                kPopulateRead);
  }

 private:
  void* const start_;
  const size_t size_;
};

absl::StatusOr<FileDescriptor> OpenForReading(const fs::path& path, struct stat& info) {
  FileDescriptor fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (fd.get() < 0) return ErrnoStatus(errno, "cannot read", path.string());
  if (::fstat(fd.get(), &info) != 0) return ErrnoStatus(errno, "cannot read", path.string());
  if (S_ISDIR(info.st_mode)) return ErrnoStatus(ENOENT, "cannot read", path.string());
  return fd;
}

absl::StatusOr<std::string> ReadRange(const fs::path& path, int64_t offset, int64_t length) {
  struct stat info;
  SEER_ASSIGN_OR_RETURN(const FileDescriptor fd, OpenForReading(path, info));
  const int64_t available = std::max<int64_t>(0, info.st_size - offset);
  std::string bytes(static_cast<size_t>(std::min(length, available)), '\0');
  size_t done = 0;
  while (done < bytes.size()) {
    const ssize_t got = ::pread(fd.get(), bytes.data() + done, bytes.size() - done,
                                offset + static_cast<int64_t>(done));
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) return ErrnoStatus(errno, "cannot read", path.string());
    if (got == 0) break;  // truncated meanwhile
    done += static_cast<size_t>(got);
  }
  bytes.resize(done);
  return bytes;
}

class LocalStore final : public ObjectStore {
 public:
  explicit LocalStore(fs::path root) : root_(std::move(root)) {}

  absl::StatusOr<std::string> Get(absl::string_view key) override {
    return GetRange(key, 0, std::numeric_limits<int64_t>::max());
  }
  absl::StatusOr<std::string> GetRange(absl::string_view key, int64_t offset,
                                       int64_t length) override {
    SEER_RETURN_IF_ERROR(CheckObjectKey(key, kTemporaryPrefix));
    return ReadRange(PathOf(key), offset, length);
  }
  absl::StatusOr<std::unique_ptr<ObjectView>> View(absl::string_view key) override {
    SEER_RETURN_IF_ERROR(CheckObjectKey(key, kTemporaryPrefix));
    struct stat info;
    SEER_ASSIGN_OR_RETURN(const FileDescriptor fd, OpenForReading(PathOf(key), info));
    const auto size = static_cast<size_t>(info.st_size);
    void* const start =
        size == 0 ? MAP_FAILED : ::mmap(nullptr, size, PROT_READ, MAP_SHARED, fd.get(), 0);
    // Empty, or of a file system that cannot map.
    if (start == MAP_FAILED) return ObjectStore::View(key);
    ::posix_fadvise(fd.get(), 0, 0, POSIX_FADV_SEQUENTIAL);
    return std::make_unique<MappedView>(start, size);
  }
  absl::StatusOr<ObjectInfo> Stat(absl::string_view key) override {
    SEER_RETURN_IF_ERROR(CheckObjectKey(key, kTemporaryPrefix));
    struct stat info;
    if (::stat(PathOf(key).c_str(), &info) != 0)
      return ErrnoStatus(errno, "cannot find", PathOf(key).string());
    if (!S_ISREG(info.st_mode)) return ErrnoStatus(ENOENT, "cannot find", PathOf(key).string());
    return ObjectInfo{std::string(key), info.st_size};
  }
  absl::Status Put(absl::string_view key, absl::string_view bytes) override {
    return Write(key, bytes, LocalWriter::Mode::kReplace);
  }
  absl::Status PutIfAbsent(absl::string_view key, absl::string_view bytes) override {
    return Write(key, bytes, LocalWriter::Mode::kIfAbsent);
  }
  absl::StatusOr<std::unique_ptr<ObjectWriter>> OpenWriter(absl::string_view key) override {
    SEER_RETURN_IF_ERROR(CheckObjectKey(key, kTemporaryPrefix));
    SEER_ASSIGN_OR_RETURN(auto writer, LocalWriter::Open(PathOf(key), LocalWriter::Mode::kReplace));
    return std::unique_ptr<ObjectWriter>(std::move(writer));
  }
  absl::StatusOr<std::vector<ObjectInfo>> List(absl::string_view prefix) override {
    // Walks only the folder that the prefix names, not the whole store.
    const size_t slash = prefix.rfind('/');
    const fs::path start =
        slash == absl::string_view::npos ? root_ : PathOf(prefix.substr(0, slash));
    for (absl::string_view part : absl::StrSplit(prefix, '/')) {
      if (part != ".." && !absl::StartsWith(prefix, "/")) continue;
      return Error(absl::StatusCode::kInvalidArgument, reason::kInvalidArgument,
                   absl::StrCat("prefix '", prefix, "' leaves the store"));
    }
    std::vector<ObjectInfo> objects;
    std::error_code error = Walk(start, prefix, objects);
    for (int again = 0; again < kRaces && error == std::errc::no_such_file_or_directory; ++again)
      error = Walk(start, prefix, objects);  // a folder went away while it was read
    if (error) return ErrnoStatus(error.value(), "cannot list", start.string());
    std::sort(objects.begin(), objects.end(),
              [](const auto& a, const auto& b) { return a.key < b.key; });
    return objects;
  }
  absl::StatusOr<std::vector<std::string>> TopFolders() override {
    std::vector<std::string> folders;
    std::error_code error;
    for (fs::directory_iterator it(root_, error), end; !error && it != end; it.increment(error)) {
      std::error_code gone;
      if (it->is_directory(gone)) folders.push_back(it->path().filename().string());
    }
    if (error) return ErrnoStatus(error.value(), "cannot list", root_.string());
    std::sort(folders.begin(), folders.end());
    return folders;
  }
  absl::Status Delete(absl::string_view key) override {
    SEER_RETURN_IF_ERROR(CheckObjectKey(key, kTemporaryPrefix));
    const fs::path path = PathOf(key);
    if (::unlink(path.c_str()) != 0 && errno != ENOENT && errno != ENOTDIR)
      return ErrnoStatus(errno, "cannot delete", path.string());
    // Folders exist only for what is in them, as in an object store.
    for (fs::path folder = path.parent_path(); folder != root_ && ::rmdir(folder.c_str()) == 0;)
      folder = folder.parent_path();
    return absl::OkStatus();
  }

 private:
  fs::path PathOf(absl::string_view key) const { return root_ / std::string(key); }

  // Fills `objects` with what lies below `start` and begins with `prefix`, in no order.
  std::error_code Walk(const fs::path& start, absl::string_view prefix,
                       std::vector<ObjectInfo>& objects) const {
    objects.clear();
    std::error_code error;
    if (!fs::is_directory(start, error)) return {};
    for (fs::recursive_directory_iterator it(start, error), end; !error && it != end;
         it.increment(error)) {
      if (absl::StartsWith(it->path().filename().string(), kTemporaryPrefix)) continue;
      struct stat info;
      if (::stat(it->path().c_str(), &info) != 0) continue;  // it vanished meanwhile
      if (!S_ISREG(info.st_mode)) continue;
      std::string key = it->path().lexically_relative(root_).string();
      if (absl::StartsWith(key, prefix))
        objects.push_back({std::move(key), info.st_size, absl::TimeFromTimespec(info.st_mtim)});
    }
    return error;
  }

  absl::Status Write(absl::string_view key, absl::string_view bytes, LocalWriter::Mode mode) {
    SEER_RETURN_IF_ERROR(CheckObjectKey(key, kTemporaryPrefix));
    SEER_ASSIGN_OR_RETURN(auto writer, LocalWriter::Open(PathOf(key), mode));
    SEER_RETURN_IF_ERROR(writer->Append(bytes));
    return writer->Commit();
  }

  const fs::path root_;
};

}  // namespace

absl::StatusOr<std::unique_ptr<ObjectStore>> OpenLocalStore(const std::string& root, StoreUse use) {
  if (root.empty())
    return Error(absl::StatusCode::kInvalidArgument, reason::kInvalidArgument,
                 "the storage folder's name is empty");
  const fs::path path = fs::absolute(root).lexically_normal();
  const fs::path folder = path.has_filename() ? path : path.parent_path();
  const bool write = use == StoreUse::kReadAndWrite;
  if (write) {
    std::vector<fs::path> parents;
    SEER_RETURN_IF_ERROR(MakeFolders(folder, parents));
    SEER_RETURN_IF_ERROR(SyncFolders(parents));
  }
  if (::access(folder.c_str(), R_OK | X_OK | (write ? W_OK : 0)) != 0)
    return ErrnoStatus(errno, "cannot use the folder", folder.string());
  return std::make_unique<LocalStore>(folder);
}

}  // namespace seer
