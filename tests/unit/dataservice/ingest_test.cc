// What an ingest makes of its sources.
#include "dataservice/ingest/ingest.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <filesystem>
#include <map>
#include <optional>
#include <set>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/synchronization/notification.h"
#include "common/base/digest.h"
#include "common/base/error.h"
#include "common/base/part.h"
#include "common/base/thread.h"
#include "common/objectstore/faulty_store.h"
#include "common/objectstore/memory_store.h"
#include "dataservice/decode/decoder.h"
#include "dataservice/ingest/garbage.h"
#include "dataservice/ingest/staging.h"
#include "dataservice/ingest/takedown.h"
#include "dataservice/pool/quarantine.h"
#include "dataservice/pool/tar_shard.h"
#include "tests/support/image_encoders.h"
#include "tests/support/image_files.h"
#include "tests/support/parquet_files.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace seer::dataservice {
namespace {

using testing::FailsWith;
using testing::WriteFile;

absl::Status Quiet(const IngestCounts&) { return absl::OkStatus(); }

class IngestTest : public ::testing::Test {
 protected:
  void SetUp() override { ASSERT_OK(store_.Create("p", {})); }

  testing::TempDir dir_;
  std::unique_ptr<ObjectStore> objects_ = MakeMemoryStore();
  PoolStore store_{*objects_, Clock::Real()};
};

TEST_F(IngestTest, TakesEveryFormatOfTheDecoder) {
  const testing::Bytes pixels(8 * 8 * 3, 0x55), indices(8 * 8, 1);
  WriteFile(dir_ / "all/a.jpg", testing::MakeJpeg(8, 8, 1));
  WriteFile(dir_ / "all/b.png", testing::MakePng(8, 8, 1));
  WriteFile(dir_ / "all/c.webp", testing::EncodeWebp(8, 8, pixels, /*lossless=*/true));
  WriteFile(dir_ / "all/d.gif", testing::EncodeGif(8, 8, indices, {{0, 0, 0}, {1, 2, 3}}));
  WriteFile(dir_ / "all/e.bmp", testing::EncodeBmp(8, 8, std::vector<uint32_t>(64, 0x55AA55)));
  WriteFile(dir_ / "all/f.tif", testing::EncodeTiff(8, 8, pixels));
  IngestOptions options;
  options.sources = {dir_ / "all"};
  ASSERT_OK_AND_ASSIGN(const IngestCounts counts,
                       IngestIntoPool(store_, Clock::Real(), "p", options, Quiet));
  EXPECT_EQ(counts.added, 6);
  ASSERT_OK_AND_ASSIGN(const Manifest manifest, store_.ReadManifest("p", 1));
  for (const absl::string_view format : FormatNames())
    EXPECT_EQ(manifest.formats.at(std::string(format)), 1) << format;
  // A pool that asks for two of them refuses the others.
  PoolPolicy policy;
  policy.formats = {"gif", "tiff"};
  ASSERT_OK(store_.Create("two", policy));
  ASSERT_OK_AND_ASSIGN(const IngestCounts two,
                       IngestIntoPool(store_, Clock::Real(), "two", options, Quiet));
  EXPECT_EQ(two.added, 2);
  EXPECT_EQ(two.refused_by_rule, (std::map<std::string, int64_t>{{"format", 4}}));
}

// Ingests that are cut short, or shared by several processes. Every store has the same clock, so
// that pools which are equal are equal to the last byte.
class SharedIngest : public ::testing::Test {
 protected:
  struct Pool {
    explicit Pool(Clock& clock) : store(*objects, clock) { EXPECT_OK(store.Create("p", Policy())); }
    // All of it.
    std::map<std::string, std::string> Content() const {
      std::map<std::string, std::string> content;
      const auto listed = objects->List("p/");
      EXPECT_OK(listed);
      for (const ObjectInfo& object : *listed) content[object.key] = *objects->Get(object.key);
      content.erase("p/CURRENT");  // who died after the commit may have left it out
      return content;
    }
    std::unique_ptr<ObjectStore> objects = MakeMemoryStore();
    PoolStore store;
  };
  static PoolPolicy Policy() {
    PoolPolicy policy;
    policy.min_side_pixels = 9;
    return policy;
  }

  void SetUp() override {
    // A folder with images that are refused and damaged, two tars and a table.
    for (int i = 0; i < 40; ++i) WriteFile(File(i), testing::MakePng(8 + i % 5, 14, Seed(i)));
    WriteFile(File(7), "no image");
    WriteFile(dir_ / "a.tar", Tar(100, 9));
    WriteFile(dir_ / "b.tar", Tar(200, 3));
    std::vector<std::string> rows;
    for (int i = 0; i < 12; ++i) rows.push_back(testing::MakePng(11, 11, Seed(300 + i)));
    testing::WriteParquet(dir_ / "c.parquet", {{"image", testing::BytesColumn(rows)}}, 4);
    options_.sources = {dir_ / "folder", dir_ / "a.tar", dir_ / "b.tar", dir_ / "c.parquet"};
    options_.shard_bytes = 6000;
    options_.threads = 3;
  }
  std::string File(int i) const { return dir_ / absl::StrCat("folder/", 100 + i, ".png"); }
  static uint32_t Seed(int i) { return static_cast<uint32_t>(i); }
  static std::string Tar(int first, int count) {
    TarShardBuilder tar;
    for (int i = first; i < first + count; ++i)
      EXPECT_OK(tar.Add(absl::StrCat(i, ".png"), testing::MakePng(10, 10, Seed(i))));
    return *tar.Finish();
  }

  absl::StatusOr<IngestCounts> Ingest(PoolStore& store, int part = 1, int parts = 1) {
    IngestOptions options = options_;
    options.part = {part, parts};
    return IngestIntoPool(store, clock_, "p", options, Quiet);
  }
  // The pool that an ingest makes which nothing comes in between of.
  const Pool& Whole() {
    if (!whole_) {
      whole_.emplace(clock_);
      const auto counts = Ingest(whole_->store);
      EXPECT_OK(counts);
      EXPECT_EQ(counts->seen, 64);
      whole_bytes_ = counts->bytes_read;
      EXPECT_EQ(counts->added, 55);
      EXPECT_EQ(counts->quarantined, 1);
      EXPECT_EQ(counts->refused, 8);
      EXPECT_GT(whole_->store.ReadManifest("p", 1)->shards.size(), 8u);
    }
    return *whole_;
  }

  testing::TempDir dir_;
  FakeClock clock_;
  IngestOptions options_;
  std::optional<Pool> whole_;
  int64_t whole_bytes_ = 0;  // that it read
};

TEST_F(SharedIngest, IsTheSameForAnyNumberOfParts) {
  for (const int parts : {2, 3, 7, 100}) {
    Pool pool(clock_);
    int64_t added = 0;
    for (int part = parts; part >= 1; --part) {
      ASSERT_OK_AND_ASSIGN(const auto counts, Ingest(pool.store, part, parts));
      added += counts.added;
      EXPECT_EQ(counts.parts_missing > 0, *pool.store.Current("p") == 0) << part;
      if (parts == 3) EXPECT_EQ(counts.parts_missing, part - 1);
      if (part > 1 && part == parts / 2) {  // once more: nothing is read
        ASSERT_OK_AND_ASSIGN(const auto again, Ingest(pool.store, part, parts));
        EXPECT_EQ(again.bytes_read, 0);
        EXPECT_EQ(again.staged, again.seen);
      }
    }
    EXPECT_EQ(added, 55);
    EXPECT_EQ(pool.Content(), Whole().Content()) << parts << " parts";
    // A part that comes again after the commit has nothing to do.
    ASSERT_OK_AND_ASSIGN(const auto late, Ingest(pool.store, 2, parts));
    EXPECT_EQ(late.parts_missing, 0);
    EXPECT_EQ(late.seen, 0);
    EXPECT_EQ(pool.Content(), Whole().Content());
  }
}

TEST_F(SharedIngest, KilledAnywhereItGoesOnAndReadsNoUnitAgain) {
  const auto expected = Whole().Content();
  options_.threads = 1;
  bool finished = false;
  int64_t saved = 0;
  for (int kill_at = 1; !finished; kill_at += 7) {
    Pool pool(clock_);
    std::atomic<int> operations = 0;
    Faults faults;
    faults.fail = [&](absl::string_view, absl::string_view) {
      return ++operations >= kill_at ? absl::UnavailableError("killed") : absl::OkStatus();
    };
    const auto dying = MakeFaultyStore(*pool.objects, faults);
    PoolStore dying_store(*dying, clock_);
    const auto first = Ingest(dying_store);
    finished = first.ok();
    if (finished) continue;
    ASSERT_OK_AND_ASSIGN(const auto second, Ingest(pool.store));
    EXPECT_EQ(pool.Content(), expected) << "killed at " << kill_at;
    if (second.staged > 0) EXPECT_LT(second.bytes_read, whole_bytes_);
    saved = std::max(saved, second.staged);
  }
  EXPECT_EQ(saved, 64) << "killed before the commit, nothing is read again";
}

TEST_F(SharedIngest, OfProcessesThatFinishAtOnceOneCommitsAndAllAreDone) {
  Pool pool(clock_);
  ASSERT_OK(Ingest(pool.store, 1, 2));
  // The second part stops at its commit until another process has made the part, too.
  absl::Notification at_commit, go_on;
  Faults faults;
  faults.fail = [&](absl::string_view operation, absl::string_view key) {
    if (operation == "put" && absl::EndsWith(key, "1/manifest.json")) {
      at_commit.Notify();
      go_on.WaitForNotification();
    }
    return absl::OkStatus();
  };
  const auto slow = MakeFaultyStore(*pool.objects, faults);
  PoolStore slow_store(*slow, clock_);
  absl::StatusOr<IngestCounts> loser = absl::UnknownError("not run");
  Thread other("other", [&] { loser = Ingest(slow_store, 2, 2); });
  at_commit.WaitForNotification();
  EXPECT_OK(Ingest(pool.store, 2, 2));
  go_on.Notify();
  other.Join();
  EXPECT_OK(loser);
  EXPECT_EQ(loser->parts_missing, 0);
  EXPECT_EQ(pool.Content(), Whole().Content());
}

TEST_F(SharedIngest, OnANewGenerationItGoesOnFromWhatIsStaged) {
  Pool pool(clock_);
  ASSERT_OK(Ingest(pool.store, 1, 2));
  ASSERT_OK_AND_ASSIGN(const IngestCounts mine, Ingest(pool.store, 1, 2));
  EXPECT_EQ(mine.bytes_read, 0);
  // Somebody else brings in a part of the same sources, and something else.
  IngestOptions other = options_;
  WriteFile(dir_ / "other.png", testing::MakePng(20, 20, 999));
  other.sources = {dir_ / "other.png", dir_ / "b.tar"};
  ASSERT_OK(IngestIntoPool(pool.store, clock_, "p", other, Quiet));
  ASSERT_OK_AND_ASSIGN(const IngestCounts last, Ingest(pool.store, 2, 2));
  EXPECT_EQ(last.parts_missing, 0);
  EXPECT_EQ(last.present, 3);
  ASSERT_OK_AND_ASSIGN(const Manifest manifest, pool.store.ReadManifest("p", 2));
  EXPECT_EQ(manifest.images, 56);
  // What was staged on top of a generation whose images it left out is made again on top of
  // another.
  WriteFile(dir_ / "more.png", testing::MakePng(20, 20, 998));
  options_.sources.push_back(dir_ / "more.png");
  ASSERT_OK_AND_ASSIGN(const IngestCounts left_out, Ingest(pool.store, 1, 2));
  EXPECT_GT(left_out.present, 0);
  EXPECT_EQ(left_out.parts_missing, 1);
  other.sources = {File(0), dir_ / "x.png"};
  WriteFile(dir_ / "x.png", testing::MakePng(20, 20, 997));
  ASSERT_OK(IngestIntoPool(pool.store, clock_, "p", other, Quiet));
  ASSERT_OK_AND_ASSIGN(const IngestCounts second, Ingest(pool.store, 2, 2));
  EXPECT_EQ(second.parts_missing, 1);
  ASSERT_OK_AND_ASSIGN(const IngestCounts again, Ingest(pool.store, 1, 2));
  EXPECT_GT(again.bytes_read, 0);
  EXPECT_EQ(again.parts_missing, 0);
  EXPECT_EQ(pool.store.ReadManifest("p", 4)->images, 58);
  EXPECT_THAT(*pool.objects->List("p/staging/"), ::testing::IsEmpty());
}

TEST_F(SharedIngest, AWriterInBetweenIsAConflictAndTheNextRunReadsNothing) {
  Pool pool(clock_);
  IngestOptions other = options_;
  WriteFile(dir_ / "other.png", testing::MakePng(20, 20, 999));
  other.sources = {dir_ / "other.png"};
  Faults faults;
  bool once = false;
  faults.fail = [&](absl::string_view operation, absl::string_view key) {
    if (operation == "put" && absl::EndsWith(key, "1/manifest.json") && !std::exchange(once, true))
      EXPECT_OK(IngestIntoPool(pool.store, clock_, "p", other, Quiet));
    return absl::OkStatus();
  };
  const auto slow = MakeFaultyStore(*pool.objects, faults);
  PoolStore slow_store(*slow, clock_);
  const auto lost = Ingest(slow_store);
  EXPECT_THAT(lost,
              FailsWith(absl::StatusCode::kAborted, reason::kPoolWriteConflict, "generation 1"));
  EXPECT_THAT(GetErrorDetail(lost.status())->hint, ::testing::HasSubstr("staged"));
  ASSERT_OK_AND_ASSIGN(const IngestCounts again, Ingest(pool.store));
  EXPECT_EQ(again.bytes_read, 0);
  EXPECT_EQ(again.added, 55);
  EXPECT_EQ(pool.store.ReadManifest("p", 2)->images, 56);
}

TEST_F(SharedIngest, AFileThatChangesMeanwhileIsReadAgain) {
  Pool pool(clock_);
  ASSERT_OK(Ingest(pool.store, 1, 2));
  WriteFile(File(12), testing::MakePng(30, 30, 12345));
  ASSERT_OK_AND_ASSIGN(const auto second, Ingest(pool.store, 2, 2));
  EXPECT_EQ(second.parts_missing, 1) << "what the first part made is of other sources";
  ASSERT_OK_AND_ASSIGN(const auto first, Ingest(pool.store, 1, 2));
  EXPECT_EQ(first.parts_missing, 0);
  EXPECT_GT(first.staged, 0);
  EXPECT_GT(first.bytes_read, 0);
  EXPECT_EQ(pool.store.ReadManifest("p", 1)->longest_side, 30);
}

TEST_F(SharedIngest, WhatWasTakenDownOrHasLostItsShardIsMadeAgain) {
  Pool pool(clock_);
  IngestOptions first = options_;
  first.sources = {File(2)};
  ASSERT_OK(IngestIntoPool(pool.store, clock_, "p", first, Quiet));
  options_.sources.push_back(dir_ / "copy.png");
  std::filesystem::copy_file(File(2), dir_ / "copy.png");
  ASSERT_OK(Ingest(pool.store, 2, 2));
  ASSERT_OK(TakeDown(pool.store, clock_, "p", {Sha256(testing::ReadFile(File(2)))}, "asked",
                     [](const TakedownCounts&) { return absl::OkStatus(); }));
  ASSERT_OK_AND_ASSIGN(const auto one, Ingest(pool.store, 1, 2));
  EXPECT_EQ(one.parts_missing, 1);
  ASSERT_OK_AND_ASSIGN(const auto two, Ingest(pool.store, 2, 2));
  EXPECT_EQ(two.parts_missing, 0);
  EXPECT_EQ(two.refused_by_rule.at("taken_down"), 1);
  ASSERT_OK_AND_ASSIGN(const Manifest manifest, pool.store.ReadManifest("p", 3));
  EXPECT_EQ(manifest.images, 54);
  const std::string bytes = testing::ReadFile(File(2));
  for (const ShardInfo& shard : manifest.shards)
    EXPECT_THAT(*pool.objects->Get(ShardKey("p", shard.name)),
                ::testing::Not(::testing::HasSubstr(bytes.substr(40))));
  // A shard that is not there any more.
  Pool other(clock_);
  ASSERT_OK(Ingest(other.store, 1, 2));
  ASSERT_OK_AND_ASSIGN(const auto shards, other.objects->List("p/shards/"));
  ASSERT_OK(other.objects->Delete(shards.front().key));
  ASSERT_OK_AND_ASSIGN(const auto rest, Ingest(other.store, 2, 2));
  EXPECT_EQ(rest.parts_missing, 1);
  ASSERT_OK_AND_ASSIGN(const auto repaired, Ingest(other.store, 1, 2));
  EXPECT_EQ(repaired.parts_missing, 0);
  EXPECT_GT(repaired.staged, 0);
}

TEST_F(SharedIngest, DamagedStagingIsMadeAgain) {
  Pool pool(clock_);
  ASSERT_OK(Ingest(pool.store, 1, 2));
  ASSERT_OK_AND_ASSIGN(const auto staged, pool.objects->List("p/staging/"));
  int damaged = 0;
  for (const ObjectInfo& object : staged) {
    if (absl::EndsWith(object.key, ".json") && ++damaged == 1)
      ASSERT_OK(pool.objects->Put(object.key, "{}"));
    if (absl::EndsWith(object.key, ".parquet") && damaged >= 2 && ++damaged == 4)
      ASSERT_OK(pool.objects->Put(object.key, "half"));
  }
  ASSERT_OK_AND_ASSIGN(const auto second, Ingest(pool.store, 2, 2));
  EXPECT_EQ(second.parts_missing, 1);
  ASSERT_OK(Ingest(pool.store, 1, 2));
  EXPECT_EQ(pool.Content(), Whole().Content());
}

TEST_F(SharedIngest, PartsThatAreNoneAreSaid) {
  Pool pool(clock_);
  for (const auto& [part, parts] : {std::pair(0, 4), std::pair(5, 4), std::pair(-1, 4),
                                    std::pair(1, 0), std::pair(1, 1 << 20)}) {
    EXPECT_THAT(Ingest(pool.store, part, parts),
                FailsWith(absl::StatusCode::kInvalidArgument, reason::kOutOfRange,
                          absl::StrCat("no part ", part, " of ", parts)));
  }
  for (const std::string text : {"", "3", "a/b", "3/", "/4", "3/4/5", "1.5/3"}) {
    EXPECT_THAT(ParsePart(text), FailsWith(absl::StatusCode::kInvalidArgument,
                                           reason::kInvalidArgument, "is not a part"));
  }
  EXPECT_THAT(ParsePart("0/4"),
              FailsWith(absl::StatusCode::kInvalidArgument, reason::kOutOfRange, "no part 0 of 4"));
  ASSERT_OK_AND_ASSIGN(const Part part, ParsePart("3/16"));
  EXPECT_EQ(part.number, 3);
  EXPECT_EQ(part.of, 16);
}

TEST_F(SharedIngest, GarbageIsNotWhatAnIngestGoesOnFrom) {
  Pool pool(clock_);
  clock_.Advance(absl::Now() - clock_.Now());  // that of the store's times
  ASSERT_OK(Ingest(pool.store, 1, 2));
  const auto before = pool.Content();
  const auto collect = [&] {
    std::vector<std::string> names;
    EXPECT_OK(CollectGarbage(pool.store, clock_, "p", {}, [&](const Garbage& garbage) {
      names.push_back(garbage.name.substr(0, garbage.name.find('/')));
      return absl::OkStatus();
    }));
    return std::set<std::string>(names.begin(), names.end());
  };
  ASSERT_OK(pool.objects->Put("p/generations/1/images-00000-dead.parquet", "half"));
  EXPECT_THAT(collect(), ::testing::IsEmpty());
  clock_.Advance(absl::Hours(24));
  EXPECT_THAT(collect(), ::testing::ElementsAre("generations")) << "a dead writer's";
  EXPECT_EQ(pool.Content(), before);
  clock_.Advance(Staging::kLife);
  EXPECT_THAT(collect(), ::testing::ElementsAre("shards", "staging"));
  EXPECT_EQ(pool.Content().size(), 1u) << "pool.json";
}

TEST_F(SharedIngest, WhatIsTooOldToGoOnFromIsMadeAnew) {
  Pool pool(clock_);
  clock_.Advance(absl::Now() - clock_.Now());
  ASSERT_OK(Ingest(pool.store, 1, 2));
  clock_.Advance(Staging::kLife * 0.6);
  ASSERT_OK_AND_ASSIGN(const auto second, Ingest(pool.store, 2, 2));
  EXPECT_EQ(second.parts_missing, 1);
}

TEST_F(IngestTest, APoolOfOneImage) {
  WriteFile(dir_ / "one.png", testing::MakePng(8, 8, 1));
  IngestOptions options;
  options.sources = {dir_ / "one.png"};
  options.threads = 4;
  ASSERT_OK(IngestIntoPool(store_, Clock::Real(), "p", options, Quiet));
  LocationCache cache;
  ASSERT_OK_AND_ASSIGN(const auto generation, store_.OpenGeneration("p", 1, cache));
  EXPECT_EQ(generation->images(), 1);
  ASSERT_OK(generation->Locations(0, 1));
}

TEST_F(IngestTest, NamesThatAreNotUtf8BecomeUtf8InTheCatalogue) {
  const std::string name = "caf\xE9.png";  // Latin-1
  WriteFile(dir_ / ("folder/" + name), testing::MakePng(8, 8, 1));
  WriteFile(dir_ / "folder/bad-\xFF.png", "no image");
  TarShardBuilder tar;
  ASSERT_OK(tar.Add(name, testing::MakePng(8, 8, 2)));
  WriteFile(dir_ / "t.tar", *tar.Finish());
  IngestOptions options;
  options.sources = {dir_ / "folder", dir_ / "t.tar"};
  ASSERT_OK_AND_ASSIGN(const auto counts,
                       IngestIntoPool(store_, Clock::Real(), "p", options, Quiet));
  EXPECT_EQ(counts.added, 2);
  EXPECT_EQ(counts.quarantined, 1);
  ASSERT_OK_AND_ASSIGN(const Manifest manifest, store_.ReadManifest("p", 1));
  std::vector<std::string> sources;
  ASSERT_OK(ForEachRow(*objects_, CatalogueKey("p", manifest.files[0]), [&](CatalogueRow row) {
    sources.push_back(row.source);
    return absl::OkStatus();
  }));
  EXPECT_EQ(sources, (std::vector<std::string>{dir_ / "folder/caf\uFFFD.png",
                                               dir_ / "t.tar#caf\uFFFD.png"}));
  ASSERT_OK_AND_ASSIGN(const auto quarantined, ReadQuarantine(*objects_, "p"));
  ASSERT_EQ(quarantined.size(), 1u);
  EXPECT_EQ(quarantined[0].source, dir_ / "folder/bad-\uFFFD.png");
  // They are the same images the next time.
  ASSERT_OK_AND_ASSIGN(const auto again,
                       IngestIntoPool(store_, Clock::Real(), "p", options, Quiet));
  EXPECT_EQ(again.present, 2);
  EXPECT_EQ(*store_.Current("p"), 1);
}

}  // namespace
}  // namespace seer::dataservice
