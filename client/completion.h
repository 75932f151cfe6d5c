// Completion scripts for shells, made from the command tree itself. Pure.
#pragma once

#include <string>

namespace CLI {
class App;
}

namespace seer::client {

// `shell`: bash, zsh or fish. Completes nouns, verbs, their flags, the values of -o, and files.
std::string CompletionScript(const std::string& shell, const CLI::App& app);

}  // namespace seer::client
