// Slots of shared memory, both sides in this process, in a folder of the test's own.
#include "common/batches/slots.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <filesystem>
#include <functional>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/error.h"
#include "common/base/thread.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace seer {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using testing::StatusIs;
using ::testing::UnorderedElementsAre;

class SlotsTest : public ::testing::Test {
 protected:
  std::shared_ptr<SlotFile> Make(int slots = 3, int64_t bytes = 10'000) {
    auto file = SlotFile::Create(folder(), slots, bytes);
    EXPECT_OK(file);
    return *std::move(file);
  }
  std::string folder() const { return dir_.path().string(); }
  std::string PathOf(const v1::SharedMemory& request) const { return dir_ / request.name(); }
  std::vector<std::string> Left() const {
    std::vector<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(dir_.path()))
      names.push_back(entry.path().filename());
    return names;
  }
  // As if it had been made an hour ago.
  static void Age(const std::string& path) {
    timespec times[2] = {};
    clock_gettime(CLOCK_REALTIME, &times[0]);
    times[0].tv_sec -= 3600;
    times[1] = times[0];
    ASSERT_EQ(utimensat(AT_FDCWD, path.c_str(), times, 0), 0);
  }
  testing::TempDir dir_;
};

TEST_F(SlotsTest, WhatTheReplicaWritesTheReaderReads) {
  const auto file = Make();
  ASSERT_OK_AND_ASSIGN(const auto writer, SlotWriter::Open(folder(), file->request()));
  file->Unlink();
  EXPECT_THAT(Left(), IsEmpty());
  for (int batch = 0; batch < 20; ++batch) {
    const BatchMemory memory = writer->TryTake();
    ASSERT_NE(memory.pixels, nullptr) << batch;
    std::memset(memory.pixels.get(), batch, 10'000);
    ASSERT_OK_AND_ASSIGN(const auto read, file->Take(memory.slot));
    EXPECT_EQ(std::count(read.get(), read.get() + 10'000, batch), 10'000);
  }
}

TEST_F(SlotsTest, TheNumberOfSlotsBoundsWhatBothHold) {
  const auto file = Make(3);
  ASSERT_OK_AND_ASSIGN(const auto writer, SlotWriter::Open(folder(), file->request()));
  std::set<int> slots;
  std::vector<std::shared_ptr<const uint8_t>> held;
  for (int i = 0; i < 3; ++i) {
    slots.insert(writer->TryTake().slot);
    ASSERT_OK_AND_ASSIGN(held.emplace_back(), file->Take(*slots.rbegin()));
  }
  EXPECT_THAT(slots, UnorderedElementsAre(1, 2, 3));
  EXPECT_EQ(writer->TryTake().pixels, nullptr);
  const auto copy = held[1];
  held[1] = nullptr;
  EXPECT_EQ(writer->TryTake().pixels, nullptr) << "a copy is held still";
  held.erase(held.begin());
  EXPECT_EQ(writer->TryTake().slot, 1);
}

TEST_F(SlotsTest, AReplicaThatWaitsIsWokenByASlot) {
  const auto file = Make(1);
  ASSERT_OK_AND_ASSIGN(const auto writer, SlotWriter::Open(folder(), file->request()));
  ASSERT_OK_AND_ASSIGN(auto held, file->Take(writer->TryTake().slot));
  ASSERT_EQ(writer->TryTake().pixels, nullptr);
  Thread reader("reader", [&] { held = nullptr; });
  BatchMemory memory;
  while (memory.pixels == nullptr) {
    writer->WaitForFree(absl::InfiniteDuration());
    memory = writer->TryTake();
  }
  EXPECT_EQ(memory.slot, 1);
  reader.Join();
}

TEST_F(SlotsTest, ASlotThatWasNotFilledIsNotRead) {
  const auto file = Make(2);
  ASSERT_OK_AND_ASSIGN(const auto writer, SlotWriter::Open(folder(), file->request()));
  for (const int slot : {-1, 0, 1, 2, 3, 1 << 30})
    EXPECT_THAT(file->Take(slot), StatusIs(absl::StatusCode::kInternal)) << slot;
  const int slot = writer->TryTake().slot;
  ASSERT_OK_AND_ASSIGN(const auto held, file->Take(slot));
  EXPECT_THAT(file->Take(slot), StatusIs(absl::StatusCode::kInternal)) << "it is being read";
}

TEST_F(SlotsTest, MemoryLivesAsLongAsItIsHeld) {
  auto file = Make(1, 1 << 20);
  ASSERT_OK_AND_ASSIGN(auto writer, SlotWriter::Open(folder(), file->request()));
  BatchMemory memory = writer->TryTake();
  ASSERT_OK_AND_ASSIGN(auto held, file->Take(memory.slot));
  file = nullptr;
  writer = nullptr;
  std::memset(memory.pixels.get(), 5, 1 << 20);
  EXPECT_EQ(held.get()[(1 << 20) - 1], 5);
}

TEST_F(SlotsTest, ARequestThatMakesNoSenseNamesItsField) {
  const v1::SharedMemory good = Make(3)->request();
  EXPECT_OK(CheckSharedMemory(good, 10'000));
  const auto field = [&](const std::function<void(v1::SharedMemory&)>& change) {
    v1::SharedMemory request = good;
    change(request);
    return GetErrorDetail(CheckSharedMemory(request, 10'000)).value_or(ErrorDetail()).field;
  };
  for (const std::string& name : {std::string(), std::string("seer-batches-"), "../" + good.name(),
                                  good.name() + "0", "seer-batches-" + std::string(32, 'G'),
                                  std::string("seer-batches-../../../../../../../../../etc/p")}) {
    EXPECT_EQ(field([&](auto& r) { r.set_name(name); }), "shared_memory.name") << name;
  }
  for (const int slots : {-1, 0, 65})
    EXPECT_EQ(field([&](auto& r) { r.set_slots(slots); }), "shared_memory.slots");
  for (const int64_t bytes : {int64_t{-1}, int64_t{9'999}, int64_t{1} << 62})
    EXPECT_EQ(field([&](auto& r) { r.set_slot_bytes(bytes); }), "shared_memory.slot_bytes");
}

TEST_F(SlotsTest, AFileThatIsNotAsItIsSaidIsNotMapped) {
  const auto file = Make(3);
  const std::string path = PathOf(file->request());
  const auto refused = StatusIs(absl::StatusCode::kFailedPrecondition);
  v1::SharedMemory request = file->request();
  request.set_slots(4);
  EXPECT_THAT(SlotWriter::Open(folder(), request), refused) << "another size";

  const std::string digits(32, 'a');
  request = file->request();
  request.set_name("seer-batches-" + digits);
  EXPECT_THAT(SlotWriter::Open(folder(), request), StatusIs(absl::StatusCode::kNotFound));
  ASSERT_EQ(symlink(path.c_str(), PathOf(request).c_str()), 0);
  EXPECT_THAT(SlotWriter::Open(folder(), request), refused) << "a link";
  unlink(PathOf(request).c_str());
  ASSERT_EQ(mkfifo(PathOf(request).c_str(), 0600), 0);
  EXPECT_THAT(SlotWriter::Open(folder(), request), refused) << "a pipe";
  unlink(PathOf(request).c_str());
  const int fd = open(PathOf(request).c_str(), O_RDWR | O_CREAT, 0600);
  ASSERT_EQ(ftruncate(fd, static_cast<off_t>(SlotMapping::BytesOf(request))), 0);
  close(fd);
  EXPECT_THAT(SlotWriter::Open(folder(), request), refused) << "a file of holes";

  ASSERT_EQ(chmod(path.c_str(), 0644), 0);
  EXPECT_THAT(SlotWriter::Open(folder(), file->request()), refused) << "others may use it";
  ASSERT_EQ(chmod(path.c_str(), 0600), 0);
  EXPECT_OK(SlotWriter::Open(folder(), file->request()));
  if (geteuid() == 0) {
    ASSERT_EQ(chown(path.c_str(), 12345, 12345), 0);
    EXPECT_THAT(SlotWriter::Open(folder(), file->request()), refused) << "another user's";
  }
}

TEST_F(SlotsTest, AFolderWithoutRoomIsSaidSo) {
  const auto full = SlotFile::Create(folder(), 64, int64_t{1} << 40);
  EXPECT_THAT(full, StatusIs(absl::StatusCode::kResourceExhausted));
  EXPECT_THAT(full.status().message(), HasSubstr("MiB are needed"));
  EXPECT_THAT(SlotFile::Create(dir_ / "none", 1, 1), StatusIs(absl::StatusCode::kNotFound));
  EXPECT_THAT(Left(), IsEmpty());
}

TEST_F(SlotsTest, WhatKilledReadersLeftIsRemoved) {
  const auto lives = Make(1);
  const pid_t child = fork();
  if (child == 0) {
    const auto file = SlotFile::Create(folder(), 1, 1);
    raise(SIGKILL);
  }
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  std::vector<std::string> left = Left();
  ASSERT_EQ(left.size(), 2u);
  Make(1);
  EXPECT_THAT(Left(), ::testing::UnorderedElementsAreArray(left)) << "they are young";
  const std::string other = "seer-batches-notes", young = "seer-batches-" + std::string(32, '0');
  for (const std::string& name : {other, young})
    close(open((dir_ / name).c_str(), O_RDWR | O_CREAT, 0600));
  for (const std::string& name : left) Age(dir_ / name);
  Age(dir_ / other);
  Make(1);
  EXPECT_THAT(Left(), UnorderedElementsAre(lives->request().name(), other, young));
}

TEST_F(SlotsTest, AFileThatIsCutShortDoesNotKillWhoWrites) {
  const auto cut = Make(2, 1 << 20), whole = Make(1);
  ASSERT_OK_AND_ASSIGN(const auto writer, SlotWriter::Open(folder(), cut->request()));
  ASSERT_OK_AND_ASSIGN(const auto other, SlotWriter::Open(folder(), whole->request()));
  const BatchMemory memory = writer->TryTake();
  EXPECT_FALSE(writer->cut_short());
  ASSERT_EQ(truncate(PathOf(cut->request()).c_str(), 4096), 0);
  std::memset(memory.pixels.get(), 1, 1 << 20);
  EXPECT_TRUE(writer->cut_short());
  EXPECT_FALSE(other->cut_short());
}

TEST(BusGuard, AnyOtherBusErrorEndsTheProcessAsBefore) {
  // By the signal, or by the report that a sanitizer makes of it.
  EXPECT_DEATH(
      {
        static char page[2 * 4096];
        const BusGuard guard(page, 0);
        char name[] = "/tmp/seer-bus-XXXXXX";
        const int fd = mkstemp(name);
        unlink(name);
        void* const memory = mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        *static_cast<volatile char*>(memory) = 1;
      },
      "");
}

}  // namespace
}  // namespace seer
