// Flags whose value is one of a few words: the help lists the words, and so does the error.
#pragma once

#include <CLI/CLI.hpp>
#include <functional>
#include <string>
#include <utility>
#include <vector>

namespace seer {

// The flag, or positional argument, `name` takes one of `words`; `take` gets the word's place among
// them.
CLI::Option* AddChoice(CLI::App& app, const std::string& name,
                       const std::vector<std::string>& words,
                       const std::function<void(size_t)>& take, const std::string& help);

// The same; `out` becomes what the word stands for. `out` outlives `app`.
template <typename T>
CLI::Option* AddChoice(CLI::App& app, const std::string& name, T& out,
                       const std::vector<std::pair<std::string, T>>& choices,
                       const std::string& help) {
  std::vector<std::string> words;
  for (const auto& [word, value] : choices) words.push_back(word);
  return AddChoice(
      app, name, words, [&out, choices](size_t i) { out = choices[i].second; }, help);
}

// The same; `out` becomes the word itself.
CLI::Option* AddWord(CLI::App& app, const std::string& name, std::string& out,
                     const std::vector<std::string>& words, const std::string& help);

}  // namespace seer
