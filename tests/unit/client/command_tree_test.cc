// The command tree: help with an example everywhere, usage errors, timeouts; no server runs.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fcntl.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdlib>
#include <fstream>
#include <functional>
#include <nlohmann/json.hpp>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "client/cli.h"
#include "client/commands/job.h"
#include "client/exit_code.h"
#include "tests/support/status_matchers.h"
#include "tests/support/temp_dir.h"

namespace seer::client {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

struct Outcome {
  int code = -1;
  std::string out, err;
};

// As main() would: in this process, with that file of contexts.
Outcome SeerWith(const std::string& config, std::vector<const char*> arguments) {
  setenv("SEER_CONFIG", config.c_str(), 1);
  unsetenv("SEER_COORDINATOR");
  unsetenv("SEER_DATASERVICE");
  arguments.insert(arguments.begin(), "seer");
  ::testing::internal::CaptureStdout();
  ::testing::internal::CaptureStderr();
  Outcome outcome;
  outcome.code = RunCli(static_cast<int>(arguments.size()), arguments.data());
  outcome.out = ::testing::internal::GetCapturedStdout();
  outcome.err = ::testing::internal::GetCapturedStderr();
  unsetenv("SEER_CONFIG");
  return outcome;
}

Outcome Seer(const std::vector<const char*>& arguments) {
  testing::TempDir dir;
  return SeerWith(dir / "config.yaml", arguments);
}

class CommandTree : public ::testing::Test {
 protected:
  CommandTree() { BuildCommandTree(app_, session_); }
  void ForEach(const CLI::App& app, const std::string& path,
               const std::function<void(const CLI::App&, const std::string&)>& visit) {
    for (const CLI::App* command : app.get_subcommands(nullptr)) {
      const std::string here = absl::StrCat(path, " ", command->get_name());
      visit(*command, here);
      ForEach(*command, here, visit);
    }
  }
  Session session_;
  CLI::App app_;
};

TEST_F(CommandTree, HasTheNounsVerbsAndShortcutsOfTheDesign) {
  std::vector<std::string> commands;
  ForEach(app_, "seer",
          [&](const CLI::App&, const std::string& path) { commands.push_back(path); });
  for (const char* path : {"seer job submit",
                           "seer job plan",
                           "seer job list",
                           "seer job describe",
                           "seer job logs",
                           "seer job events",
                           "seer job wait",
                           "seer job pause",
                           "seer job resume",
                           "seer job cancel",
                           "seer job diagnose",
                           "seer job set",
                           "seer job retry",
                           "seer job diff",
                           "seer job export-config",
                           "seer job profile",
                           "seer checkpoint list",
                           "seer checkpoint describe",
                           "seer checkpoint verify",
                           "seer checkpoint pin",
                           "seer checkpoint unpin",
                           "seer checkpoint prune",
                           "seer checkpoint export",
                           "seer pool create",
                           "seer pool ingest",
                           "seer pool describe",
                           "seer pool quarantine",
                           "seer pool list",
                           "seer pool order",
                           "seer pool stats",
                           "seer pool verify",
                           "seer pool sample",
                           "seer pool refresh",
                           "seer pool refused",
                           "seer pool gc",
                           "seer pool takedown",
                           "seer pool takedown-status",
                           "seer worker list",
                           "seer worker describe",
                           "seer worker cordon",
                           "seer worker uncordon",
                           "seer worker drain",
                           "seer worker launch",
                           "seer worker launch kubernetes",
                           "seer worker launch slurm",
                           "seer queue create",
                           "seer queue set",
                           "seer queue list",
                           "seer queue describe",
                           "seer queue delete",
                           "seer sweep create",
                           "seer sweep list",
                           "seer sweep describe",
                           "seer sweep cancel",
                           "seer schedule create",
                           "seer schedule set",
                           "seer schedule list",
                           "seer schedule describe",
                           "seer schedule delete",
                           "seer recipe list",
                           "seer recipe show",
                           "seer cluster doctor",
                           "seer man",
                           "seer auth login",
                           "seer auth logout",
                           "seer auth whoami",
                           "seer auth token create",
                           "seer auth token list",
                           "seer auth token revoke",
                           "seer auth audit",
                           "seer context list",
                           "seer context use",
                           "seer context show",
                           "seer context delete",
                           "seer eval knn",
                           "seer cluster up",
                           "seer cluster down",
                           "seer cluster status",
                           "seer submit",
                           "seer ps",
                           "seer logs",
                           "seer top",
                           "seer api descriptor",
                           "seer api openapi",
                           "seer completion"})
    EXPECT_THAT(commands, ::testing::Contains(path));
}

TEST_F(CommandTree, EveryVerbHasHelpAndAnExampleThatStartsWithItself) {
  int verbs = 0;
  ForEach(app_, "seer", [&](const CLI::App& command, const std::string& path) {
    EXPECT_FALSE(command.get_description().empty()) << path;
    if (!command.get_subcommands(nullptr).empty()) return;  // a noun
    ++verbs;
    const std::string help = command.help();
    EXPECT_THAT(help, HasSubstr("Example")) << path;
    EXPECT_THAT(help, HasSubstr(path)) << "an example of the verb itself";
    EXPECT_THAT(help, HasSubstr("--help")) << path;
    for (const CLI::Option* option : command.get_options())
      EXPECT_FALSE(option->get_description().empty()) << path << " " << option->get_name();
  });
  EXPECT_GE(verbs, 26);
  EXPECT_THAT(app_.help(), HasSubstr("Exit codes: 0 done"));
}

TEST_F(CommandTree, EveryNounHasAnExample) {
  for (const CLI::App* noun : app_.get_subcommands(nullptr))
    EXPECT_THAT(noun->help(), HasSubstr(absl::StrCat("  seer ", noun->get_name())));
}

TEST(Cli, HelpAndVersionGoToStdoutAndExitWithZero) {
  for (const std::vector<const char*>& arguments :
       {std::vector<const char*>{"--help"}, {"job", "--help"}, {"job", "submit", "--help"}}) {
    const Outcome outcome = Seer(arguments);
    EXPECT_EQ(outcome.code, 0);
    EXPECT_THAT(outcome.out, HasSubstr("Usage: seer"));
    EXPECT_EQ(outcome.err, "");
  }
  EXPECT_EQ(Seer({"--version"}).code, 0);
}

TEST(Cli, WrongUsageExitsWithTwoAndNamesWhatWasMeant) {
  const Outcome typo = Seer({"jobs", "list"});
  EXPECT_EQ(typo.code, kExitUsage);
  EXPECT_THAT(typo.err, HasSubstr("did you mean 'job'"));
  EXPECT_EQ(typo.out, "");
  const Outcome verb = Seer({"job", "lsit"});
  EXPECT_EQ(verb.code, kExitUsage);
  EXPECT_THAT(verb.err, HasSubstr("did you mean 'list'"));
  const Outcome strange = Seer({"-o", "json", "frobnicate"});
  EXPECT_EQ(strange.code, kExitUsage);
  EXPECT_THAT(strange.err, HasSubstr("there is no 'seer frobnicate'"));
  EXPECT_THAT(strange.err, HasSubstr("one of job,"));
  EXPECT_THAT(Seer({"pool"}).err, HasSubstr("'seer pool' needs a verb"));
  EXPECT_EQ(Seer({}).code, kExitUsage);
  EXPECT_EQ(Seer({"job"}).code, kExitUsage);
  EXPECT_EQ(Seer({"job", "describe"}).code, kExitUsage);
  EXPECT_EQ(Seer({"job", "list", "--nonsense"}).code, kExitUsage);
  EXPECT_EQ(Seer({"job", "list", "-o", "xml"}).code, kExitUsage);
  EXPECT_EQ(Seer({"cluster", "up", "--workers", "0"}).code, kExitUsage);
  EXPECT_EQ(Seer({"eval", "knn", "x", "--train-pool", "a", "--test-pool", "b", "--k", "-1"}).code,
            kExitUsage);
}

TEST(Cli, WithoutAnAddressItSaysHowToGetOne) {
  for (const std::vector<const char*>& arguments :
       {std::vector<const char*>{"job", "list"}, {"pool", "list"}, {"worker", "list"}}) {
    const Outcome outcome = Seer(arguments);
    EXPECT_EQ(outcome.code, kExitUnreachable);
    EXPECT_THAT(outcome.err, HasSubstr("seer cluster up"));
  }
}

TEST(Cli, DestructiveVerbsOffATerminalNeedYes) {
  testing::TempDir dir;
  const std::string folder = dir / "cluster";
  const Outcome refused = Seer({"cluster", "down", "--purge", "--dir", folder.c_str()});
  EXPECT_EQ(refused.code, kExitUsage);
  EXPECT_THAT(refused.err, HasSubstr("--yes, if that is meant; --dry-run only shows"));
  std::filesystem::create_directories(folder + "/run");
  const Outcome dry = Seer({"cluster", "down", "--purge", "--dry-run", "--dir", folder.c_str()});
  EXPECT_EQ(dry.code, 0);
  EXPECT_THAT(dry.out, HasSubstr("would remove " + folder));
  EXPECT_TRUE(std::filesystem::exists(folder));
  EXPECT_EQ(Seer({"cluster", "down", "--purge", "--yes", "--dir", folder.c_str()}).code, 0);
  EXPECT_FALSE(std::filesystem::exists(folder));
}

TEST(Cli, WhatASweepOrScheduleCannotBeIsSaidBeforeAnythingIsAsked) {
  const std::string recipe = absl::StrCat(std::getenv("SEER_SOURCE_DIR"), "/recipes/smoke.yaml");
  const Outcome dry = Seer({"sweep", "create", recipe.c_str(), "--param", "optim.lr=0.1,0.3",
                            "--param", "loss.swav.prototypes=10,20", "--dry-run"});
  EXPECT_EQ(dry.code, 0) << dry.err;
  EXPECT_THAT(dry.out, HasSubstr("2  loss.swav.prototypes=20 optim.lr=0.1\n"));
  EXPECT_THAT(dry.out, HasSubstr("4  "));
  const auto refused = [&](std::vector<const char*> arguments, const char* piece) {
    arguments.insert(arguments.begin(), {"sweep", "create", recipe.c_str()});
    const Outcome outcome = Seer(arguments);
    EXPECT_EQ(outcome.code, kExitUsage);
    EXPECT_THAT(outcome.err, HasSubstr(piece));
    EXPECT_THAT(outcome.err, HasSubstr("hint: "));
  };
  refused({"--param", "optim.lr"}, "no field before a '='");
  refused({"--param", "optim.lr=0.1..1"}, "left out with a grid");
  refused({"--param", "optim.lr=-1"}, "trial 1 with optim.lr=-1");
  refused({"--param", "optim.rate=1"}, "optim.rate");
  refused({"--param", "optim.lr=1", "--budget", "much"}, "--budget: 'much' is not a duration");
  refused({"--param", "optim.lr=1", "--name", "No Name"}, "sweep.name");
  const Outcome nothing = Seer({"schedule", "set", "nightly"});
  EXPECT_EQ(nothing.code, kExitUsage);
  EXPECT_THAT(nothing.err, HasSubstr("nothing to change"));
  EXPECT_EQ(Seer({"schedule", "create", "nightly", recipe.c_str()}).code, kExitUsage)
      << "without times";
  EXPECT_EQ(Seer({"schedule", "set", "x", "--suspend", "--resume"}).code, kExitUsage);
  const Outcome unset = Seer({"job", "set", "digits", "scheduling.priority"});
  EXPECT_EQ(unset.code, kExitUsage);
  EXPECT_THAT(unset.err, HasSubstr("has no '='"));
}

TEST(Cli, AFileWithSeveralJobsIsShownInTheirOrder) {
  const std::string recipe =
      absl::StrCat(std::getenv("SEER_SOURCE_DIR"), "/recipes/pretrain-then-eval.yaml");
  const Outcome dry = Seer({"job", "submit", recipe.c_str(), "--dry-run"});
  EXPECT_EQ(dry.code, 0) << dry.err;
  const size_t second = dry.out.find("---\n");
  ASSERT_NE(second, std::string::npos);
  EXPECT_LT(dry.out.find("name: pretrain\n"), second);
  EXPECT_GT(dry.out.find("name: pretrain-knn"), second);
  const Outcome from = Seer({"job", "submit", recipe.c_str(), "--from", "job_1/2", "--dry-run"});
  EXPECT_EQ(from.code, kExitUsage);
  EXPECT_THAT(from.err, HasSubstr("--from with 2 jobs"));
  const Outcome same = Seer({"job", "diff", recipe.c_str(), recipe.c_str()});
  EXPECT_EQ(same.code, kExitUsage) << "it has two jobs";
  const std::string smoke = absl::StrCat(std::getenv("SEER_SOURCE_DIR"), "/recipes/smoke.yaml");
  const std::string digits =
      absl::StrCat(std::getenv("SEER_SOURCE_DIR"), "/recipes/digits-200mf.yaml");
  const Outcome diff = Seer({"job", "diff", smoke.c_str(), digits.c_str()});
  EXPECT_EQ(diff.code, 0) << diff.err;
  EXPECT_THAT(diff.out, HasSubstr("optim.steps: 20 -> 420\n"));
  EXPECT_THAT(Seer({"job", "diff", smoke.c_str(), smoke.c_str()}).err,
              HasSubstr("they do not differ"));
}

TEST(Cli, PlanAndDryRunNeedNoCluster) {
  const std::string recipe = absl::StrCat(std::getenv("SEER_SOURCE_DIR"), "/recipes/smoke.yaml");
  const Outcome plan = Seer({"job", "plan", recipe.c_str()});
  EXPECT_EQ(plan.code, 0) << plan.err;
  EXPECT_THAT(plan.out, HasSubstr("Parameters:"));
  const Outcome dry = Seer({"submit", recipe.c_str(), "--dry-run", "--set", "optim.lr=0.25"});
  EXPECT_EQ(dry.code, 0) << dry.err;
  EXPECT_THAT(dry.out, HasSubstr("lr: 0.25"));
  EXPECT_EQ(Seer({"job", "plan", recipe.c_str(), "--set", "optim.lr=fast"}).code, kExitUsage);
}

TEST(Cli, RecipesAreListedAndShown) {
  const std::string dir = absl::StrCat(std::getenv("SEER_SOURCE_DIR"), "/recipes");
  setenv("SEER_RECIPES", dir.c_str(), 1);
  const Outcome list = Seer({"recipe", "list"});
  EXPECT_EQ(list.code, 0) << list.err;
  EXPECT_THAT(list.out,
              HasSubstr("smoke                Twenty steps of a very small trunk: does the "
                        "whole system work? Seconds on two CPU cores.\n"));
  EXPECT_THAT(Seer({"recipe", "list", "-o", "name"}).out, HasSubstr("seer-128gf\n"));
  EXPECT_THAT(Seer({"recipe", "list", "-o", "json"}).out, HasSubstr("\"name\": \"seer-10b\""));
  for (const char* name : {"smoke", "recipes/smoke", "smoke.yaml"})
    EXPECT_THAT(Seer({"recipe", "show", name}).out, HasSubstr("metadata: {name: smoke}\n")) << name;
  const Outcome none = Seer({"recipe", "show", "smokee"});
  EXPECT_EQ(none.code, kExitUsage);
  EXPECT_THAT(none.err, HasSubstr("did you mean 'smoke'?"));
  unsetenv("SEER_RECIPES");
}

// Of a command whose stdout is `file`.
Outcome SeerInto(const char* file, const std::vector<const char*>& arguments) {
  const int before = ::dup(STDOUT_FILENO);
  const int to = ::open(file, O_WRONLY | O_CLOEXEC);
  ::dup2(to, STDOUT_FILENO);
  ::close(to);
  std::vector<const char*> words = arguments;
  words.insert(words.begin(), "seer");
  ::testing::internal::CaptureStderr();
  Outcome outcome;
  outcome.code = RunCli(static_cast<int>(words.size()), words.data());
  outcome.err = ::testing::internal::GetCapturedStderr();
  ::dup2(before, STDOUT_FILENO);
  ::close(before);
  return outcome;
}

TEST(Cli, OutputThatCannotBeWrittenIsAnError) {
  for (const std::vector<const char*>& arguments : {std::vector<const char*>{"completion", "bash"},
                                                    {"api", "openapi"},
                                                    {"recipe", "list"},
                                                    {"job", "describe", "--help"}}) {
    const Outcome full = SeerInto("/dev/full", arguments);
    EXPECT_EQ(full.code, kExitError) << arguments[0];
    EXPECT_THAT(full.err, HasSubstr("error: cannot write the output")) << arguments[0];
    EXPECT_EQ(SeerInto("/dev/null", arguments).code, kExitOk) << arguments[0];
  }
  EXPECT_THAT(SeerInto("/dev/full", {"recipe", "list", "-o", "name"}).err,
              HasSubstr("cannot write the output: No space left on device"));
  EXPECT_EQ(SeerInto("/dev/full", {"job", "lsit"}).code, kExitUsage) << "nothing was printed";
}

TEST(Cli, ArgumentsThatAreNoUtf8AreRefused) {
  const Outcome outcome = Seer({"job", "describe", "\xff"});
  EXPECT_EQ(outcome.code, kExitUsage);
  EXPECT_THAT(outcome.err, HasSubstr("error: argument 3, '\xef\xbf\xbd', is not UTF-8"));
  EXPECT_THAT(outcome.err, Not(HasSubstr("libprotobuf")));
}

TEST(Cli, APortThatWouldWrapIsNoAddress) {
  const Outcome worker = Seer({"--coordinator", "127.0.0.1:100917", "worker", "list"});
  EXPECT_EQ(worker.code, kExitUsage);
  EXPECT_THAT(worker.err, HasSubstr("--coordinator: '127.0.0.1:100917' is not an address"));
  const Outcome pool = Seer({"--dataservice", "127.0.0.1:0", "pool", "list"});
  EXPECT_EQ(pool.code, kExitUsage);
  EXPECT_THAT(pool.err, HasSubstr("ports are 1 to 65535"));
}

TEST(Cli, FlagsOutOfTheirRangeAreNamedInWords) {
  const std::vector<std::pair<std::vector<const char*>, std::string>> cases = {
      {{"job", "logs", "x", "--tail", "x"}, "--tail: 'x' is not a whole number of at least 0"},
      {{"pool", "verify", "x", "--sample", "-1"}, "'-1' is not a whole number of at least 1"},
      {{"auth", "audit", "--limit", "0"}, "--limit: '0' is not a whole number of at least 1"},
      {{"job", "list", "-n", "0"}, "--limit: '0' is not a whole number of at least 1"},
      {{"job", "events", "x", "--after", "-1"},
       "--after: '-1' is not a whole number of at least 0"},
      {{"pool", "create", "x", "--max-age-days", "-1"}, "'-1' is not a whole number of at least 1"},
      {{"job", "list", "-o", "xml"},
       "-o: 'xml' is not one of table, wide, json, jsonl, yaml, name"},
      {{"pool", "order", "x", "--step", "1", "--global-batch", "2", "--interpolation", "cubic"},
       "--interpolation: 'cubic' is not one of bilinear, bicubic"},
      {{"job", "wait", "x", "--timeout", "5x"}, "--timeout: '5x' is not a duration"},
      {{"queue", "create", "x", "--grace", "5x"}, "--grace: '5x' is not a duration"},
      {{"auth", "audit", "--since", "0s"}, "--since: '0s' is not above zero"},
      {{"auth", "token", "create", "x", "--role", "viewer", "--expires", "5x"},
       "--expires: '5x' is not a duration"},
      {{"pool", "refresh", "x", "--max-age", "5x"}, "--max-age: '5x' is not a duration"},
      {{"worker", "launch", "kubernetes", "--count", "1", "--image", "i", "--time", "5x",
        "--dry-run"},
       "--time: '5x' is not a duration"},
      {{"worker", "cordon", "x", "--reason", ""}, "--reason is empty"},
      {{"worker", "drain", "x", "--timeout", "5s"}, "--timeout, but nothing is waited for"},
      {{"job", "set", "x"}, "'seer job set' needs assignments: PATH=VALUE"},
      {{"job", "logs", "x", "-o", "yaml", "--coordinator", "127.0.0.1:1"}, "cannot reach"}};
  for (const auto& [arguments, text] : cases) {
    const Outcome outcome = Seer(arguments);
    EXPECT_NE(outcome.code, kExitOk) << text;
    EXPECT_THAT(outcome.err, HasSubstr(text));
    EXPECT_THAT(outcome.err, Not(HasSubstr("000000000000"))) << text;
  }
}

TEST(Cli, ATimeoutWithoutAWaitIsRefused) {
  const std::string recipe =
      absl::StrCat(std::getenv("SEER_SOURCE_DIR"), "/recipes/digits-200mf.yaml");
  const Outcome outcome = Seer({"job", "submit", recipe.c_str(), "--timeout", "5s"});
  EXPECT_EQ(outcome.code, kExitUsage);
  EXPECT_THAT(outcome.err, HasSubstr("give --wait or --follow with it"));
}

TEST(Cli, DryRunsHonourTheForm) {
  const std::string recipe =
      absl::StrCat(std::getenv("SEER_SOURCE_DIR"), "/recipes/digits-200mf.yaml");
  const auto spec =
      nlohmann::json::parse(Seer({"job", "submit", recipe.c_str(), "--dry-run", "-o", "json"}).out);
  EXPECT_EQ(spec["metadata"]["name"], "digits-200mf");
  const auto trials =
      nlohmann::json::parse(Seer({"sweep", "create", recipe.c_str(), "--name", "rates", "--param",
                                  "optim.lr=0.1,0.3", "--dry-run", "-o", "json"})
                                .out);
  ASSERT_EQ(trials.size(), 2u);
  EXPECT_EQ(trials[1]["values"]["optim.lr"], "0.3");
}

TEST(Cli, StatusOfNoClusterIsAnObjectToo) {
  testing::TempDir dir;
  const Outcome outcome = Seer({"cluster", "status", "--dir", dir.path().c_str(), "-o", "json"});
  EXPECT_EQ(outcome.code, kExitError);
  const auto status = nlohmann::json::parse(outcome.out);
  EXPECT_EQ(status["dir"], dir.path().string());
  EXPECT_TRUE(status["processes"].is_array());
}

TEST(Cli, VerbsNameTheGlobalFlagsAndPlainChoices) {
  const std::string help = Seer({"job", "list", "--help"}).out;
  EXPECT_THAT(help, HasSubstr("Global flags: -o table|wide|json"));
  EXPECT_THAT(help, HasSubstr("--coordinator HOST:PORT"));
  EXPECT_THAT(Seer({"--help"}).out, Not(HasSubstr("->")));
  EXPECT_THAT(Seer({"sweep", "create", "--help"}).out, HasSubstr("The sweep's name"));
  EXPECT_THAT(Seer({"pool", "gc", "--help"}).out, HasSubstr("-y,--yes"));
}

TEST(Cli, ContextsAreListedChosenShownAndDeletedWithoutTheirTokens) {
  testing::TempDir dir;
  const auto seer = [&](const std::vector<const char*>& arguments) {
    const Outcome outcome = SeerWith(dir / "config.yaml", arguments);
    EXPECT_EQ(outcome.out.find("secret"), std::string::npos) << outcome.out;
    return outcome;
  };
  EXPECT_THAT(seer({"context", "list"}).err, HasSubstr("seer cluster up"));
  EXPECT_EQ(seer({"context", "show"}).code, kExitUsage);
  std::ofstream(dir / "config.yaml")
      << "current: lab\ncontexts:\n  lab: {coordinator: 'lab:1', dataservice: ['lab:2'], token: "
         "secret, tls_ca: /ca.pem}\n  far: {coordinator: 'far:1', dataservice: []}\n";
  EXPECT_EQ(seer({"context", "list"}).out,
            "  NAME  COORDINATOR  TOKEN  DATASERVICE\n* lab   lab:1        yes    lab:2\n"
            "  far   far:1        no     \n");
  EXPECT_THAT(seer({"--context", "far", "context", "list"}).out, HasSubstr("* far"));
  EXPECT_EQ(seer({"context", "list", "-o", "name"}).out, "lab\nfar\n");
  EXPECT_THAT(seer({"context", "list", "-o", "json"}).out, HasSubstr("\"hasToken\": true"));
  EXPECT_THAT(seer({"context", "show"}).out, HasSubstr("/ca.pem"));
  EXPECT_THAT(seer({"context", "show", "far", "-o", "jsonl"}).out,
              HasSubstr("{\"name\":\"far\",\"current\":false,"));
  const Outcome unknown = seer({"context", "use", "fat"});
  EXPECT_EQ(unknown.code, kExitUsage);
  EXPECT_THAT(unknown.err, HasSubstr("did you mean 'far'?"));
  EXPECT_EQ(seer({"context", "use", "far"}).code, 0);
  EXPECT_EQ(seer({"context", "show", "-o", "name"}).out, "far\n");
  EXPECT_THAT(seer({"job", "list", "--context", "nowhere"}).err, HasSubstr("no context 'nowhere'"));
  EXPECT_THAT(seer({"context", "delete", "far"}).err, HasSubstr("--yes"));
  EXPECT_THAT(seer({"context", "delete", "far", "--yes"}).err, HasSubstr("no context is current"));
  EXPECT_EQ(seer({"context", "list", "-o", "name"}).out, "lab\n");
  EXPECT_EQ(seer({"auth", "logout", "--context", "lab"}).code, 0);
  EXPECT_THAT(seer({"context", "list", "-o", "json"}).out, HasSubstr("\"hasToken\": false"));
  const Outcome local = seer({"auth", "login", "--coordinator", "head:7070", "--context", "local"});
  EXPECT_EQ(local.code, kExitUsage);
  EXPECT_THAT(local.err, HasSubstr("choose another name"));
}

TEST(Timeout, IsADurationOfAtLeastZero) {
  EXPECT_EQ(*ReadTimeout(""), absl::InfiniteDuration());
  EXPECT_EQ(*ReadTimeout("90s"), absl::Seconds(90));
  EXPECT_EQ(*ReadTimeout("1h30m"), absl::Minutes(90));
  EXPECT_EQ(*ReadTimeout("1.5s"), absl::Milliseconds(1500));
  EXPECT_EQ(*ReadTimeout("0"), absl::ZeroDuration());
  EXPECT_EQ(*ReadTimeout("1d"), absl::Hours(24));
  EXPECT_THAT(ReadTimeout("-5s"),
              testing::FailsWith(absl::StatusCode::kInvalidArgument, reason::kOutOfRange, "-5s"));
  EXPECT_EQ(*ReadTimeout("inf"), absl::InfiniteDuration());
  for (const char* text : {"90", "soon", "5 m", "s"}) {
    const auto timeout = ReadTimeout(text);
    EXPECT_THAT(timeout,
                testing::FailsWith(absl::StatusCode::kInvalidArgument, reason::kWrongType, text));
  }
}

}  // namespace
}  // namespace seer::client
