#include "client/man_pages.h"

#include <CLI/CLI.hpp>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"

namespace seer::client {
namespace {

using Pages = std::vector<std::pair<std::string, std::string>>;

// A line that begins with a dot or a quote would be a request.
std::string Text(const std::string& text) {
  std::string escaped = absl::StrReplaceAll(text, {{"\\", "\\e"}, {"-", "\\-"}});
  if (!escaped.empty() && (escaped[0] == '.' || escaped[0] == '\'')) escaped.insert(0, "\\&");
  return escaped;
}

void AppendOptions(const CLI::App& app, std::string& page) {
  std::string positionals, options;
  for (const CLI::Option* option : app.get_options()) {
    std::vector<std::string> names;
    for (const std::string& name : option->get_snames()) names.push_back("-" + name);
    for (const std::string& name : option->get_lnames()) names.push_back("--" + name);
    const bool positional = names.empty();
    std::string& section = positional ? positionals : options;
    absl::StrAppend(&section, ".TP\n\\fB",
                    Text(positional ? option->get_name() : absl::StrJoin(names, ", ")), "\\fR");
    if (!positional && option->get_items_expected_max() > 0)
      absl::StrAppend(&section, " \\fI", Text(option->get_type_name()), "\\fR");
    std::string text = option->get_description();
    if (const std::string standard = option->get_default_str(); !standard.empty())
      absl::StrAppend(&text, " (default: ", standard, ")");
    absl::StrAppend(&section, "\n", Text(text), "\n");
  }
  if (!positionals.empty()) absl::StrAppend(&page, ".SH ARGUMENTS\n", positionals);
  if (!options.empty()) absl::StrAppend(&page, ".SH OPTIONS\n", options);
}

// The footer holds sentences, and examples as lines that are indented.
void AppendFooter(const CLI::App& app, std::string& page) {
  const std::string footer = app.get_footer();
  if (footer.empty()) return;
  absl::StrAppend(&page, ".SH NOTES\n");
  bool example = false;
  const std::vector<std::string> lines = absl::StrSplit(footer, '\n');
  for (const std::string& line : lines) {
    const bool indented = line.rfind("  ", 0) == 0;
    if (indented != example) absl::StrAppend(&page, indented ? ".PP\n.nf\n" : ".fi\n.PP\n");
    example = indented;
    absl::StrAppend(&page, line.empty() ? ".PP" : Text(line), "\n");
  }
  if (example) absl::StrAppend(&page, ".fi\n");
}

// `words`: "seer job submit".
void AppendPage(const CLI::App& app, const std::string& words, const std::string& parent,
                Pages& pages) {
  const std::string name = absl::StrReplaceAll(words, {{" ", "-"}});
  std::string page = absl::StrCat(
      ".TH \"", name, "\" 1 \"\" \"seer ", SEER_VERSION, "\" \"seer\"\n", ".SH NAME\n", Text(name),
      " \\- ", Text(app.get_description()), "\n.SH SYNOPSIS\n\\fB", Text(words), "\\fR");
  const std::vector<const CLI::App*> commands = app.get_subcommands(nullptr);
  absl::StrAppend(&page, commands.empty() ? "" : " \\fICOMMAND\\fR", " [\\fIOPTIONS\\fR]");
  for (const CLI::Option* option : app.get_options())
    if (option->get_positional())
      absl::StrAppend(&page, " \\fI", Text(option->get_name()), "\\fR",
                      option->get_required() ? "" : "?");
  absl::StrAppend(&page, "\n");
  if (!commands.empty()) {
    absl::StrAppend(&page, ".SH COMMANDS\n");
    for (const CLI::App* command : commands)
      absl::StrAppend(&page, ".TP\n\\fB", Text(command->get_name()), "\\fR\n",
                      Text(command->get_description()), "\n");
  }
  AppendOptions(app, page);
  AppendFooter(app, page);
  std::vector<std::string> others;
  if (!parent.empty()) others.push_back(parent);
  for (const CLI::App* command : commands)
    others.push_back(absl::StrCat(name, "-", command->get_name()));
  for (std::string& other : others) other = absl::StrCat("\\fB", Text(other), "\\fR(1)");
  absl::StrAppend(&page, ".SH SEE ALSO\n", absl::StrJoin(others, ", "), "\n");
  pages.emplace_back(name + ".1", std::move(page));
  for (const CLI::App* command : commands)
    AppendPage(*command, absl::StrCat(words, " ", command->get_name()), name, pages);
}

}  // namespace

std::vector<std::pair<std::string, std::string>> ManPages(const CLI::App& app) {
  Pages pages;
  AppendPage(app, "seer", "", pages);
  return pages;
}

}  // namespace seer::client
