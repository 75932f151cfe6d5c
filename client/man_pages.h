// Manual pages, made from the command tree itself. Pure.
#pragma once

#include <string>
#include <utility>
#include <vector>

namespace CLI {
class App;
}

namespace seer::client {

// One page for `seer` and one for each noun and verb: {"seer-job-submit.1", its roff text}.
std::vector<std::pair<std::string, std::string>> ManPages(const CLI::App& app);

}  // namespace seer::client
