#include "common/flags/choice.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"

namespace seer {

CLI::Option* AddChoice(CLI::App& app, const std::string& name,
                       const std::vector<std::string>& words,
                       const std::function<void(size_t)>& take, const std::string& help) {
  const std::string flag = name.substr(0, name.find(','));
  return app
      .add_option_function<std::string>(
          name,
          [flag, words, take](const std::string& text) {
            const auto it = std::find(words.begin(), words.end(), text);
            if (it == words.end())
              throw CLI::ValidationError(
                  flag, absl::StrCat("'", text, "' is not one of ", absl::StrJoin(words, ", ")));
            take(static_cast<size_t>(it - words.begin()));
          },
          help)
      ->type_name(absl::StrJoin(words, "|"));
}

CLI::Option* AddWord(CLI::App& app, const std::string& name, std::string& out,
                     const std::vector<std::string>& words, const std::string& help) {
  return AddChoice(
             app, name, words, [&out, words](size_t i) { out = words[i]; }, help)
      ->default_str(out);
}

}  // namespace seer
