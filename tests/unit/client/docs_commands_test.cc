// Every `seer ...` line of README and docs names commands and options that there are.
#include <gtest/gtest.h>

#include <CLI/CLI.hpp>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "client/cli.h"

namespace seer::client {
namespace {

namespace fs = std::filesystem;

// What begins a command line, after variables and `$`: "seer job list | head" -> its words.
std::vector<std::string> WordsOf(absl::string_view line) {
  std::vector<std::string> words;
  char quote = 0;
  bool open = false;
  for (const char c : line) {
    if (quote != 0) {
      if (c == quote)
        quote = 0;
      else
        words.back() += c;
    } else if (c == '\'' || c == '"') {
      quote = c;
      if (!open) words.emplace_back();
      open = true;
    } else if (c == ' ' || c == '\t') {
      open = false;
    } else if (!open && (c == '#' || c == '|' || c == '>' || c == '&' || c == ';')) {
      break;
    } else if (c == ';' || c == ')' || c == '`') {
      break;
    } else {
      if (!open) words.emplace_back();
      open = true;
      words.back() += c;
    }
  }
  return words;
}

// Says what is wrong with it; empty: nothing.
std::string Check(const CLI::App& root, const std::vector<std::string>& words) {
  const CLI::App* at = &root;
  for (size_t i = 1; i < words.size(); ++i) {
    const std::string& word = words[i];
    if (word == "..." || word == "\\") continue;
    if (absl::StartsWith(word, "-") && word.size() > 1) {
      const std::string name = word.substr(0, word.find('='));
      const CLI::Option* option = nullptr;
      for (const CLI::App* app = at; app != nullptr && option == nullptr; app = app->get_parent())
        option = app->get_option_no_throw(name);
      if (option == nullptr) return absl::StrCat("no option ", name);
      if (option->get_items_expected_max() > 0 && word.find('=') == std::string::npos) ++i;
      continue;
    }
    const std::vector<const CLI::App*> commands = at->get_subcommands(nullptr);
    if (commands.empty()) continue;  // an argument
    const CLI::App* next = nullptr;
    for (const CLI::App* command : commands)
      if (command->get_name() == word) next = command;
    if (next == nullptr) return absl::StrCat("no command ", word);
    at = next;
  }
  return "";
}

TEST(Docs, EveryCommandLineIsOneThatThereIs) {
  Session session;
  CLI::App app;
  BuildCommandTree(app, session);
  const fs::path source = std::getenv("SEER_SOURCE_DIR");
  std::vector<fs::path> pages = {source / "README.md"};
  for (const auto& entry : fs::directory_iterator(source / "docs"))
    if (entry.path().extension() == ".md") pages.push_back(entry.path());
  int checked = 0;
  for (const fs::path& page : pages) {
    std::ifstream file(page);
    std::string line;
    for (int number = 1; std::getline(file, line); ++number) {
      // In blocks and in running text: whatever stands behind "seer " where a command may begin.
      for (size_t at = 0; (at = line.find("seer ", at)) != std::string::npos; ++at) {
        const bool begins =
            at == 0 || absl::StrContains("`($", std::string(1, line[at - 1])) ||
            (at >= 2 && (line.compare(at - 2, 2, "  ") == 0 || line.compare(at - 2, 2, "& ") == 0));
        if (!begins) continue;
        const std::vector<std::string> words = WordsOf(absl::string_view(line).substr(at));
        if (words.size() < 2 || words[1] == "NOUN") continue;
        if (static_cast<unsigned char>(words[1][0]) >= 0x80) continue;  // an arrow of a drawing
        EXPECT_EQ(Check(app, words), "")
            << page.filename().string() << ":" << number << ": " << line;
        ++checked;
      }
    }
  }
  EXPECT_GT(checked, 80);
}

}  // namespace
}  // namespace seer::client
