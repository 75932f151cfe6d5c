// `seer pool` as people run it, against a data service and a coordinator that knows two jobs.
#include <gmock/gmock.h>
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <set>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "client/cli.h"
#include "common/base/digest.h"
#include "seer/v1/checkpoints.grpc.pb.h"
#include "seer/v1/jobs.grpc.pb.h"
#include "tests/integration/dataservice/pool_client.h"
#include "tests/support/image_files.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace seer::dataservice {
namespace {

using ::testing::HasSubstr;
using testing::MakePng;
using testing::WriteFile;

constexpr int kImages = 30;
constexpr int64_t kBatch = 8;

class FakeJobs final : public v1::Jobs::Service {
 public:
  grpc::Status ListJobs(grpc::ServerContext*, const v1::ListJobsRequest*,
                        v1::ListJobsResponse* response) override {
    for (const v1::Job& job : jobs) *response->add_jobs() = job;
    return grpc::Status::OK;
  }
  std::vector<v1::Job> jobs;
};
class FakeCheckpoints final : public v1::Checkpoints::Service {
 public:
  grpc::Status ListCheckpoints(grpc::ServerContext*, const v1::ListCheckpointsRequest*,
                               v1::ListCheckpointsResponse* response) override {
    for (const v1::Checkpoint& checkpoint : checkpoints) *response->add_checkpoints() = checkpoint;
    return grpc::Status::OK;
  }
  std::vector<v1::Checkpoint> checkpoints;
};

struct Outcome {
  int code = -1;
  std::string out, err;
};

class PoolCommands : public ::testing::Test {
 protected:
  void SetUp() override {
    for (int i = 0; i < kImages; ++i)
      WriteFile(dir_ / absl::StrCat("images/", 1000 + i, ".png"), ImageOf(i));
    auto server = StartServer(dir_ / "pools");
    ASSERT_OK(server);
    server_ = std::move(*server);
    grpc::ServerBuilder builder;
    int port = 0;
    builder.AddListeningPort("127.0.0.1:0", grpc::InsecureServerCredentials(), &port);
    builder.RegisterService(&jobs_);
    builder.RegisterService(&checkpoints_);
    coordinator_ = builder.BuildAndStart();
    setenv("SEER_CONFIG", (dir_ / "config.yaml").c_str(), 1);
    setenv("SEER_COORDINATOR", absl::StrCat("127.0.0.1:", port).c_str(), 1);
    setenv("SEER_DATASERVICE", absl::StrCat("127.0.0.1:", server_->port()).c_str(), 1);
  }
  void TearDown() override {
    for (const char* name : {"SEER_CONFIG", "SEER_COORDINATOR", "SEER_DATASERVICE"}) unsetenv(name);
    coordinator_->Shutdown();
  }
  static std::string ImageOf(int i) { return MakePng(20 + i % 7, 24, static_cast<uint32_t>(i)); }
  static std::string IdOf(int i) { return Sha256Hex(ImageOf(i)); }

  static Outcome Seer(const std::vector<std::string>& arguments) {
    std::vector<const char*> words = {"seer"};
    for (const std::string& argument : arguments) words.push_back(argument.c_str());
    ::testing::internal::CaptureStdout();
    ::testing::internal::CaptureStderr();
    Outcome outcome;
    outcome.code = client::RunCli(static_cast<int>(words.size()), words.data());
    outcome.out = ::testing::internal::GetCapturedStdout();
    outcome.err = ::testing::internal::GetCapturedStderr();
    return outcome;
  }
  static Outcome Good(const std::vector<std::string>& arguments) {
    Outcome outcome = Seer(arguments);
    EXPECT_EQ(outcome.code, 0) << outcome.err;
    return outcome;
  }

  v1::Job& AddJob(const std::string& name, int64_t done,
                  const std::vector<std::pair<int64_t, int64_t>>& plan) {
    v1::Job& job = jobs_.jobs.emplace_back();
    job.set_name(name);
    job.set_state(v1::JOB_STATE_RUNNING);
    job.mutable_start_time()->set_seconds(1);
    job.mutable_spec()->set_kind(v1::JOB_KIND_PRETRAIN);
    job.mutable_spec()->set_seed(7);
    job.mutable_spec()->mutable_data()->set_pool("photos");
    job.mutable_spec()->mutable_data()->set_global_batch(kBatch);
    job.mutable_progress()->set_step(done);
    for (const auto& [first, generation] : plan) {
      job.add_data_plan()->set_first_step(first);
      job.mutable_data_plan()->rbegin()->set_generation(generation);
    }
    return job;
  }
  // Steps [first, end) that show the image, by walking the order.
  std::set<int64_t> Walk(const std::string& id, int64_t generation, int64_t first, int64_t end) {
    std::set<int64_t> steps;
    for (int64_t step = first; step < end; ++step) {
      const Outcome order = Good({"pool", "order", "photos", "--seed", "7", "--step",
                                  absl::StrCat(step), "--global-batch", absl::StrCat(kBatch),
                                  "--generation", absl::StrCat(generation), "-o", "name"});
      if (absl::StrContains(order.out, id)) steps.insert(step);
    }
    return steps;
  }

  testing::TempDir dir_;
  std::unique_ptr<DataServer> server_;
  FakeJobs jobs_;
  FakeCheckpoints checkpoints_;
  std::unique_ptr<grpc::Server> coordinator_;
};

TEST_F(PoolCommands, CropsAreMadeAsTheOptionsSay) {
  Good({"pool", "create", "photos"});
  Good({"pool", "ingest", "photos", dir_ / "images"});
  const std::vector<std::string> order = {"pool",           "order", "photos",  "--step",  "0",
                                          "--global-batch", "30",    "--crops", "1x16,1x8"};
  const auto with = [](std::vector<std::string> words, const std::vector<std::string>& more) {
    words.insert(words.end(), more.begin(), more.end());
    return words;
  };
  for (const char* interpolation : {"bilinear", "bicubic"}) {
    const auto samples = nlohmann::json::parse(
        Good(with(order, {"--interpolation", interpolation, "-o", "json"})).out);
    ASSERT_EQ(samples.size(), 30u);
    for (const auto& sample : samples) {
      const auto share = [&](size_t view) {
        const auto& box = sample["views"][view];
        return box["width"].get<double>() * box["height"].get<double>() /
               (sample["width"].get<double>() * sample["height"].get<double>());
      };
      // Without scales, those of SwAV: large crops come first. Edges are whole pixels.
      EXPECT_GT(share(0), 0.11);
      EXPECT_LT(share(1), 0.18);
      for (const auto& view : sample["views"])
        EXPECT_EQ(view["interpolation"],
                  absl::StrCat("INTERPOLATION_", absl::AsciiStrToUpper(interpolation)));
    }
  }
  EXPECT_THAT(Good(with(order, {"--interpolation", "bicubic"})).out, HasSubstr(" bicubic"));
  const std::vector<std::string> sample = {"pool",    "sample", "photos",
                                           "--crops", "1x16",   "--sheet"};
  Good(with(sample, {dir_ / "default.jpg"}));
  Good(with(sample, {dir_ / "bilinear.jpg", "--interpolation", "bilinear"}));
  Good(with(sample, {dir_ / "bicubic.jpg", "--interpolation", "bicubic"}));
  const auto sheet = [&](const char* name) { return testing::ReadFile(dir_ / name); };
  EXPECT_EQ(sheet("default.jpg"), sheet("bilinear.jpg"));
  EXPECT_NE(sheet("bicubic.jpg"), sheet("bilinear.jpg"));
  const Outcome unknown = Seer(with(order, {"--interpolation", "lanczos"}));
  EXPECT_EQ(unknown.code, 2);
  EXPECT_THAT(unknown.err, ::testing::AllOf(HasSubstr("--interpolation"), HasSubstr("bicubic")));
}

TEST_F(PoolCommands, ATakedownSaysWhichJobsStepsAndCheckpointsSawTheImage) {
  Good({"pool", "create", "photos"});
  Good({"pool", "ingest", "photos", dir_ / "images"});
  WriteFile(dir_ / "more/1.png", MakePng(16, 16, 777));
  Good({"pool", "ingest", "photos", dir_ / "more"});
  AddJob("jobs/job_a", 20, {{0, 1}, {9, 2}});
  AddJob("jobs/job_b", 0, {{0, 2}});  // has done nothing
  v1::Job& evaluation = AddJob("jobs/job_e", 0, {{0, 1}, {0, 2}});
  evaluation.mutable_spec()->set_kind(v1::JOB_KIND_EVAL_KNN);
  evaluation.mutable_spec()->mutable_eval()->set_train_pool("photos");
  evaluation.mutable_spec()->mutable_eval()->set_test_pool("others");
  std::set<int64_t> walked = Walk(IdOf(4), 1, 0, 9);
  walked.merge(Walk(IdOf(4), 2, 9, 20));
  ASSERT_GE(walked.size(), 4u);
  for (const int64_t step : {*walked.begin(), *walked.begin() + 1, int64_t{20}}) {
    checkpoints_.checkpoints.emplace_back().set_name(absl::StrCat("jobs/job_a/checkpoints/", step));
    checkpoints_.checkpoints.back().set_step(step);
  }

  WriteFile(dir_ / "ids", IdOf(4) + "\n" + IdOf(5) + "\n");
  const Outcome tried =
      Good({"pool", "takedown", "photos", "--ids", dir_ / "ids", "--reason", "asked", "--dry-run"});
  EXPECT_THAT(tried.err, HasSubstr("would leave out 2 rows"));
  const Outcome unsure =
      Seer({"pool", "takedown", "photos", "--ids", dir_ / "ids", "--reason", "asked"});
  EXPECT_EQ(unsure.code, 2);
  EXPECT_THAT(unsure.err, HasSubstr("--yes"));
  Good({"pool", "takedown", "photos", "--ids", dir_ / "ids", "--reason", "asked", "--yes"});
  EXPECT_THAT(Good({"pool", "takedown-status", "photos"}).out, HasSubstr("asked"));

  const Outcome status = Good({"pool", "takedown-status", "photos", IdOf(4), "-o", "json"});
  const auto json = nlohmann::json::parse(status.out);
  EXPECT_TRUE(json.contains("finishTime"));
  std::set<int64_t> steps;
  std::set<std::string> saw, checkpoints;
  for (const auto& exposure : json["exposures"]) {
    saw.insert(exposure["job"].get<std::string>());
    if (exposure["imageId"] != IdOf(4) || exposure["job"] != "jobs/job_a") continue;
    for (const auto& step : exposure["steps"]) steps.insert(std::stoll(step.get<std::string>()));
    for (const auto& checkpoint : exposure["checkpoints"])
      checkpoints.insert(checkpoint.get<std::string>());
  }
  EXPECT_EQ(steps, walked);
  EXPECT_EQ(saw, (std::set<std::string>{"jobs/job_a", "jobs/job_e"}));
  EXPECT_EQ(checkpoints,
            (std::set<std::string>{absl::StrCat("jobs/job_a/checkpoints/", *walked.begin() + 1),
                                   "jobs/job_a/checkpoints/20"}));
  EXPECT_THAT(Good({"pool", "takedown-status", "photos", IdOf(5)}).out, HasSubstr("evaluation"));
}

TEST_F(PoolCommands, TakedownErrorsHaveTheirExitCodes) {
  Good({"pool", "create", "photos"});
  Good({"pool", "ingest", "photos", dir_ / "images"});
  WriteFile(dir_ / "unknown", Sha256Hex("nobody") + "\n");
  WriteFile(dir_ / "good", IdOf(1) + "\n");
  const auto down = [&](const std::string& pool, const std::string& file) {
    return Seer({"pool", "takedown", pool, "--ids", dir_ / file, "--reason", "asked", "--yes"});
  };
  EXPECT_EQ(down("photos", "absent").code, 2);
  const Outcome unknown = down("photos", "unknown");
  EXPECT_EQ(unknown.code, 1);
  EXPECT_THAT(unknown.err, HasSubstr(Sha256Hex("nobody")));
  const Outcome pool = down("nowhere", "good");
  EXPECT_EQ(pool.code, 1);
  EXPECT_THAT(pool.err, HasSubstr("no pool 'nowhere'"));
  EXPECT_EQ(Seer({"pool", "takedown-status", "photos", "20260101T000000Z-0"}).code, 1);
  EXPECT_EQ(Seer({"pool", "takedown-status", "nowhere"}).code, 1);
}

TEST_F(PoolCommands, GarbageIsWhatNoJobNeeds) {
  Good({"pool", "create", "photos"});
  Good({"pool", "ingest", "photos", dir_ / "images"});
  for (int i = 0; i < 2; ++i) {
    WriteFile(dir_ / absl::StrCat("more", i, "/1.png"), MakePng(16, 16, 777 + i));
    Good({"pool", "ingest", "photos", dir_ / absl::StrCat("more", i)});
  }
  AddJob("jobs/job_a", 20, {{0, 1}});
  EXPECT_EQ(Seer({"pool", "gc", "photos"}).code, 2) << "there is no terminal to ask on";
  EXPECT_EQ(Good({"pool", "gc", "photos", "--yes", "-o", "json"}).out, "[]\n") << "all are young";
  EXPECT_EQ(Seer({"pool", "gc", "photos", "--keep-newer-than", "soon", "--yes"}).code, 2);
  const std::vector<std::string> command = {"pool", "gc", "photos", "--keep-newer-than", "0s"};
  auto dry = command;
  dry.push_back("--dry-run");
  EXPECT_THAT(Good(dry).out, HasSubstr("pools/photos/generations/2"));
  auto yes = command;
  yes.push_back("--yes");
  const Outcome done = Good(yes);
  EXPECT_THAT(done.out, HasSubstr("pools/photos/generations/2"));
  EXPECT_THAT(done.out, ::testing::Not(HasSubstr("generations/1")));
  EXPECT_THAT(done.err, HasSubstr("jobs and checkpoints need generations 1"));
  jobs_.jobs[0].set_state(v1::JOB_STATE_CANCELLED);
  EXPECT_THAT(Good(yes).out, HasSubstr("pools/photos/generations/1"));
  EXPECT_EQ(Seer({"pool", "gc", "nowhere", "--yes"}).code, 1);
  coordinator_->Shutdown();
  EXPECT_EQ(Seer({"pool", "gc", "photos", "--yes"}).code, 5) << "it must know what jobs need";
}

TEST_F(PoolCommands, APolicyRefusesAndARefreshIsTried) {
  const Outcome bad = Seer({"pool", "create", "photos", "--where", "widht>=22"});
  EXPECT_EQ(bad.code, 2);
  EXPECT_THAT(bad.err, HasSubstr("'widht', which is no column"));
  EXPECT_THAT(bad.err, HasSubstr("columns: width"));
  EXPECT_EQ(Seer({"pool", "create", "photos", "--format", "tga"}).code, 2);
  Good({"pool", "create", "photos", "--where", "width>=22", "--where", "format in (png)",
        "--max-bytes", "1MiB"});
  const Outcome ingested = Good({"pool", "ingest", "photos", dir_ / "images"});
  EXPECT_THAT(ingested.err, HasSubstr("10 refused"));  // widths 20 and 21 of 20 to 26
  EXPECT_THAT(Good({"pool", "describe", "photos"}).out, HasSubstr("width>=22 10"));
  const Outcome refused = Good({"pool", "refused", "photos", "--rule", "width>=22", "-o", "json"});
  EXPECT_EQ(nlohmann::json::parse(refused.out).size(), 10u);
  EXPECT_EQ(Good({"pool", "refused", "photos", "--rule", "too_old", "-o", "json"}).out, "[]\n");
  const Outcome all = Seer({"pool", "refresh", "photos", "--max-age", "90d"});
  EXPECT_EQ(all.code, 1);
  EXPECT_THAT(all.err, HasSubstr("would be left out"));
  WriteFile(dir_ / "more/1.png", MakePng(30, 16, 777));
  const Outcome dry = Good({"pool", "refresh", "photos", dir_ / "more", "--dry-run"});
  EXPECT_THAT(dry.err, HasSubstr("1 added"));
  EXPECT_THAT(dry.err, HasSubstr("dry run"));
  EXPECT_THAT(Good({"pool", "refresh", "photos", dir_ / "more"}).err, HasSubstr("1 added"));
  EXPECT_EQ(Seer({"pool", "refresh", "nowhere"}).code, 1);
  EXPECT_EQ(Seer({"pool", "refresh", "photos", "--max-age", "soon"}).code, 2);
}

TEST_F(PoolCommands, PartsOfAnIngestSayHowManyAreToCome) {
  Good({"pool", "create", "photos"});
  for (const char* part : {"0/4", "5/4", "three"}) {
    const Outcome bad = Seer({"pool", "ingest", "photos", dir_ / "images", "--part", part});
    EXPECT_EQ(bad.code, 2) << part;
    EXPECT_THAT(bad.err, HasSubstr("part"));
    EXPECT_THAT(bad.err, HasSubstr("parts count from 1"));
  }
  // There is one unit, and so one part with something to do.
  const Outcome first = Good({"pool", "ingest", "photos", dir_ / "images", "--part", "1/2"});
  EXPECT_THAT(first.err, HasSubstr("parts that are still to come: 1"));
  EXPECT_THAT(first.out, HasSubstr("the pool is empty"));
  const Outcome last = Good({"pool", "ingest", "photos", dir_ / "images", "--part", "2/2"});
  EXPECT_THAT(last.err, HasSubstr("30 added"));
  EXPECT_THAT(last.err, ::testing::Not(HasSubstr("to come")));
  EXPECT_EQ(nlohmann::json::parse(Good({"pool", "describe", "photos", "-o", "json"}).out)["images"],
            "30");
}

TEST_F(PoolCommands, VerifySaysWhatIsWrongForPeopleAndForScripts) {
  Good({"pool", "create", "photos"});
  Good({"pool", "ingest", "photos", dir_ / "images"});
  const Outcome sound = Good({"pool", "verify", "photos", "-o", "json"});
  EXPECT_EQ(sound.out, "[]\n");
  EXPECT_THAT(sound.err, HasSubstr("all sound"));
  // Bytes with another hash.
  const auto folder = dir_.path() / "pools/photos/shards";
  const auto shard = std::filesystem::directory_iterator(folder)->path();
  std::string bytes = testing::ReadFile(shard);
  const std::string whole = bytes;
  bytes[bytes.size() / 2] ^= 1;
  WriteFile(shard, bytes);
  const Outcome damaged = Seer({"pool", "verify", "photos", "-o", "json"});
  EXPECT_EQ(damaged.code, 1);
  const auto findings = nlohmann::json::parse(damaged.out);
  EXPECT_EQ(findings.back()["kind"], "FINDING_KIND_SHARD_HASH");
  EXPECT_EQ(findings.back()["shard"], shard.filename().string());
  // No shard.
  std::filesystem::remove(shard);
  const Outcome missing = Seer({"pool", "verify", "photos"});
  EXPECT_EQ(missing.code, 1);
  EXPECT_THAT(missing.out, HasSubstr("SHARD_MISSING"));
  EXPECT_THAT(missing.out, HasSubstr(shard.filename().string()));
  WriteFile(shard, whole);
  // A catalogue of which a part cannot be read: neither verify nor stats makes something up.
  const auto generation = dir_.path() / "pools/photos/generations/1";
  for (const auto& entry : std::filesystem::directory_iterator(generation)) {
    if (entry.path().extension() != ".parquet") continue;
    const std::string rows = testing::ReadFile(entry.path());
    WriteFile(entry.path(), rows.substr(0, rows.size() / 2));
    for (const char* verb : {"verify", "stats"}) {
      const Outcome torn = Seer({"pool", verb, "photos"});
      EXPECT_EQ(torn.code, 1) << verb;
      EXPECT_THAT(torn.err, HasSubstr(entry.path().filename().string()));
      EXPECT_THAT(torn.err, HasSubstr("restore the file from a copy of the pool"));
    }
    WriteFile(entry.path(), rows);
  }
  EXPECT_EQ(Good({"pool", "verify", "photos"}).code, 0);
  // A manifest of a program that is newer.
  std::string manifest = testing::ReadFile(generation / "manifest.json");
  const std::string version = "\"schema_version\": 3";
  ASSERT_NE(manifest.find(version), std::string::npos);
  manifest.replace(manifest.find(version), version.size(), "\"schema_version\": 99");
  WriteFile(generation / "manifest.json", manifest);
  const Outcome newer = Seer({"pool", "describe", "photos"});
  EXPECT_EQ(newer.code, 1);
  EXPECT_THAT(newer.err, HasSubstr("format 99"));
  EXPECT_THAT(newer.err, HasSubstr("a newer version of seer wrote it"));
}

}  // namespace
}  // namespace seer::dataservice
