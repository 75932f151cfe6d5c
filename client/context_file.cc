#include "client/context_file.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>
#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <filesystem>
#include <utility>

#include "absl/cleanup/cleanup.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "client/context_fields.h"
#include "common/base/error.h"
#include "common/base/process.h"
#include "common/base/status_macros.h"
#include "common/rpc/channel.h"
#include "common/spec/yaml.h"

namespace seer::client {
namespace {

constexpr char kMend[] = "mend the file or remove it; `seer cluster up` writes a new one";

absl::Status Broken(absl::string_view reason, const std::string& what) {
  return Error(absl::StatusCode::kInvalidArgument, reason, absl::StrCat(ConfigPath(), what))
      .Hint(kMend);
}

// An empty map without a file.
absl::StatusOr<YAML::Node> LoadFile() {
  if (!std::filesystem::exists(ConfigPath())) return YAML::Node(YAML::NodeType::Map);
  try {
    YAML::Node file = YAML::LoadFile(ConfigPath());
    if (file.IsNull()) return YAML::Node(YAML::NodeType::Map);
    if (!file.IsMap()) return Broken(reason::kWrongType, " is no map of settings");
    return file;
  } catch (const YAML::Exception& error) {
    return Broken(reason::kYamlSyntax, absl::StrCat(": ", error.what()));
  }
}

// "a:1,b:2" or a list of them.
std::vector<std::string> Addresses(const YAML::Node& node) {
  if (!node || node.IsNull()) return {};
  if (node.IsScalar()) return SplitAddresses(node.as<std::string>());
  return node.as<std::vector<std::string>>();
}

Context ToContext(const std::string& name, const YAML::Node& entry) {
  Context context;
  context.name = name;
  context.coordinator = absl::StrJoin(Addresses(entry["coordinator"]), ",");
  context.dataservice = Addresses(entry["dataservice"]);
  for (const auto& [key, value] : SecurityFields(context.security))
    if (entry[key] && !entry[key].IsNull()) *value = entry[key].as<std::string>();
  return context;
}

YAML::Node ToEntry(Context context) {
  YAML::Node entry;
  entry["coordinator"] = context.coordinator;
  entry["dataservice"] = context.dataservice;
  for (const auto& [key, value] : SecurityFields(context.security))
    if (!value->empty()) entry[key] = *value;
  return entry;
}

absl::StatusOr<Contexts> ToContexts(const YAML::Node& file) {
  std::string at;
  try {
    Contexts contexts;
    if (file["current"]) contexts.current = file["current"].as<std::string>();
    if (file["previous"]) contexts.previous = file["previous"].as<std::string>();
    if (!file["contexts"]) return contexts;
    for (const auto& entry : file["contexts"]) {
      const std::string name = entry.first.as<std::string>();
      at = absl::StrCat(": the context ", name);
      if (!entry.second.IsMap())
        return Broken(reason::kWrongType, absl::StrCat(at, " is no map of settings"));
      contexts.all.push_back(ToContext(name, entry.second));
    }
    return contexts;
  } catch (const YAML::Exception& error) {
    return Broken(reason::kWrongType, absl::StrCat(at, ": ", error.what()));
  }
}

void SetOrRemove(YAML::Node& file, const char* key, const std::string& value) {
  if (value.empty()) {
    file.remove(key);
  } else {
    file[key] = value;
  }
}

// Puts `contexts` into `file`, of which it was `before`.
void Update(YAML::Node& file, const Contexts& before, const Contexts& contexts) {
  SetOrRemove(file, "current", contexts.current);
  SetOrRemove(file, "previous", contexts.previous);
  for (const Context& old : before.all)
    if (contexts.Find(old.name) == nullptr) file["contexts"].remove(old.name);
  for (const Context& context : contexts.all) {
    const Context* const old = before.Find(context.name);
    const YAML::Node entry = ToEntry(context);
    if (old == nullptr || YAML::Dump(ToEntry(*old)) != YAML::Dump(entry))
      file["contexts"][context.name] = entry;
  }
}

}  // namespace

const Context* Contexts::Find(const std::string& name) const {
  const auto it = std::find_if(all.begin(), all.end(),
                               [&](const Context& context) { return context.name == name; });
  return it == all.end() ? nullptr : &*it;
}

Context* Contexts::Find(const std::string& name) {
  return const_cast<Context*>(std::as_const(*this).Find(name));
}

void Contexts::Put(const Context& context) {
  if (Context* const old = Find(context.name); old != nullptr) {
    *old = context;
  } else {
    all.push_back(context);
  }
}

void Contexts::Remove(const std::string& name) {
  std::erase_if(all, [&](const Context& context) { return context.name == name; });
  if (current == name) current.clear();
  if (previous == name) previous.clear();
}

std::vector<std::string> Contexts::Names() const {
  std::vector<std::string> names;
  for (const Context& context : all) names.push_back(context.name);
  return names;
}

std::string ConfigPath() {
  const auto environment = [](const char* name) -> std::string {
    const char* value = std::getenv(name);
    return value == nullptr ? "" : value;
  };
  if (const std::string path = environment("SEER_CONFIG"); !path.empty()) return path;
  const std::string base = environment("XDG_CONFIG_HOME");
  return absl::StrCat(base.empty() ? environment("HOME") + "/.config" : base, "/seer/config.yaml");
}

absl::StatusOr<Contexts> ReadContexts() {
  SEER_ASSIGN_OR_RETURN(const YAML::Node file, LoadFile());
  return ToContexts(file);
}

absl::Status EditContexts(const std::function<absl::Status(Contexts&)>& edit) {
  // For the user's eyes alone: it may hold what opens a cluster.
  const mode_t before = ::umask(077);
  const absl::Cleanup restore = [before] { ::umask(before); };
  std::error_code error;
  std::filesystem::path folder = std::filesystem::path(ConfigPath()).parent_path();
  if (folder.empty()) folder = ".";
  std::filesystem::create_directories(folder, error);
  // The folder itself is the lock: the file is replaced. Where none can be had, writing says why.
  const int lock = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  const absl::Cleanup unlock = [lock] {
    if (lock >= 0) ::close(lock);
  };
  while (lock >= 0 && ::flock(lock, LOCK_EX) != 0 && errno == EINTR) {
  }
  SEER_ASSIGN_OR_RETURN(YAML::Node file, LoadFile());
  SEER_ASSIGN_OR_RETURN(const Contexts old, ToContexts(file));
  Contexts contexts = old;
  SEER_RETURN_IF_ERROR(edit(contexts));
  Update(file, old, contexts);
  YAML::Emitter out;
  out << file;
  return WriteFileAtomically(ConfigPath(), out.c_str());
}

absl::Status NoContext(const std::string& name, const Contexts& contexts) {
  const std::string nearest = NearestKey(name, contexts.Names());
  std::string hint = "`seer auth login --coordinator HOST:PORT` makes one";
  if (!nearest.empty()) {
    hint = absl::StrCat("did you mean '", nearest, "'?");
  } else if (!contexts.all.empty()) {
    hint = absl::StrCat("one of ", absl::StrJoin(contexts.Names(), ", "));
  }
  return Error(absl::StatusCode::kInvalidArgument, reason::kInvalidArgument,
               absl::StrCat("there is no context '", name, "' in ", ConfigPath()))
      .Field("--context")
      .Hint(hint);
}

}  // namespace seer::client
