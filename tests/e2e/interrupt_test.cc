// Ctrl-C at every stage: the exit code says so, a hint says how to come back, nothing is lost.
#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <memory>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "tests/e2e/cluster.h"
#include "tests/e2e/terminal.h"
#include "tests/support/image_files.h"

namespace seer::e2e {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr int kInterrupted = 3;

// `seer WORDS...` on a terminal.
std::unique_ptr<Terminal> Start(const Cluster& cluster, std::vector<std::string> words) {
  words.insert(words.begin(), (Bin() / "seer").string());
  return std::make_unique<Terminal>(words, cluster.environment());
}

class InterruptTest : public ClusterTest {
 protected:
  static std::unique_ptr<Terminal> Seer(std::vector<std::string> words) {
    return Start(cluster(), std::move(words));
  }
  static void ExpectInterrupted(Terminal& terminal, const std::string& hint) {
    terminal.CtrlC();
    EXPECT_EQ(terminal.Wait(), kInterrupted) << terminal.text();
    EXPECT_TRUE(absl::StrContains(terminal.text(), hint)) << terminal.text();
  }
  static size_t JobsNamed(const std::string& name) {
    size_t count = 0;
    for (const json& job : cluster().Json("job list"))
      count += job["spec"]["metadata"]["name"] == name ? 1 : 0;
    return count;
  }
};

// The server stands still, so that no reply comes until it goes on.
class Stopped {
 public:
  explicit Stopped(int pid) : pid_(pid) { ::kill(pid_, SIGSTOP); }
  ~Stopped() { ::kill(pid_, SIGCONT); }

 private:
  const int pid_;
};

TEST_F(InterruptTest, SubmitBeforeTheReply) {
  {
    const Stopped stopped(cluster().Pid("coordinator"));
    const auto submit = Seer({"job", "submit", Cluster::Recipe(), "--name", "unanswered"});
    WaitFor([&] { return ConnectedTo(submit->pid(), cluster().Port("coordinator")); });
    ExpectInterrupted(*submit, "seer job list");
  }
  // It came through once or not at all; nobody knows, so the same line again says which.
  const Result again =
      cluster().Seer("job submit " + Cluster::Recipe() + " --name unanswered --wait");
  EXPECT_TRUE(again.code == 0 || absl::StrContains(again.out, "unanswered")) << again.out;
  EXPECT_LE(JobsNamed("unanswered"), 2u);
  for (const json& job : cluster().Json("job list"))
    if (job["spec"]["metadata"]["name"] == "unanswered") {
      EXPECT_EQ(cluster().Wait(job["name"].get<std::string>().substr(5)).code, 0);
    }
}

TEST_F(InterruptTest, FollowingWaitingAndReadingLogsDetachAndTheJobGoesOn) {
  const auto submit = Seer({"submit", Cluster::Recipe(), "--name", "endless", "--set",
                            "optim.steps=1000000", "--set", "distributed.ranks=4", "--follow"});
  ASSERT_TRUE(submit->Expect("step ")) << submit->text();
  const std::string job = submit->text().substr(submit->text().find("job_"), 12);
  ExpectInterrupted(*submit, "seer job wait --follow " + job);

  const auto follow = Seer({"job", "wait", "--follow", "endless"});
  ASSERT_TRUE(follow->Expect("step ")) << follow->text();
  ExpectInterrupted(*follow, "seer job wait --follow " + job);

  const auto wait = Seer({"job", "wait", job});
  WaitFor([&] { return ConnectedTo(wait->pid(), cluster().Port("coordinator")); });
  ExpectInterrupted(*wait, "");

  const auto logs = Seer({"job", "logs", "-f", job});
  ASSERT_TRUE(logs->Expect("/0 ")) << logs->text();  // ATTEMPT/RANK of the first line
  ExpectInterrupted(*logs, "seer job logs -f " + job);

  const auto top = Seer({"top"});
  ASSERT_TRUE(top->Expect(job)) << top->text();
  top->CtrlC();
  EXPECT_EQ(top->Wait(), 0) << top->text();

  // An evaluation waits behind it, for there is no device left.
  const auto knn =
      Seer({"eval", "knn", job, "--random", "--train-pool", "digits", "--test-pool", "digits"});
  json queued;
  WaitFor([&] { return (queued = cluster().Json("job list --state queued")).size() == 1; });
  ExpectInterrupted(*knn, "seer job wait");
  const std::string evaluation = queued[0]["name"].get<std::string>().substr(5);

  const auto refused = Seer({"job", "cancel", job});
  ASSERT_TRUE(refused->Expect("[y/N]")) << refused->text();
  ExpectInterrupted(*refused, "nothing was changed");
  const int64_t step = cluster().Step(job);
  WaitFor([&] { return cluster().Step(job) > step; });
  EXPECT_EQ(cluster().Describe(job).value("attempt", 0), 1) << "none of all that disturbed it";

  const auto cancel = Seer({"job", "cancel", job});
  ASSERT_TRUE(cancel->Expect("[y/N]")) << cancel->text();
  cancel->Type("y\n");
  EXPECT_EQ(cancel->Wait(), 0) << cancel->text();
  EXPECT_EQ(cluster().Wait(job).code, 103);
  EXPECT_EQ(cluster().Wait(evaluation).code, 0) << cluster().Seer("job events " + evaluation).out;
}

TEST_F(InterruptTest, OffATerminalASignalDoesTheSame) {
  const std::string job = cluster().Submit("--set optim.steps=1000000 --name piped");
  const fs::path notes = cluster().root() / "notes";
  const pid_t pid = fork();
  if (pid == 0) {
    for (const auto& [name, value] : cluster().environment())
      setenv(name.c_str(), value.c_str(), 1);
    dup2(open(notes.c_str(), O_WRONLY | O_CREAT, 0644), STDERR_FILENO);
    execl((Bin() / "seer").c_str(), "seer", "job", "wait", "--follow", job.c_str(), nullptr);
    _exit(127);
  }
  WaitFor([&] { return absl::StrContains(ReadAll(notes), job); });
  kill(pid, SIGINT);
  int status = 0;
  waitpid(pid, &status, 0);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == kInterrupted) << status;
  EXPECT_TRUE(absl::StrContains(ReadAll(notes), "detached; the job goes on")) << ReadAll(notes);
  ASSERT_EQ(cluster().Seer("job cancel --yes " + job).code, 0);
}

TEST_F(InterruptTest, IngestLeavesThePoolWholeAndTheSameCommandCompletesIt) {
  constexpr int kImages = 2048;  // four blocks, each with a line of progress
  const fs::path folder = cluster().root() / "many";
  testing::WriteLabelledFolder(folder, 1, kImages, 16);
  ASSERT_EQ(cluster().Seer("pool create many").code, 0);
  const auto images = [] {
    const json pool = cluster().Json("pool describe many");
    EXPECT_TRUE(pool.is_object());
    return std::stoi(pool.value("images", "0"));
  };
  {
    const Stopped first(cluster().Pid("dataservice-0")), second(cluster().Pid("dataservice-1"));
    const auto ingest = Seer({"pool", "ingest", "many", folder.string()});
    WaitFor([&] {
      return ConnectedTo(ingest->pid(), cluster().Port("dataservice-0")) ||
             ConnectedTo(ingest->pid(), cluster().Port("dataservice-1"));
    });
    ExpectInterrupted(*ingest, "the same command again");
  }
  EXPECT_EQ(images(), 0);
  const auto ingest = Seer({"pool", "ingest", "many", folder.string()});
  ASSERT_TRUE(ingest->Expect("images  ")) << ingest->text();
  ExpectInterrupted(*ingest, "seer pool describe many");
  EXPECT_TRUE(images() == 0 || images() == kImages) << images();
  const Result again = cluster().Seer("pool ingest many " + folder.string());
  EXPECT_EQ(again.code, 0) << again.out;
  EXPECT_EQ(images(), kImages);
}

class ClusterUpTest : public ::testing::Test {
 protected:
  // Ctrl-C once `seer cluster up OPTIONS` has said `cue`.
  void InterruptAfter(const std::string& cue, const std::string& workers) {
    const auto up = Start(own_, {"cluster", "up", "--workers", workers});
    ASSERT_TRUE(up->Expect(cue)) << up->text();
    up->CtrlC();
    EXPECT_EQ(up->Wait(), kInterrupted) << up->text();
    EXPECT_TRUE(absl::StrContains(up->text(), "seer cluster up")) << up->text();
  }
  size_t Processes() const { return ProcessesWith(own_.home().string()).size(); }
  Cluster own_;
};

TEST_F(ClusterUpTest, AnInterruptLeavesNothingHalfStarted) {
  for (const char* cue : {"started dataservice-0", "started coordinator", "started worker-0"}) {
    SCOPED_TRACE(cue);
    InterruptAfter(cue, "32");
    EXPECT_EQ(Processes(), 0u);
    EXPECT_EQ(own_.Seer("cluster status").code, 1);
  }
  const Result up = own_.Up("--workers 1");
  ASSERT_EQ(up.code, 0) << up.out;
  EXPECT_EQ(own_.Seer("cluster status").code, 0);
  EXPECT_EQ(Processes(), 3u);
  // What ran before goes on.
  const int coordinator = own_.Pid("coordinator"), worker = own_.Pid("worker-0");
  InterruptAfter("started worker-1", "32");
  EXPECT_EQ(own_.Seer("cluster status").code, 0);
  EXPECT_EQ(own_.Pid("coordinator"), coordinator);
  EXPECT_EQ(own_.Pid("worker-0"), worker);
  EXPECT_EQ(Processes(), 3u);
}

TEST_F(ClusterUpTest, ServersInTheForegroundEndWithCtrlC) {
  const std::string root = own_.root().string();
  Terminal coordinator({(Bin() / "seer-coordinator").string(), "--listen", "127.0.0.1:0",
                        "--database", root + "/c.db", "--storage", root + "/s", "--port-file",
                        root + "/c.ports", "--dataservice", "127.0.0.1:1"},
                       {});
  ASSERT_TRUE(coordinator.Expect("serving")) << coordinator.text();
  Terminal data(
      {(Bin() / "seer-dataservice").string(), "--listen", "127.0.0.1:0", "--pools", root + "/p"},
      {});
  ASSERT_TRUE(data.Expect("serving")) << data.text();
  const std::string port = std::to_string(std::stoi(ReadAll(root + "/c.ports")));
  Terminal worker({(Bin() / "seer-worker").string(), "--coordinator", "127.0.0.1:" + port, "--name",
                   "w", "--work-dir", root + "/w", "--port-file", root + "/w.ports"},
                  {});
  WaitFor([&] { return fs::exists(root + "/w.ports"); });
  for (Terminal* server : {&worker, &data, &coordinator}) {
    server->CtrlC();
    EXPECT_EQ(server->Wait(), 0) << server->text();
  }
}

}  // namespace
}  // namespace seer::e2e
