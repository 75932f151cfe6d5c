// Pools that change: refresh by age, takedowns cut short anywhere, garbage, writers at once.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>
#include <map>
#include <set>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/strip.h"
#include "absl/synchronization/notification.h"
#include "common/base/digest.h"
#include "common/base/error.h"
#include "common/base/thread.h"
#include "common/objectstore/faulty_store.h"
#include "common/objectstore/local_store.h"
#include "common/objectstore/memory_store.h"
#include "dataservice/ingest/garbage.h"
#include "dataservice/ingest/ingest.h"
#include "dataservice/ingest/takedown.h"
#include "dataservice/pool/quarantine.h"
#include "dataservice/pool/tar_shard.h"
#include "tests/support/image_files.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace seer::dataservice {
namespace {

namespace fs = std::filesystem;
using testing::FailsWith;
using testing::MakePng;
using testing::WriteFile;

constexpr absl::Duration kDay = absl::Hours(24);

absl::Status Quiet(const IngestCounts&) { return absl::OkStatus(); }
absl::Status Unseen(const TakedownCounts&) { return absl::OkStatus(); }

class PoolChanges : public ::testing::Test {
 protected:
  void SetUp() override { ASSERT_OK(store_.Create("p", {})); }

  // A tar of images [first, first + count), captured so many days ago; -1: nobody knows when.
  std::string Images(const std::string& name, int first, int count, int days_ago) {
    TarShardBuilder tar;
    for (int i = first; i < first + count; ++i) {
      const std::string key = absl::StrCat("image-", 1000 + i);
      EXPECT_OK(tar.Add(key + ".png", MakePng(12 + i % 5, 12, static_cast<uint32_t>(i))));
      if (days_ago < 0) continue;
      EXPECT_OK(tar.Add(key + ".json", absl::StrCat("{\"captured_at\":\"",
                                                    absl::FormatTime(absl::RFC3339_sec,
                                                                     clock_.Now() - days_ago * kDay,
                                                                     absl::UTCTimeZone()),
                                                    "\"}")));
    }
    const auto bytes = tar.Finish();
    EXPECT_OK(bytes);
    WriteFile(dir_ / name, *bytes);
    return dir_ / name;
  }
  static ImageId IdOf(int image) {
    return Sha256(MakePng(12 + image % 5, 12, static_cast<uint32_t>(image)));
  }

  absl::StatusOr<IngestCounts> Ingest(const std::string& source, PoolStore* store = nullptr) {
    IngestOptions options;
    options.sources = {source};
    options.shard_bytes = 4000;  // a few images
    return IngestIntoPool(store != nullptr ? *store : store_, clock_, "p", options, Quiet);
  }
  absl::StatusOr<IngestCounts> Refresh(absl::Duration max_age,
                                       const std::vector<std::string>& sources = {},
                                       bool dry_run = false) {
    RefreshOptions options;
    options.max_age = max_age;
    options.ingest.sources = sources;
    options.ingest.shard_bytes = 4000;
    options.dry_run = dry_run;
    return RefreshPool(store_, clock_, "p", options, Quiet);
  }

  std::multiset<ImageId> IdsIn(int64_t generation) {
    std::multiset<ImageId> ids;
    const auto manifest = store_.ReadManifest("p", generation);
    EXPECT_OK(manifest);
    LocationCache cache;
    const auto opened = Generation::Open(*objects_, cache, "p", *manifest);
    EXPECT_OK(opened);
    const auto rows = (*opened)->Locations(0, (*opened)->images());
    EXPECT_OK(rows);
    std::map<std::string, int64_t> in_shard;
    for (const ImageLocation& row : *rows) {
      ids.insert(row.id);
      ++in_shard[(*opened)->ShardOf(row).name];
    }
    for (const ShardInfo& shard : manifest->shards) EXPECT_EQ(shard.images, in_shard[shard.name]);
    return ids;
  }

  std::vector<std::string> Keys(const std::string& prefix) {
    const auto objects = objects_->List(prefix);
    EXPECT_OK(objects);
    std::vector<std::string> keys;
    for (const ObjectInfo& object : *objects) keys.push_back(object.key);
    return keys;
  }
  // No object of the pool has the image's bytes.
  void ExpectGone(ObjectStore& objects, int image) {
    const std::string bytes = MakePng(12 + image % 5, 12, static_cast<uint32_t>(image));
    const auto listed = objects.List("p/");
    ASSERT_OK(listed);
    for (const ObjectInfo& object : *listed) {
      const auto content = objects.Get(object.key);
      ASSERT_OK(content);
      EXPECT_FALSE(absl::StrContains(*content, bytes.substr(40))) << object.key;
    }
  }
  // What a stream of the generation would find: the image, or zeros where one was taken down.
  void ExpectReadable(ObjectStore& objects, int64_t generation, const std::set<ImageId>& taken) {
    PoolStore store(objects, clock_);
    const auto records = ReadTakedowns(objects, "p");
    ASSERT_OK(records);
    const TakedownSet takedowns(*records);
    LocationCache cache;
    const auto opened = store.OpenGeneration("p", generation, cache);
    ASSERT_OK(opened);
    const auto rows = (*opened)->Locations(0, (*opened)->images());
    ASSERT_OK(rows);
    for (const ImageLocation& row : *rows) {
      const auto bytes = objects.GetRange(
          ShardKey("p", takedowns.ShardNow((*opened)->ShardOf(row).name)), row.offset, row.size);
      ASSERT_OK(bytes);
      if (taken.contains(row.id)) {
        EXPECT_EQ(*bytes, std::string(static_cast<size_t>(row.size), '\0'));
      } else {
        EXPECT_EQ(Sha256(*bytes), row.id);
      }
    }
  }

  testing::TempDir dir_;
  FakeClock clock_;
  std::unique_ptr<ObjectStore> objects_ = MakeMemoryStore();
  PoolStore store_{*objects_, clock_};
};

TEST_F(PoolChanges, ARefreshLeavesOutWhatIsPastTheWindowAndAddsWhatIsNew) {
  ASSERT_OK(Ingest(Images("old.tar", 0, 10, 100)));
  ASSERT_OK(Ingest(Images("recent.tar", 10, 10, 20)));
  ASSERT_OK_AND_ASSIGN(const auto counts, Refresh(90 * kDay, {Images("new.tar", 20, 5, 1)}));
  EXPECT_EQ(counts.expired, 10);
  EXPECT_EQ(counts.added, 5);
  ASSERT_OK_AND_ASSIGN(const Manifest manifest, store_.ReadManifest("p", 3));
  EXPECT_EQ(manifest.parent, 2);
  EXPECT_EQ(manifest.images, 15);
  EXPECT_EQ(manifest.formats.at("png"), 15);
  std::multiset<ImageId> expected;
  for (int i = 10; i < 25; ++i) expected.insert(IdOf(i));
  EXPECT_EQ(IdsIn(3), expected);
  EXPECT_EQ(IdsIn(2).size(), 20u) << "the generation before is as it was";
  ExpectReadable(*objects_, 3, {});
  // The file without old rows is the parent's, where it is; the other is gone.
  ASSERT_OK_AND_ASSIGN(const Manifest parent, store_.ReadManifest("p", 2));
  ASSERT_EQ(manifest.files.size(), 2u);
  EXPECT_EQ(CatalogueKey("p", manifest.files[0]), CatalogueKey("p", parent.files[1]));
  EXPECT_EQ(Keys("p/generations/3/").size(), 3u) << "the manifest and the new rows' files";
  // Nothing has changed since: no generation.
  ASSERT_OK_AND_ASSIGN(const auto again, Refresh(90 * kDay));
  EXPECT_EQ(again.expired, 0);
  EXPECT_EQ(*store_.Current("p"), 3);
  // A day in the window goes by.
  clock_.Advance(71 * kDay);
  ASSERT_OK_AND_ASSIGN(const auto later, Refresh(90 * kDay));
  EXPECT_EQ(later.expired, 10);
  EXPECT_EQ(IdsIn(4).size(), 5u);
}

TEST_F(PoolChanges, TheSmallerWindowCountsAndUnknownAgesAreOutsideOfIt) {
  PoolPolicy policy;
  policy.max_age = 50 * kDay;
  ASSERT_OK(store_.Create("q", policy));
  IngestOptions ingest;
  ingest.sources = {Images("a.tar", 0, 3, 40), Images("b.tar", 3, 3, 60),
                    Images("c.tar", 6, 3, -1)};
  ASSERT_OK_AND_ASSIGN(const auto first, IngestIntoPool(store_, clock_, "q", ingest, Quiet));
  EXPECT_EQ(first.added, 3);
  EXPECT_EQ(first.refused_by_rule,
            (std::map<std::string, int64_t>{{"too_old", 3}, {"unknown_age", 3}}));
  ASSERT_OK_AND_ASSIGN(const auto refused, ReadRefused(*objects_, "q"));
  ASSERT_EQ(refused.size(), 6u);
  EXPECT_EQ(refused[0].rule, "too_old");
  EXPECT_EQ(refused[0].source, dir_ / "b.tar#image-1003.png");
  EXPECT_EQ(refused[5].rule, "unknown_age");
  RefreshOptions refresh;
  refresh.max_age = 1000 * kDay;  // does not widen the policy's
  clock_.Advance(5 * kDay);
  ASSERT_OK_AND_ASSIGN(const auto same, RefreshPool(store_, clock_, "q", refresh, Quiet));
  EXPECT_EQ(same.expired, 0);
  clock_.Advance(6 * kDay);
  EXPECT_THAT(RefreshPool(store_, clock_, "q", refresh, Quiet),
              FailsWith(absl::StatusCode::kFailedPrecondition, reason::kPoolWouldBeEmpty, "all 3"));
  EXPECT_EQ(*store_.Current("q"), 1);
  // Nobody knows when these were captured: without a window they stay.
  ASSERT_OK(Ingest(dir_ / "c.tar"));
  ASSERT_OK_AND_ASSIGN(const auto unknown, Refresh(absl::InfiniteDuration()));
  EXPECT_EQ(unknown.expired, 0);
  EXPECT_THAT(Refresh(kDay), FailsWith(absl::StatusCode::kFailedPrecondition,
                                       reason::kPoolWouldBeEmpty, "would be left out"));
}

TEST_F(PoolChanges, ADryRunChangesNothing) {
  ASSERT_OK(Ingest(Images("old.tar", 0, 10, 100)));
  const auto before = Keys("");
  ASSERT_OK_AND_ASSIGN(const auto counts,
                       Refresh(90 * kDay, {Images("new.tar", 20, 5, 1)}, /*dry_run=*/true));
  EXPECT_EQ(counts.expired, 10);
  EXPECT_EQ(counts.added, 5);
  EXPECT_EQ(Keys(""), before);
}

TEST_F(PoolChanges, RefreshingAnEmptyPoolIsSaid) {
  EXPECT_THAT(Refresh(kDay), FailsWith(absl::StatusCode::kFailedPrecondition, reason::kPoolEmpty,
                                       "no generation"));
  RefreshOptions options;
  EXPECT_THAT(RefreshPool(store_, clock_, "none", options, Quiet),
              FailsWith(absl::StatusCode::kNotFound, reason::kPoolNotFound, "none"));
}

TEST_F(PoolChanges, OfTwoWritersAtOnceOneWinsAndThePoolIsWhole) {
  ASSERT_OK(Ingest(Images("old.tar", 0, 10, 100)));
  ASSERT_OK(Ingest(Images("recent.tar", 10, 10, 20)));
  const std::string more = Images("more.tar", 30, 6, 1);
  // The refresh stops before its commit until the ingest has had its own.
  absl::Notification at_commit, go_on;
  Faults faults;
  faults.fail = [&](absl::string_view operation, absl::string_view key) {
    if (operation == "put" && absl::EndsWith(key, "3/manifest.json")) {
      at_commit.Notify();
      go_on.WaitForNotification();
    }
    return absl::OkStatus();
  };
  const auto slow = MakeFaultyStore(*objects_, faults);
  PoolStore slow_store(*slow, clock_);
  absl::StatusOr<IngestCounts> refreshed = absl::UnknownError("not run");
  Thread refresh("refresh", [&] {
    RefreshOptions options;
    options.max_age = 90 * kDay;
    refreshed = RefreshPool(slow_store, clock_, "p", options, Quiet);
  });
  at_commit.WaitForNotification();
  EXPECT_OK(Ingest(more));
  go_on.Notify();
  refresh.Join();
  EXPECT_THAT(refreshed,
              FailsWith(absl::StatusCode::kAborted, reason::kPoolWriteConflict, "generation 3"));
  EXPECT_EQ(IdsIn(3).size(), 26u);
  ExpectReadable(*objects_, 3, {});
  // What the loser wrote is gone.
  ASSERT_OK_AND_ASSIGN(const Manifest manifest, store_.ReadManifest("p", 3));
  EXPECT_EQ(Keys("p/generations/3/").size(), 3u);
  EXPECT_EQ(manifest.files.size(), 3u);
  ASSERT_OK_AND_ASSIGN(const auto again, Refresh(90 * kDay));
  EXPECT_EQ(again.expired, 10);
  EXPECT_EQ(IdsIn(4).size(), 16u);
}

TEST_F(PoolChanges, WhatADeadWriterLeftGoesWithTheNextCommit) {
  ASSERT_OK(Ingest(Images("old.tar", 0, 10, 100)));
  ASSERT_OK(objects_->Put("p/generations/2/images-00001-dead.parquet", "half"));
  ASSERT_OK(objects_->Put("p/generations/2/index-00001-dead.bin", "half"));
  ASSERT_OK(Ingest(Images("recent.tar", 10, 10, 20)));
  for (const std::string& key : Keys("p/generations/2/"))
    EXPECT_FALSE(absl::StrContains(key, "dead"));
  EXPECT_EQ(IdsIn(2).size(), 20u);
}

TEST_F(PoolChanges, WhatIsRefusedIsBoundedARule) {
  std::vector<RefusedImage> images(3, {"a", "too_old", clock_.Now()});
  ASSERT_OK(WriteRefused(*objects_, "p", "00000001-x.jsonl", images));
  ASSERT_OK_AND_ASSIGN(const auto read, ReadRefused(*objects_, "p"));
  EXPECT_EQ(read.size(), 3u);
  ASSERT_OK(objects_->Put("p/refused/00000002-y.jsonl", "{\"source\":1}"));
  EXPECT_THAT(ReadRefused(*objects_, "p"),
              FailsWith(absl::StatusCode::kDataLoss, reason::kPoolCorrupt, "00000002-y"));
}

TEST_F(PoolChanges, ATakedownWipesTheBytesOfAllGenerations) {
  ASSERT_OK(Ingest(Images("a.tar", 0, 12, 100)));
  ASSERT_OK(Ingest(Images("b.tar", 12, 12, 20)));
  ASSERT_OK(Refresh(90 * kDay));  // images below 12 are in generations 1 and 2 alone
  ASSERT_OK_AND_ASSIGN(const auto tried, TryTakeDown(store_, "p", {IdOf(3), IdOf(17)}));
  EXPECT_EQ(tried.rows, 1);
  EXPECT_EQ(tried.shards_total, 2);
  ASSERT_OK_AND_ASSIGN(
      const TakedownRecord record,
      TakeDown(store_, clock_, "p", {IdOf(17), IdOf(3), IdOf(3)}, "asked", Unseen));
  EXPECT_TRUE(record.done());
  EXPECT_EQ(record.generation, 4);
  EXPECT_EQ(record.ids.size(), 2u);
  EXPECT_EQ(record.shards.size(), 2u);
  EXPECT_EQ(IdsIn(4).size(), 11u);
  EXPECT_EQ(IdsIn(4).count(IdOf(17)), 0u);
  ExpectGone(*objects_, 3);
  ExpectGone(*objects_, 17);
  for (const int64_t generation : {1, 2, 3, 4})
    ExpectReadable(*objects_, generation, {IdOf(3), IdOf(17)});
  // The same again says what was done. Another takes the wiped shard further.
  ASSERT_OK_AND_ASSIGN(const TakedownRecord same,
                       TakeDown(store_, clock_, "p", {IdOf(3), IdOf(17)}, "again", Unseen));
  EXPECT_EQ(same.name, record.name);
  EXPECT_EQ(same.reason, "asked");
  EXPECT_EQ(*store_.Current("p"), 4);
  ASSERT_OK(TakeDown(store_, clock_, "p", {IdOf(4)}, "more", Unseen));
  ExpectGone(*objects_, 4);
  for (const int64_t generation : {1, 2, 3, 4, 5})
    ExpectReadable(*objects_, generation, {IdOf(3), IdOf(4), IdOf(17)});
  // It does not come back.
  ASSERT_OK_AND_ASSIGN(const auto back, Ingest(Images("c.tar", 17, 2, 1)));
  EXPECT_EQ(back.refused_by_rule, (std::map<std::string, int64_t>{{"taken_down", 1}}));
  ExpectGone(*objects_, 17);
}

TEST_F(PoolChanges, ATakedownOfWhatIsNotThereChangesNothing) {
  ASSERT_OK(Ingest(Images("a.tar", 0, 12, 100)));
  const auto before = Keys("");
  EXPECT_THAT(TakeDown(store_, clock_, "p", {IdOf(3), IdOf(99)}, "asked", Unseen),
              FailsWith(absl::StatusCode::kNotFound, reason::kImageNotFound, IdHex(IdOf(99))));
  EXPECT_THAT(TakeDown(store_, clock_, "none", {IdOf(3)}, "asked", Unseen),
              FailsWith(absl::StatusCode::kNotFound, reason::kPoolNotFound, "none"));
  EXPECT_EQ(Keys(""), before);
}

TEST_F(PoolChanges, ATakedownOfTheLastImageLeavesAnEmptyGeneration) {
  ASSERT_OK(Ingest(Images("a.tar", 0, 1, 100)));
  ASSERT_OK(TakeDown(store_, clock_, "p", {IdOf(0)}, "asked", Unseen));
  EXPECT_EQ(store_.ReadManifest("p", 2)->images, 0);
  ExpectGone(*objects_, 0);
  ASSERT_OK(Ingest(Images("b.tar", 1, 3, 100)));
  EXPECT_EQ(IdsIn(3).size(), 3u);
}

TEST_F(PoolChanges, ATakedownThatIsKilledAnywhereIsFinishedByTheNext) {
  const std::string a = Images("a.tar", 0, 12, 100), b = Images("b.tar", 12, 12, 20);
  int operations = 0;
  bool finished = false;
  for (int kill_at = 1; !finished; ++kill_at) {
    const auto objects = MakeMemoryStore();
    PoolStore store(*objects, clock_);
    ASSERT_OK(store.Create("p", {}));
    ASSERT_OK(Ingest(a, &store));
    ASSERT_OK(Ingest(b, &store));
    operations = 0;
    Faults faults;
    faults.fail = [&](absl::string_view, absl::string_view) {
      return ++operations >= kill_at ? absl::UnavailableError("killed") : absl::OkStatus();
    };
    const auto dying = MakeFaultyStore(*objects, faults);
    PoolStore dying_store(*dying, clock_);
    const auto first = TakeDown(dying_store, clock_, "p", {IdOf(3), IdOf(17)}, "asked", Unseen);
    finished = first.ok();
    const auto records = ReadTakedowns(*objects, "p");
    ASSERT_OK(records);
    if (!records->empty() && !records->front().shards.empty()) {
      for (const int64_t generation : {1, 2})
        ExpectReadable(*objects, generation, {IdOf(3), IdOf(17)});
    }
    // Half of the time the next refresh goes on, or a writer comes in between.
    if (kill_at % 2 == 0 && !records->empty()) {
      ASSERT_OK(CompleteTakedowns(store, clock_, "p", Unseen));
    } else {
      const auto second = TakeDown(store, clock_, "p", {IdOf(3), IdOf(17)}, "asked", Unseen);
      ASSERT_OK(second);
      EXPECT_TRUE(second->done());
    }
    ExpectGone(*objects, 3);
    ExpectGone(*objects, 17);
    ASSERT_OK_AND_ASSIGN(const auto done, ReadTakedowns(*objects, "p"));
    ASSERT_EQ(done.size(), 1u) << kill_at;
    EXPECT_TRUE(done[0].done());
    ASSERT_OK_AND_ASSIGN(const int64_t current, store.Current("p"));
    EXPECT_EQ(current, 3) << "one generation, wherever it was killed: " << kill_at;
    for (int64_t generation = 1; generation <= current; ++generation)
      ExpectReadable(*objects, generation, {IdOf(3), IdOf(17)});
    EXPECT_EQ(store.ReadManifest("p", current)->images, 22);
  }
  EXPECT_GT(operations, 20);
}

TEST_F(PoolChanges, AnIngestThatBeganBeforeATakedownDoesNotBringTheImageBack) {
  ASSERT_OK(Ingest(Images("a.tar", 0, 6, 100)));
  const std::string copy = Images("copy.tar", 3, 1, 1);
  absl::Notification at_commit, go_on;
  Faults faults;
  faults.fail = [&](absl::string_view operation, absl::string_view key) {
    if (operation == "put" && absl::EndsWith(key, "2/manifest.json")) {
      at_commit.Notify();
      go_on.WaitForNotification();
    }
    return absl::OkStatus();
  };
  const auto slow = MakeFaultyStore(*objects_, faults);
  PoolStore slow_store(*slow, clock_);
  absl::StatusOr<IngestCounts> ingested = absl::UnknownError("not run");
  Thread ingest("ingest", [&] { ingested = Ingest(copy, &slow_store); });
  at_commit.WaitForNotification();
  EXPECT_OK(TakeDown(store_, clock_, "p", {IdOf(3)}, "asked", Unseen));
  go_on.Notify();
  ingest.Join();
  EXPECT_THAT(ingested,
              FailsWith(absl::StatusCode::kAborted, reason::kPoolWriteConflict, "generation 2"));
  EXPECT_EQ(IdsIn(2).count(IdOf(3)), 0u);
  ASSERT_OK(
      CollectGarbage(store_, clock_, "p", {}, [](const Garbage&) { return absl::OkStatus(); }));
}

TEST_F(PoolChanges, ADamagedTakedownRecordIsSaid) {
  ASSERT_OK(objects_->Put("p/takedowns/x.json", "{\"ids\":[\"12\"]}"));
  EXPECT_THAT(ReadTakedowns(*objects_, "p"),
              FailsWith(absl::StatusCode::kDataLoss, reason::kPoolCorrupt, "p/takedowns/x.json"));
  TakedownRecord round;
  round.shards = {{"a", "b"}, {"b", "a"}};
  TakedownSet set({round});
  set.ShardNow("a");  // comes to an end
}

// On a disk, where a shard's age can be set.
class Garbages : public PoolChanges {
 protected:
  void SetUp() override {
    auto local = OpenLocalStore(dir_ / "pools");
    ASSERT_OK(local);
    objects_ = std::move(*local);
    disk_.emplace(*objects_, Clock::Real());
    ASSERT_OK(disk_->Create("p", {}));
  }
  absl::Status Fill(const std::string& source) {
    IngestOptions options;
    options.sources = {source};
    options.shard_bytes = 4000;
    return IngestIntoPool(*disk_, Clock::Real(), "p", options, Quiet).status();
  }
  absl::Status Refresh90() {
    RefreshOptions options;
    options.max_age = Clock::Real().Now() - clock_.Now() + 90 * kDay;
    return RefreshPool(*disk_, Clock::Real(), "p", options, Quiet).status();
  }
  void Age() {  // all shards by a day
    for (const auto& entry : fs::directory_iterator(dir_ / "pools/p/shards"))
      fs::last_write_time(entry, entry.last_write_time() - std::chrono::hours(24));
  }
  std::vector<std::string> Collect(const GarbageOptions& options) {
    std::vector<std::string> names;
    bytes_ = 0;
    EXPECT_OK(CollectGarbage(*disk_, Clock::Real(), "p", options, [&](const Garbage& garbage) {
      names.push_back(garbage.name);
      bytes_ += garbage.size_bytes;
      return absl::OkStatus();
    }));
    return names;
  }

  std::optional<PoolStore> disk_;
  int64_t bytes_ = 0;
};

TEST_F(Garbages, GenerationsThatNobodyNeedsGoAndThenTheirShards) {
  ASSERT_OK(Fill(Images("a.tar", 0, 12, 100)));
  const size_t of_first = Keys("p/shards/").size();
  ASSERT_OK(Fill(Images("b.tar", 12, 12, 20)));
  ASSERT_OK(Refresh90());
  const auto all = Keys("p/");
  const size_t shards = Keys("p/shards/").size();
  GarbageOptions keep_young;
  keep_young.keep_newer_than = absl::Hours(1);
  EXPECT_TRUE(Collect(keep_young).empty()) << "they are young";
  GarbageOptions try_out;
  try_out.keep = {1, 7};  // 7: is not there
  try_out.dry_run = true;
  EXPECT_EQ(Collect(try_out), std::vector<std::string>{"generations/2"});
  EXPECT_EQ(Keys("p/"), all);
  GarbageOptions keep_first;
  keep_first.keep = {1};
  EXPECT_EQ(Collect(keep_first), std::vector<std::string>{"generations/2"});
  EXPECT_EQ(*disk_->Generations("p"), (std::vector<int64_t>{1, 3}));
  EXPECT_EQ(Keys("p/shards/").size(), shards);
  // Now the first; its shards are too young.
  EXPECT_EQ(Collect({}), std::vector<std::string>{"generations/1"});
  EXPECT_GT(bytes_, 0);
  EXPECT_EQ(Keys("p/shards/").size(), shards);
  Age();
  EXPECT_EQ(Collect({}).size(), of_first);
  EXPECT_EQ(Keys("p/shards/").size(), shards - of_first);
  ExpectReadable(*objects_, 3, {});
  EXPECT_THAT(disk_->ReadManifest("p", 1),
              FailsWith(absl::StatusCode::kNotFound, reason::kGenerationNotFound, "generation 1"));
  EXPECT_EQ(*disk_->Current("p"), 3);
  ASSERT_OK(Fill(Images("c.tar", 24, 3, 1)));
  EXPECT_EQ(*disk_->Current("p"), 4);
}

TEST_F(Garbages, FilesThatANewerGenerationReadsStay) {
  ASSERT_OK(Fill(Images("a.tar", 0, 12, 100)));
  ASSERT_OK(Fill(Images("b.tar", 12, 12, 20)));
  ASSERT_OK(Fill(Images("c.tar", 24, 3, 20)));
  EXPECT_EQ(Collect({}), (std::vector<std::string>{"generations/1", "generations/2"}));
  EXPECT_EQ(Keys("p/generations/1/").size(), 2u) << "a catalogue and its index";
  EXPECT_EQ(disk_->ReadManifest("p", 3)->images, 27);
  ExpectReadable(*objects_, 3, {});
  EXPECT_TRUE(Collect({}).empty()) << "what is left there is needed";
  // Images of the first two files go: one file is written anew, the others stay where they are.
  ASSERT_OK(TakeDown(*disk_, Clock::Real(), "p", {IdOf(3)}, "asked", Unseen));
  EXPECT_EQ(Collect({}), (std::vector<std::string>{"generations/1", "generations/3"}));
  EXPECT_TRUE(Keys("p/generations/1/").empty());
  EXPECT_EQ(Keys("p/generations/3/").size(), 2u);
  EXPECT_EQ(disk_->ReadManifest("p", 4)->images, 26);
  ExpectReadable(*objects_, 4, {});
}

TEST_F(Garbages, WhatAWriterHasNotCommittedStays) {
  ASSERT_OK(Fill(Images("a.tar", 0, 3, 100)));
  ASSERT_OK(objects_->Put("p/generations/2/images-00001-running.parquet", "half"));
  ASSERT_OK_AND_ASSIGN(const std::string shard, disk_->WriteShard("p", "young"));
  EXPECT_TRUE(Collect({}).empty());
  Age();
  // An old shard is written again by a writer that needs it, and so is young.
  ASSERT_OK(disk_->WriteShard("p", "young"));
  EXPECT_TRUE(Collect({}).empty());
  Age();
  EXPECT_EQ(Collect({}), std::vector<std::string>{"shards/" + shard});
  ExpectReadable(*objects_, 1, {});
}

TEST_F(Garbages, WhatALongIngestHasWrittenStaysUntilItCommits) {
  ASSERT_OK(Fill(Images("a.tar", 0, 3, 100)));
  const size_t before = Keys("p/shards/").size();
  // Half-way, a day after its first shard, somebody collects garbage.
  IngestOptions options;
  options.sources = {Images("b.tar", 3, 12, 100)};
  options.shard_bytes = 4000;
  const absl::Time begun = Clock::Real().Now() - absl::Hours(24);
  bool collected = false;
  ASSERT_OK(IngestIntoPool(*disk_, Clock::Real(), "p", options, [&](const IngestCounts&) {
    if (collected) return absl::OkStatus();
    collected = true;
    EXPECT_GT(Keys("p/shards/").size(), before);
    const std::string staged = Keys("p/staging/").front();
    const std::string key(absl::StripPrefix(fs::path(staged).parent_path().string(), "p/staging/"));
    EXPECT_OK(disk_->MarkWriter("p", key, begun));
    Age();
    EXPECT_TRUE(Collect({}).empty());
    return absl::OkStatus();
  }));
  EXPECT_TRUE(collected);
  ExpectReadable(*objects_, 2, {});
  EXPECT_EQ(*disk_->OldestWriter("p"), absl::InfiniteFuture()) << "the mark went with the commit";
}

TEST_F(Garbages, AShardThatACommitNamesMeanwhileStays) {
  ASSERT_OK(Fill(Images("a.tar", 0, 3, 100)));
  ASSERT_OK_AND_ASSIGN(Manifest next, disk_->ReadManifest("p", 1));
  ASSERT_OK_AND_ASSIGN(const std::string shard, disk_->WriteShard("p", "of a slow writer"));
  Age();
  next.parent = 1;
  next.generation = 2;
  next.shards.push_back({shard, 16, 1});
  // The commit comes when the shards have been listed.
  Faults faults;
  int lists = 0;
  faults.fail = [&](absl::string_view operation, absl::string_view key) {
    if (operation == "list" && absl::EndsWith(key, "/takedowns/") && lists++ == 0)
      EXPECT_OK(disk_->Commit("p", next));
    return absl::OkStatus();
  };
  const auto watched = MakeFaultyStore(*objects_, faults);
  PoolStore store(*watched, Clock::Real());
  ASSERT_OK(CollectGarbage(store, Clock::Real(), "p", {}, [&](const Garbage& garbage) {
    ADD_FAILURE() << garbage.name;
    return absl::OkStatus();
  }));
  EXPECT_EQ(lists, 1);
  EXPECT_OK(objects_->Stat(ShardKey("p", shard)));
}

TEST_F(Garbages, AWipedShardIsNeededByTheOlderName) {
  ASSERT_OK(Fill(Images("a.tar", 0, 12, 100)));
  ASSERT_OK(TakeDown(*disk_, Clock::Real(), "p", {IdOf(3)}, "asked", Unseen));
  Age();
  GarbageOptions keep_first;
  keep_first.keep = {1};
  EXPECT_TRUE(Collect(keep_first).empty());
  ExpectReadable(*objects_, 1, {IdOf(3)});
  EXPECT_THAT(CollectGarbage(*disk_, Clock::Real(), "none", {},
                             [](const Garbage&) { return absl::OkStatus(); }),
              FailsWith(absl::StatusCode::kNotFound, reason::kPoolNotFound, "none"));
}

}  // namespace
}  // namespace seer::dataservice
