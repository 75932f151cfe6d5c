// `seer-dataservice ingest` as real processes: killed with SIGKILL, shared, interrupted, misused.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <cstdio>
#include <filesystem>
#include <map>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/base/thread.h"
#include "common/objectstore/local_store.h"
#include "dataservice/pool/pool_store.h"
#include "tests/support/image_files.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace seer::dataservice {
namespace {

using ::testing::HasSubstr;

struct Result {
  int code = 0;  // 128 + the signal that ended it
  std::string out;
};

Result Execute(const std::string& command) {
  FILE* pipe = popen(absl::StrCat("{ ", command, "; } 2>&1").c_str(), "r");
  EXPECT_NE(pipe, nullptr);
  Result result;
  char buffer[4096];
  for (size_t got; (got = fread(buffer, 1, sizeof(buffer), pipe)) > 0;)
    result.out.append(buffer, got);
  const int status = pclose(pipe);
  result.code = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  return result;
}

class IngestProcesses : public ::testing::Test {
 protected:
  static constexpr int kImages = 120;

  void SetUp() override {
    for (int i = 0; i < kImages; ++i)
      testing::WriteFile(dir_ / absl::StrCat("images/", 1000 + i, ".png"),
                         testing::MakePng(16, 16, static_cast<uint32_t>(i)));
  }

  // In the pool `root`/p, which is made if it is not there.
  std::string Command(const std::string& root, const std::string& flags = "") {
    auto objects = OpenLocalStore(dir_ / root);
    EXPECT_OK(objects);
    PoolStore(**objects, Clock::Real()).Create("p", {}, "request").IgnoreError();
    return absl::StrCat(SEER_DATASERVICE, " ingest p ", dir_ / "images", " --pools ", dir_ / root,
                        " --threads 1 --shard-bytes 8000 ", flags);
  }

  // Ids and places of all images, and the shards: what streams of the pool depend on.
  std::string Content(const std::string& root) {
    auto objects = OpenLocalStore(dir_ / root);
    EXPECT_OK(objects);
    PoolStore store(**objects, Clock::Real());
    const auto manifest = store.ReadManifest("p", 1);
    EXPECT_OK(manifest);
    std::string content;
    for (const CatalogueFile& file : manifest->files) {
      EXPECT_OK(ForEachRow(**objects, CatalogueKey("p", file), [&](const CatalogueRow& row) {
        absl::StrAppend(&content, IdHex(row.id), " ", row.shard, " ", row.offset, " ", row.source);
        return absl::OkStatus();
      }));
      absl::StrAppend(&content, "\n", *(*objects)->Get(IndexKey("p", file)));
    }
    for (const ShardInfo& shard : manifest->shards) {
      absl::StrAppend(&content, "\n", shard.name, " ", shard.images);
      EXPECT_OK((*objects)->Stat(ShardKey("p", shard.name)));
    }
    EXPECT_THAT(*(*objects)->List("p/staging/"), ::testing::IsEmpty());
    return content;
  }

  testing::TempDir dir_;
};

TEST_F(IngestProcesses, KilledItGoesOnWhereItWas) {
#ifndef SEER_FAILPOINTS_ENABLED
  GTEST_SKIP() << "built without failpoints";
#endif
  const Result whole = Execute(Command("whole"));
  ASSERT_EQ(whole.code, 0) << whole.out;
  EXPECT_THAT(whole.out, HasSubstr("120 images seen, 120 added"));
  EXPECT_THAT(whole.out, HasSubstr(" 0 staged before; pool p has 120 images in generation 1"));
  const Result killed =
      Execute(absl::StrCat("SEER_FAILPOINTS=ingest.after_unit=kill@6 exec ", Command("killed")));
  EXPECT_NE(killed.code, 0);
  EXPECT_FALSE(std::filesystem::exists(dir_ / "killed/p/CURRENT"));
  const Result again = Execute(Command("killed"));
  ASSERT_EQ(again.code, 0) << again.out;
  EXPECT_THAT(again.out, HasSubstr("120 images seen, 120 added"));
  EXPECT_THAT(again.out, ::testing::Not(HasSubstr(" 0 staged before"))) << "some were not decoded";
  EXPECT_EQ(Content("killed"), Content("whole"));
}

TEST_F(IngestProcesses, PartsAtOnceMakeTheSamePool) {
  ASSERT_EQ(Execute(Command("whole")).code, 0);
  std::vector<Result> results(3);
  {
    std::vector<Thread> threads;
    for (size_t i = 0; i < results.size(); ++i) {
      const std::string command = Command("shared", absl::StrCat("--part ", i + 1, "/3"));
      threads.emplace_back("part", [&results, i, command] { results[i] = Execute(command); });
    }
  }
  int committed = 0;
  for (const Result& result : results) {
    EXPECT_EQ(result.code, 0) << result.out;
    const bool waits = absl::StrContains(result.out, "parts that are still to come");
    committed += waits ? 0 : 1;
    if (!waits) EXPECT_THAT(result.out, HasSubstr("pool p has 120 images in generation 1"));
  }
  EXPECT_GE(committed, 1);
  EXPECT_EQ(Content("shared"), Content("whole"));
  // A part that a batch system starts again.
  const Result late = Execute(Command("shared", "--part 2/3"));
  EXPECT_EQ(late.code, 0) << late.out;
  EXPECT_THAT(late.out, HasSubstr("pool p has 120 images in generation 1"));
}

TEST_F(IngestProcesses, InterruptedItExitsWithThree) {
  // SIGTERM is there before the first image is read; a shell cannot block it.
  const Result blocked = Execute(
      absl::StrCat(SEER_PYTHON,
                   " -c 'import os, signal, sys; signal.pthread_sigmask(signal.SIG_BLOCK, "
                   "[signal.SIGTERM]); os.kill(os.getpid(), signal.SIGTERM); os.execv(sys.argv[1], "
                   "sys.argv[1:])' ",
                   Command("p")));
  EXPECT_EQ(blocked.code, 3) << blocked.out;
  EXPECT_THAT(blocked.out, HasSubstr("goes on from what is staged"));
}

TEST_F(IngestProcesses, WhatIsWrongIsSaidAndExitsAsSeerDoes) {
  for (const char* part : {"0/4", "5/4"}) {
    const Result refused = Execute(Command("p", absl::StrCat("--part ", part)));
    EXPECT_EQ(refused.code, 2) << refused.out;
    EXPECT_THAT(refused.out, HasSubstr("there is no part"));
    EXPECT_THAT(refused.out, HasSubstr("hint: parts count from 1"));
  }
  const Result text = Execute(Command("p", "--part three"));
  EXPECT_EQ(text.code, 2) << text.out;
  EXPECT_THAT(text.out, HasSubstr("'three' is not a part"));
  const std::string none =
      absl::StrCat(SEER_DATASERVICE, " ingest none ", dir_ / "images", " --pools ", dir_ / "p");
  const Result pool = Execute(none);
  EXPECT_EQ(pool.code, 1) << pool.out;
  EXPECT_THAT(pool.out, HasSubstr("no pool 'none'"));
  EXPECT_EQ(Execute(absl::StrCat(SEER_DATASERVICE, " ingest p --pools ", dir_ / "p")).code, 2);
}

}  // namespace
}  // namespace seer::dataservice
