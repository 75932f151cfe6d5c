// The completion scripts are read by the shells themselves, where they are installed.
#include "client/completion.h"

#include <gtest/gtest.h>

#include <CLI/CLI.hpp>
#include <array>
#include <cstdio>
#include <filesystem>
#include <fstream>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "client/cli.h"
#include "tests/support/temp_dir.h"

namespace seer::client {
namespace {

std::string Shell(const std::string& command, int* code = nullptr) {
  FILE* pipe = popen(absl::StrCat(command, " 2>&1").c_str(), "r");
  std::string out;
  std::array<char, 4096> buffer;
  for (size_t got; (got = fread(buffer.data(), 1, buffer.size(), pipe)) > 0;)
    out.append(buffer.data(), got);
  const int status = pclose(pipe);
  if (code != nullptr) *code = status;
  return out;
}

class CompletionTest : public ::testing::Test {
 protected:
  CompletionTest() { BuildCommandTree(app_, session_); }
  std::string Script(const std::string& shell) {
    const std::string path = dir_ / ("seer." + shell);
    std::ofstream(path) << CompletionScript(shell, app_);
    return path;
  }
  // What bash would offer for the words, of which the last one is being written.
  std::vector<std::string> Bash(const std::vector<std::string>& words) {
    std::string list;
    for (const std::string& word : words) absl::StrAppend(&list, " '", word, "'");
    const std::string out =
        Shell(absl::StrCat("bash -c 'source ", Script("bash"), "; COMP_WORDS=(", dir_ / "seer",
                           absl::StrReplaceAll(list, {{"'", "\""}}), "); COMP_CWORD=", words.size(),
                           "; _seer; printf \"%s\\n\" \"${COMPREPLY[@]}\"'"));
    return absl::StrSplit(out, '\n', absl::SkipEmpty());
  }
  Session session_;
  CLI::App app_;
  testing::TempDir dir_;
};

TEST_F(CompletionTest, ShellsAcceptTheirScripts) {
  int tried = 0;
  for (const std::string shell : {"bash", "zsh", "fish"}) {
    const std::string path = Script(shell);
    if (Shell(absl::StrCat("command -v ", shell)).empty()) continue;
    int code = 0;
    EXPECT_EQ(Shell(absl::StrCat(shell, " -n ", path), &code), "") << shell;
    EXPECT_EQ(code, 0) << shell;
    ++tried;
  }
  EXPECT_GE(tried, 1) << "bash at least is there";
}

TEST_F(CompletionTest, BashOffersNounsVerbsAndFlags) {
  using Words = std::vector<std::string>;
  EXPECT_EQ(Bash({"clu"}), Words{"cluster"});
  EXPECT_EQ(Bash({"job", "ca"}), Words{"cancel"});
  EXPECT_EQ(Bash({"cluster", ""}), (Words{"up", "down", "status", "doctor"}));
  EXPECT_EQ(Bash({"job", "submit", "--fo"}), Words{"--follow"});
  EXPECT_EQ(Bash({"submit", "x.yaml", "--dry"}), Words{"--dry-run"});
  EXPECT_EQ(Bash({"job", "cancel", "--y"}), Words{"--yes"});
  EXPECT_EQ(Bash({"pool", "create", "--if"}), Words{"--if-absent"});
  EXPECT_EQ(Bash({"job", "list", "-o", "js"}), (Words{"json", "jsonl"}));
  EXPECT_EQ(Bash({"job", "list", "--coord"}), Words{"--coordinator"});
  EXPECT_EQ(Bash({"-o", "json", "job", "li"}), Words{"list"});
  EXPECT_EQ(Bash({"completion", "z"}), Words{"zsh"});
}

TEST_F(CompletionTest, BashOffersFilesWhereAVerbTakesThem) {
  std::ofstream(dir_ / "a job.yaml") << "x";
  const auto offered = Bash({"job", "submit", dir_ / "a"});
  EXPECT_EQ(offered, std::vector<std::string>{dir_ / "a job.yaml"});
}

TEST_F(CompletionTest, BashOffersWhatAnOptionTakes) {
  using Words = std::vector<std::string>;
  EXPECT_EQ(Bash({"job", "list", "--state", "ru"}), Words{"running"});
  EXPECT_EQ(Bash({"job", "list", "--state", "=", "ru"}), Words{"running"});
  EXPECT_EQ(Bash({"ps", "--state", "=", "q"}), Words{"queued"});
  EXPECT_EQ(Bash({"ps", "--state", "="}).size(), 9u);
  EXPECT_EQ(Bash({"auth", "token", "create", "ci", "--role", "s"}), Words{"submitter"});
  EXPECT_EQ(Bash({"checkpoint", "export", "j/1", "--names", "t"}), (Words{"torchvision", "timm"}));
  EXPECT_EQ(Bash({"job", "list", "--limit", ""}), Words{}) << "a number is no file";
  EXPECT_EQ(Bash({"pool", "create", ""}), Words{}) << "a new name is no file";
}

TEST_F(CompletionTest, BashOffersNamesThatTheProgramLists) {
  using Words = std::vector<std::string>;
  const std::string program = dir_ / "seer";
  std::ofstream(program) << "#!/bin/bash\ncase \"$*\" in\n"
                            "  'job list -o name') echo jobs/job_1; echo jobs/job_2 ;;\n"
                            "  '--context lab pool list -o name') echo pools/photos ;;\n"
                            "  'auth token list -o name') [[ $1 == auth ]] && echo tokens/ci ;;\n"
                            "  '--coordinator head:7070 worker list -o name') echo workers/w0 ;;\n"
                            "  'queue list -o name') echo 'queues/$(touch pwned)'; echo "
                            "queues/default ;;\n"
                            "  'checkpoint list -o name') echo jobs/job_1/checkpoints/20 ;;\n"
                            "  'context list -o name') echo lab ;;\n"
                            "  *) echo an error >&2; exit 5 ;;\nesac\n";
  std::filesystem::permissions(program, std::filesystem::perms::owner_all);
  EXPECT_EQ(Bash({"job", "describe", ""}), (Words{"job_1", "job_2"}));
  EXPECT_EQ(Bash({"job", "logs", "-f", "--tail", "3", "job_2"}), Words{"job_2"});
  EXPECT_EQ(Bash({"--context", "lab", "pool", "stats", "p"}), Words{"photos"});
  EXPECT_EQ(Bash({"eval", "knn", "j", "--train-pool", "p"}), Words{}) << "of another context";
  EXPECT_EQ(Bash({"auth", "token", "revoke", ""}), Words{"ci"});
  EXPECT_EQ(Bash({"checkpoint", "pin", "j"}), Words{"jobs/job_1/checkpoints/20"});
  EXPECT_EQ(Bash({"context", "use", ""}), Words{"lab"});
  EXPECT_EQ(Bash({"--context", "l"}), Words{"lab"});
  EXPECT_EQ(Bash({"--coordinator", "head", ":", "7070", "worker", "describe", ""}), Words{"w0"});
  EXPECT_EQ(Bash({"worker", "describe", "--coordinator", "head", ":", "7070", ""}), Words{"w0"});
  EXPECT_EQ(Bash({"worker", "describe", ""}), Words{}) << "what fails is silent";
  EXPECT_EQ(Bash({"queue", "describe", ""}), Words{"default"}) << "names are not run";
  EXPECT_FALSE(std::filesystem::exists("pwned"));
  EXPECT_EQ(Bash({"job", "describe", "job_1", ""}), Words{}) << "it takes one";
}

TEST_F(CompletionTest, EveryCommandAndFlagIsInTheFishScript) {
  const std::string script = CompletionScript("fish", app_);
  for (const CLI::App* noun : app_.get_subcommands(nullptr)) {
    EXPECT_TRUE(absl::StrContains(script, absl::StrCat(" -a ", noun->get_name(), " ")));
    for (const CLI::App* verb : noun->get_subcommands(nullptr)) {
      EXPECT_TRUE(absl::StrContains(script, absl::StrCat(" -a ", verb->get_name(), " ")));
      for (const CLI::Option* option : verb->get_options())
        for (const std::string& name : option->get_lnames())
          EXPECT_TRUE(absl::StrContains(script, absl::StrCat(" -l ", name))) << name;
    }
  }
}

TEST_F(CompletionTest, ZshLoadsBashsFunction) {
  EXPECT_TRUE(absl::StartsWith(CompletionScript("zsh", app_), "autoload -U +X bashcompinit"));
}

}  // namespace
}  // namespace seer::client
