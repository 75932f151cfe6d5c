// Bad input: each has a clear message and its exit code, and nothing is lost.
#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

#include <fstream>
#include <thread>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "tests/e2e/cluster.h"
#include "tests/support/image_files.h"

namespace seer::e2e {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

class BadInputTest : public ClusterTest {
 protected:
  static void Expect(const std::string& arguments, int code,
                     const std::vector<std::string>& texts) {
    ExpectResult(arguments, cluster().Seer(arguments), code, texts);
  }
  static void ExpectResult(const std::string& what, const Result& result, int code,
                           const std::vector<std::string>& texts) {
    EXPECT_EQ(result.code, code) << what << "\n" << result.out;
    for (const std::string& text : texts)
      EXPECT_TRUE(absl::StrContains(result.out, text)) << what << ": no '" << text << "' in\n"
                                                       << result.out;
  }
  // A job file of these lines below those of the recipe.
  std::string File(const std::string& text) {
    const std::string path = files_ / "job.yaml";
    std::ofstream(path) << text;
    return path;
  }
  testing::TempDir files_;
};

TEST_F(BadInputTest, InSpecs) {
  const std::string submit = "job submit " + Cluster::Recipe();
  Expect(submit + " --set optim.stepz=3", 2, {"did you mean 'steps'"});
  Expect(submit + " --set optim.steps=many", 2, {"optim.steps", "expected a whole number"});
  Expect(submit + " --set optim.steps=-3", 2, {"must be at least 1"});
  Expect(submit + " --set optim.steps", 2, {"--set key.path=value"});
  Expect("job submit /no/such/file.yaml", 2, {"cannot read /no/such/file.yaml"});
  Expect("job submit " + (Source() / "recipes").string(), 2, {"cannot read"});
  EXPECT_EQ(cluster().Json("job list --state queued").size(), 0u) << "nothing was submitted";
}

TEST_F(BadInputTest, InAFileIsNamedWithItsLine) {
  Expect("job submit " + File("metadata: {name: x}\ndata: {pool: digits}\noptim:\n  steps: 5\n"
                              "  warmup_step: 3\n"),
         2, {"job.yaml:5", "warmup_step", "did you mean 'warmupSteps'"});
  Expect("job submit " + File("optim: {steps: 5}\ndata:\n  pool: [never closed\n"), 2,
         {"job.yaml:4", "error:", "hint:"});
  Expect("job submit " + File("extends: recipes/smokee\noptim: {steps: 5}\n"), 2,
         {"smokee", "smoke"});
  Expect("job submit " + File("extends: recipes/smoke\noptim: {steps: five}\n"), 2,
         {"job.yaml:2", "optim.steps", "five"});
  Expect("job submit " + File("- a\n- list\n"), 2, {"job.yaml"});
  Expect("job submit " + File(""), 2, {"error:"});
  Expect("job plan " + File("extends: recipes/smoke\noptim: {steps: 0}\n"), 2, {"optim.steps"});
}

TEST_F(BadInputTest, OfJobsPoolsAndDevices) {
  const std::string submit = "job submit " + Cluster::Recipe();
  Expect(submit + " --set distributed.ranks=8", 6, {"8 ranks", "hint:"});
  Expect(submit + " --set data.pool=nowhere", 1, {"no pool 'nowhere'", "hint:"});
  ASSERT_EQ(cluster().Seer("pool create empty").code, 0);
  Expect(submit + " --set data.pool=empty", 1, {"empty", "seer pool ingest"});
  Expect("pool create digits", 6, {"digits"});
  Expect("pool create 'No Good'", 2, {"No Good"});
  Expect("pool create heic --format heic", 2, {"'heic' is no format", "gif", "bmp", "tiff"});
  Expect("pool describe nowhere", 1, {"nowhere"});
  Expect("pool ingest nowhere " + cluster().root().string(), 1, {"nowhere"});
  Expect("pool ingest digits /no/such/folder", 1, {"no file or folder", "/no/such/folder"});
  fs::create_directories(files_ / "nothing");
  Expect(absl::StrCat("pool ingest digits ", files_ / "nothing"), 1, {"nothing"});
  EXPECT_EQ(cluster().Json("pool describe digits")["generation"], "1") << "as it was";
  Expect("job describe job_00000000", 1, {"seer job list"});
  Expect("job wait job_00000000", 102, {"no job"});
  Expect("job wait job_00000000 --timeout soon", 2, {"90s"});
  Expect("job cancel job_00000000 --yes", 1, {"no job"});
  Expect("checkpoint describe job_00000000/5", 1, {"error:"});
  Expect("eval knn job_00000000 --train-pool digits --test-pool digits", 1, {"no job"});
  Expect("job lisst", 2, {"did you mean 'list'"});
}

TEST_F(BadInputTest, ImagesThatAreNoneAreQuarantinedAndTheRestIsTaken) {
  const fs::path folder = files_.path() / "mixed";
  for (uint32_t i = 0; i < 3; ++i)
    testing::WriteFile(folder / absl::StrCat("good-", i, ".jpg"),
                       testing::MakeJpeg(32, 24, 9000 + i));
  testing::WriteFile(folder / "text.jpg", "this is no image, whatever its name says\n");
  testing::WriteFile(folder / "empty.png", "");
  const std::string whole = testing::MakeJpeg(64, 64, 77);
  testing::WriteFile(folder / "half.jpg", whole.substr(0, whole.size() / 2));
  testing::WriteFile(folder / "bomb.png", testing::MakePngBomb(30000, 30000));
  ASSERT_EQ(cluster().Seer("pool create mixed").code, 0);
  Expect("pool ingest mixed " + folder.string(), 0,
         {"7 images seen, 3 added, 4 quarantined", "seer pool quarantine mixed"});
  const json pool = cluster().Json("pool describe mixed");
  EXPECT_EQ(pool["images"], "3");
  EXPECT_EQ(pool["quarantined"], "4");
  std::map<std::string, json> by_name;
  for (const json& image : cluster().Json("pool quarantine mixed"))
    by_name[fs::path(image["source"].get<std::string>()).filename()] = image;
  ASSERT_EQ(by_name.size(), 4u);
  EXPECT_EQ(by_name["text.jpg"]["reason"], "UNKNOWN_FORMAT");
  EXPECT_EQ(by_name["half.jpg"]["reason"], "IMAGE_TRUNCATED");
  EXPECT_EQ(by_name["bomb.png"]["reason"], "IMAGE_TOO_LARGE");
  EXPECT_TRUE(absl::StrContains(by_name["bomb.png"]["message"].get<std::string>(), "30000"))
      << by_name["bomb.png"];
  Expect("pool quarantine mixed", 0, {"text.jpg", "half.jpg", "bomb.png", "empty.png"});

  // Nothing but bad images: an error, and the pool is as it was.
  for (const char* name : {"good-0.jpg", "good-1.jpg", "good-2.jpg"}) fs::remove(folder / name);
  ASSERT_EQ(cluster().Seer("pool create onlybad").code, 0);
  Expect("pool ingest onlybad " + folder.string(), 1, {"none of 4 images", "hint:"});
  EXPECT_FALSE(cluster().Json("pool describe onlybad").contains("generation"));
}

TEST_F(BadInputTest, TheDoctorFindsWhatIsWrongAndSaysTheFix) {
  Expect("cluster doctor", 0, {"device(s) may be used", "answers"});
  const Result away =
      cluster().Seer("cluster doctor --coordinator 127.0.0.1:1 --dataservice 127.0.0.1:1");
  ExpectResult(
      "doctor", away, 1,
      {"BAD", "127.0.0.1:1 does not answer", "fix: ", "seer cluster up", "no coordinator answers"});
}

// Each verb in a thread of its own: they spend their time in retries.
TEST_F(BadInputTest, WithoutACoordinatorEveryVerbExitsWithFive) {
  const std::string recipe = Cluster::Recipe();
  const std::vector<std::string> verbs = {"job submit " + recipe,
                                          "job list",
                                          "job describe x",
                                          "job events x",
                                          "job logs x",
                                          "job logs -f x",
                                          "job wait x",
                                          "job wait --follow x",
                                          "job pause x",
                                          "job resume x",
                                          "job cancel x --yes",
                                          "submit " + recipe + " --follow",
                                          "ps",
                                          "logs x",
                                          "top",
                                          "checkpoint list",
                                          "checkpoint describe x/1",
                                          "checkpoint verify x/1",
                                          "checkpoint pin x/1",
                                          "checkpoint unpin x/1",
                                          "checkpoint prune x --dry-run",
                                          "checkpoint export x/1 --file weights.safetensors",
                                          "worker list",
                                          "eval knn x --train-pool a --test-pool b",
                                          "pool create x",
                                          "pool ingest x /tmp",
                                          "pool describe x",
                                          "pool quarantine x",
                                          "pool list"};
  std::vector<Result> results(verbs.size());
  std::vector<std::thread> threads;
  for (size_t i = 0; i < verbs.size(); ++i)
    threads.emplace_back([&, i] {
      results[i] =
          cluster().Seer(verbs[i] + " --coordinator 127.0.0.1:1 --dataservice 127.0.0.1:1");
    });
  for (std::thread& thread : threads) thread.join();
  for (size_t i = 0; i < verbs.size(); ++i)
    ExpectResult(verbs[i], results[i], 5,
                 {absl::StartsWith(verbs[i], "pool") ? "cannot reach the data service"
                                                     : "cannot reach the coordinator",
                  "hint:", "seer cluster up"});
}

TEST_F(BadInputTest, ASecondCoordinatorOnTheDatabaseIsRefused) {
  ExpectResult("second coordinator",
               Shell(absl::StrCat("timeout 20 ", (Bin() / "seer-coordinator").string(),
                                  " --listen 127.0.0.1:0 --database ",
                                  (cluster().home() / "coordinator.db").string(), " --storage ",
                                  files_ / "s", " --dataservice 127.0.0.1:1")),
               1, {"another coordinator", "hint:"});
  EXPECT_EQ(cluster().Seer("job list").code, 0) << "the first one goes on";
}

TEST_F(BadInputTest, APortInUseIsNamed) {
  const std::string taken = absl::StrCat("127.0.0.1:", cluster().Port("coordinator"));
  const std::string coordinator =
      absl::StrCat((Bin() / "seer-coordinator").string(), " --database ", files_ / "c.db",
                   " --storage ", files_ / "s", " --dataservice 127.0.0.1:1 ");
  const std::string data =
      absl::StrCat((Bin() / "seer-dataservice").string(), " --pools ", files_ / "p ");
  for (const std::string& command :
       {coordinator + " --listen " + taken, data + " --listen " + taken})
    ExpectResult(command, Shell("timeout 20 " + command), 1, {"in use", taken, "hint:"});
  for (const std::string& command :
       {coordinator + " --listen 127.0.0.1:0 --metrics " + taken,
        data + " --listen 127.0.0.1:0 --metrics " + taken,
        absl::StrCat((Bin() / "seer-worker").string(), " --coordinator ", taken, " --work-dir ",
                     files_ / "w", " --name other --metrics ", taken)})
    ExpectResult(command, Shell("timeout 20 " + command), 1,
                 {"cannot serve metrics on " + taken, "PORT_IN_USE", "hint:"});
}

TEST_F(BadInputTest, ClusterUpSaysWhichPortIsTaken) {
  Cluster own;
  ASSERT_EQ(own.Up("--workers 1").code, 0);
  const int port = own.Port("coordinator");
  ASSERT_EQ(own.Seer("cluster down").code, 0);
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const int on = 1;
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(static_cast<uint16_t>(port));
  ASSERT_EQ(bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof(address)), 0);
  ASSERT_EQ(listen(fd, 1), 0);
  ExpectResult("cluster up", own.Up("--workers 1"), 1,
               {"coordinator did not start", "in use", std::to_string(port)});
  close(fd);
  ExpectResult("cluster up again", own.Up("--workers 1"), 0, {"started coordinator"});
}

TEST_F(BadInputTest, WaitTellsHowAJobEnded) {
  const std::string job = cluster().Submit("--set optim.steps=100000 --name endless");
  const Result late = cluster().Seer("job wait " + job + " --timeout 300ms");
  ExpectResult("wait", late, 101, {"the time is up", "seer job wait " + job});
  ExpectResult("cancel without --yes", cluster().Seer("job cancel " + job), 2, {"--yes"});
  ExpectResult("dry run", cluster().Seer("job cancel --dry-run " + job), 0, {"would cancel"});
  EXPECT_NE(cluster().State(job), "JOB_STATE_CANCELLED");
  ASSERT_EQ(cluster().Seer("job cancel --yes " + job).code, 0);
  EXPECT_EQ(cluster().Wait(job).code, 103);
  EXPECT_EQ(cluster().Seer("job cancel -y " + job).code, 0) << "again: nothing changes";
  ExpectResult("pause", cluster().Seer("job pause " + job), 1, {"CANCELLED"});
  ExpectResult("resume", cluster().Seer("job resume " + job), 1, {"CANCELLED"});
}

// With a learning rate of 1e30 nothing is finite after the first step.
TEST_F(BadInputTest, AJobOfRefusedStepsDoesAsItsPolicySays) {
  const std::string poisoned = "--set optim.lr=1e30 --set failure.refusedStepLimit=4 ";
  const std::string skips = cluster().Submit(poisoned + "--name skips");
  ExpectResult("skip", cluster().Wait(skips), 0, {});
  EXPECT_EQ(cluster().Step(skips), 20);
  const std::string fails =
      cluster().Submit(poisoned + "--set failure.refusedStepPolicy=fail --name refused");
  ExpectResult("fail", cluster().Wait(fails), 100, {"not finite in 4 steps in a row"});
  const std::string events = cluster().Seer("job events " + fails).out;
  EXPECT_TRUE(absl::StrContains(events, "NON_FINITE")) << events;
  EXPECT_EQ(cluster().Describe(fails)["attempt"], 1);
  ExpectResult("logs", cluster().Seer("job logs " + fails), 0, {"step_refused", "images="});
  const std::string rolls = cluster().Submit(
      poisoned +
      "--set failure.refusedStepPolicy=roll_back --set failure.maxRestarts=1 --name rolls");
  ExpectResult("roll back", cluster().Wait(rolls), 100, {"failure.maxRestarts"});
  EXPECT_EQ(cluster().Describe(rolls)["attempt"], 2);
}

TEST_F(BadInputTest, CropsFarLargerThanTheImagesFailTheJobBeforeItsFirstStep) {
  const std::string job =
      cluster().Submit("--set 'augment.crops=[{views: 2, size: 160}]' --name enlarged");
  ExpectResult("wait", cluster().Wait(job), 100, {"160 pixels", "16 pixels", "digits"});
  EXPECT_EQ(cluster().Step(job), 0);
}

TEST_F(BadInputTest, WaitOfAFailedJobSaysWhy) {
  const std::string job =
      cluster().Submit("--set optim.steps=100000 --set failure.maxRestarts=0 --name fails");
  WaitFor([&] { return cluster().Step(job) > 0; });
  const json described = cluster().Describe(job);
  std::string worker = described["ranks"][0]["worker"];
  KillNow(Cluster::TrainerOf(cluster().Pid(worker.substr(worker.find('/') + 1))));
  ExpectResult("wait", cluster().Wait(job), 100, {"error:", "killed by signal 9"});
  ExpectResult("wait again", cluster().Seer("job wait --follow " + job), 100, {"FAILED"});
  ExpectResult("describe", cluster().Seer("job describe " + job), 0, {"FAILED", "signal 9"});
}

}  // namespace
}  // namespace seer::e2e
