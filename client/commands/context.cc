#include "client/commands/context.h"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "client/confirm.h"
#include "client/context_file.h"
#include "client/exit_code.h"
#include "common/base/error.h"
#include "common/base/status_macros.h"

namespace seer::client {
namespace {

using nlohmann::ordered_json;

// The one that commands without --context go by.
std::string Current(const Session& session, const Contexts& contexts) {
  const std::string named = NamedContext(session.flags);
  return named.empty() ? contexts.current : named;
}

// All but the token itself.
ordered_json Json(const Context& context, bool current) {
  ordered_json json = {{"name", context.name},
                       {"current", current},
                       {"coordinator", context.coordinator},
                       {"dataservice", context.dataservice},
                       {"hasToken", !context.security.token.empty()}};
  for (const auto& [key, file] : {std::pair("tlsCa", &context.security.ca),
                                  std::pair("tlsCert", &context.security.certificate),
                                  std::pair("tlsKey", &context.security.key)})
    if (!file->empty()) json[key] = *file;
  return json;
}

void PrintTable(const Contexts& contexts, const std::string& current) {
  size_t name = 4, coordinator = 11;
  for (const Context& context : contexts.all) {
    name = std::max(name, context.name.size());
    coordinator = std::max(coordinator, context.coordinator.size());
  }
  const auto line = [&](const char* mark, const std::string& a, const std::string& b,
                        const char* token, const std::string& data) {
    std::printf("%s %-*s  %-*s  %-5s  %s\n", mark, static_cast<int>(name), a.c_str(),
                static_cast<int>(coordinator), b.c_str(), token, data.c_str());
  };
  line(" ", "NAME", "COORDINATOR", "TOKEN", "DATASERVICE");
  for (const Context& context : contexts.all)
    line(context.name == current ? "*" : " ", context.name, context.coordinator,
         context.security.token.empty() ? "no" : "yes", absl::StrJoin(context.dataservice, ","));
}

absl::Status List(const Session& session) {
  SEER_ASSIGN_OR_RETURN(const Contexts contexts, ReadContexts());
  const std::string current = Current(session, contexts);
  ordered_json all = ordered_json::array();
  for (const Context& context : contexts.all) all.push_back(Json(context, context.name == current));
  switch (session.form) {
    case OutputForm::kJson:
      std::printf("%s\n", all.dump(2).c_str());
      break;
    case OutputForm::kJsonl:
      for (const ordered_json& context : all) std::printf("%s\n", context.dump().c_str());
      break;
    case OutputForm::kYaml:
      PrintYaml(all.dump());
      break;
    case OutputForm::kName:
      for (const std::string& name : contexts.Names()) std::printf("%s\n", name.c_str());
      break;
    case OutputForm::kTable:
    case OutputForm::kWide:
      PrintTable(contexts, current);
  }
  if (contexts.all.empty())
    Note(
        "there are none; `seer cluster up` and `seer auth login --coordinator HOST:PORT` make one");
  return absl::OkStatus();
}

absl::Status Use(const std::string& name) {
  return EditContexts([&](Contexts& contexts) {
    if (contexts.Find(name) == nullptr) return NoContext(name, contexts);
    contexts.current = name;
    contexts.previous.clear();
    Note(absl::StrCat("commands go to ", contexts.Find(name)->coordinator, " now"));
    return absl::OkStatus();
  });
}

absl::Status Show(const Session& session, const std::string& given) {
  SEER_ASSIGN_OR_RETURN(const Contexts contexts, ReadContexts());
  const std::string current = Current(session, contexts);
  const std::string name = given.empty() ? current : given;
  if (name.empty()) {
    return Error(absl::StatusCode::kInvalidArgument, reason::kInvalidArgument,
                 "no context is current")
        .Hint("`seer context list` shows them, `seer context use NAME` takes one");
  }
  const Context* const context = contexts.Find(name);
  if (context == nullptr) return NoContext(name, contexts);
  const ordered_json json = Json(*context, name == current);
  switch (session.form) {
    case OutputForm::kJson:
      std::printf("%s\n", json.dump(2).c_str());
      break;
    case OutputForm::kJsonl:
      std::printf("%s\n", json.dump().c_str());
      break;
    case OutputForm::kYaml:
      PrintYaml(json.dump());
      break;
    case OutputForm::kName:
      std::printf("%s\n", name.c_str());
      break;
    case OutputForm::kTable:
    case OutputForm::kWide: {
      std::vector<std::pair<std::string, std::string>> lines = {
          {"Name", name},
          {"Current", name == current ? "yes" : "no"},
          {"Coordinator", context->coordinator},
          {"Data service", absl::StrJoin(context->dataservice, ",")},
          {"Token", context->security.token.empty() ? "no" : "yes"}};
      for (const auto& [title, file] :
           {std::pair("TLS authority", &context->security.ca),
            std::pair("TLS certificate", &context->security.certificate),
            std::pair("TLS key", &context->security.key)})
        if (!file->empty()) lines.emplace_back(title, *file);
      lines.emplace_back("File", ConfigPath());
      PrintLines(lines);
    }
  }
  return absl::OkStatus();
}

absl::Status Delete(const Session& session, const std::string& name, bool yes) {
  SEER_ASSIGN_OR_RETURN(const Contexts known, ReadContexts());
  if (known.Find(name) == nullptr) return NoContext(name, known);
  SEER_RETURN_IF_ERROR(Confirm(absl::StrCat("delete the context ", name, " and its token"), yes,
                               *session.interrupt));
  return EditContexts([&](Contexts& contexts) {
    const bool current = contexts.current == name;
    contexts.Remove(name);
    if (current) Note("no context is current now; `seer context use NAME` takes one");
    return absl::OkStatus();
  });
}

}  // namespace

void AddContextCommands(CLI::App& app, Session& session) {
  CLI::App* noun = app.add_subcommand("context", "Choose between the clusters that you use");
  noun->require_subcommand(1);
  noun->footer(
      "`seer auth login` and `seer cluster up` make contexts; --context and SEER_CONTEXT name one "
      "for a command or a shell.\nExamples:\n  seer context list\n  seer context use lab\n  seer "
      "--context lab job list");
  CLI::App* list = noun->add_subcommand("list", "List them; * is the current one");
  list->footer("Examples:\n  seer context list\n  seer context list -o json");
  list->callback([&session] { session.exit_code = ExitCode(List(session)); });
  struct Options {
    std::string name;
    bool yes = false;
  };
  auto options = std::make_shared<Options>();
  CLI::App* use = noun->add_subcommand("use", "Make one the current context");
  use->add_option("name", options->name, "Of the context")->required();
  use->footer("Example:\n  seer context use lab");
  use->callback([&session, options] { session.exit_code = ExitCode(Use(options->name)); });
  CLI::App* show = noun->add_subcommand("show", "Show one as the file has it, without its token");
  show->add_option("name", options->name, "Of the context; default: the current one");
  show->footer("Examples:\n  seer context show\n  seer context show lab -o json");
  show->callback(
      [&session, options] { session.exit_code = ExitCode(Show(session, options->name)); });
  CLI::App* remove = noun->add_subcommand("delete", "Forget one, with its token");
  remove->add_option("name", options->name, "Of the context")->required();
  remove->add_flag("-y,--yes", options->yes, "Do not ask");
  remove->footer(
      "The token stays in force until it is revoked or expires.\nExample:\n  seer context delete "
      "lab --yes");
  remove->callback([&session, options] {
    session.exit_code = ExitCode(Delete(session, options->name, options->yes));
  });
}

}  // namespace seer::client
