#include "client/completion_values.h"

#include <CLI/CLI.hpp>
#include <map>
#include <set>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_split.h"

namespace seer::client {
namespace {

// By the name of an option or argument, which means the same wherever it is taken.
const std::map<std::string, std::string> kWords = {
    {"output", "table wide json jsonl yaml name"},
    {"state", "queued starting running pausing paused restarting succeeded failed cancelled"},
    {"role", "viewer submitter operator admin worker"},
    {"names", "torchvision timm huggingface vissl swav"},
    {"sampling", "epochs replacement sequential"},
    {"interpolation", "bilinear bicubic"},
    {"overlap", "skip allow replace"},
    {"shell", "bash zsh fish"}};
const std::map<std::string, std::string> kKinds = {{"job", "job"},
                                                   {"pool", "pool"},
                                                   {"train-pool", "pool"},
                                                   {"test-pool", "pool"},
                                                   {"queue", "queue"},
                                                   {"recipe", "recipe"},
                                                   {"context", "context"},
                                                   {"a", "job"},
                                                   {"checkpoint", "checkpoint"},
                                                   {"b", "job"}};
const std::set<std::string> kFiles = {"file",       "sources",  "ids",     "dir",     "weights",
                                      "tls-ca",     "tls-cert", "tls-key", "sheet",   "calibration",
                                      "kubeconfig", "worker",   "sbatch",  "log-dir", "token-file"};

}  // namespace

CompletionValue ValueOf(const std::string& path, const CLI::Option& option) {
  const bool argument = option.get_positional();
  const std::string name = argument                      ? option.get_name(true)
                           : option.get_lnames().empty() ? ""
                                                         : option.get_lnames().front();
  const std::vector<std::string> commands = absl::StrSplit(path, ' ');
  if (const auto it = kWords.find(name); it != kWords.end()) return {it->second, ""};
  if (argument && name == "name") {
    if (commands.back() == "create") return {"", "none"};
    return {"", commands.size() > 1 ? commands[commands.size() - 2] : "none"};
  }
  // That of Kueue is no queue of ours.
  if (absl::StartsWith(path, "worker launch") && name == "queue") return {"", "none"};
  if (const auto it = kKinds.find(name); it != kKinds.end()) return {"", it->second};
  return {"", kFiles.count(name) > 0 ? "file" : "none"};
}

}  // namespace seer::client
