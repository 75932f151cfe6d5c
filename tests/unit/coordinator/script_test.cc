// Every file of scenarios/ is a script with the answers that are expected. After a change that is
// meant, SEER_REGENERATE=1 writes them anew: review the diff.
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "tests/unit/coordinator/script.h"

namespace seer::testing {
namespace {

std::vector<std::string> Scenarios() {
  const char* root = std::getenv("SEER_SOURCE_DIR");
  std::vector<std::string> paths;
  for (const auto& entry : std::filesystem::directory_iterator(
           std::string(root == nullptr ? "." : root) + "/tests/unit/coordinator/scenarios")) {
    paths.push_back(entry.path());
  }
  std::sort(paths.begin(), paths.end());
  return paths;
}

std::string ReadFile(const std::string& path) {
  std::ostringstream text;
  text << std::ifstream(path).rdbuf();
  return text.str();
}

TEST(CoordinatorScript, AllScenariosAnswerAsWritten) {
  const std::vector<std::string> paths = Scenarios();
  ASSERT_GE(paths.size(), 8u);
  for (const std::string& path : paths) {
    SCOPED_TRACE(path);
    const std::string expected = ReadFile(path), actual = Script().Run(expected);
    if (std::getenv("SEER_REGENERATE") != nullptr) {
      std::ofstream(path) << actual;
    } else {
      EXPECT_EQ(actual, expected);
    }
    EXPECT_EQ(Script().Run(expected), actual) << "not the same twice";
  }
}

}  // namespace
}  // namespace seer::testing
