// Completion scripts for shells, made from the command tree itself. Pure.
#pragma once

#include <string>

namespace CLI {
class App;
}

namespace seer::client {

// `shell`: bash, zsh or fish. Completes nouns, verbs, their flags, values
// of enumerations, names by `seer KIND list -o name`, which has a second, and files.
std::string CompletionScript(const std::string& shell, const CLI::App& app);

}  // namespace seer::client
