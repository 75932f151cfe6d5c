#include "common/spec/difference.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>

#include <algorithm>
#include <map>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "common/spec/yaml_names.h"

namespace seer {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;

constexpr char kUnset[] = "unset";
constexpr size_t kShownBytes = 80;
constexpr char kSecret[] = "alerts.webhooks";  // masked URLs may be equal where these differ

void AddIfOther(const std::string& path, const std::string& from, const std::string& to,
                std::vector<SpecDifference>& out) {
  if (from != to) out.push_back({path, from, to});
}

// A field without presence has its zero where it is not set.
std::string TextOf(const Message& message, const FieldDescriptor& field) {
  const auto& reflection = *message.GetReflection();
  const bool set = field.is_repeated()
                       ? reflection.FieldSize(message, &field) > 0
                       : !field.has_presence() || reflection.HasField(message, &field);
  return set ? FieldYaml(message, field) : kUnset;
}

void CompareMaps(const std::string& path, const FieldDescriptor& field, const Message& from,
                 const Message& to, std::vector<SpecDifference>& out) {
  std::map<std::string, std::pair<std::string, std::string>> values = {};
  for (const auto& [key, value] : MapEntries(from, field)) values[key] = {value, kUnset};
  for (const auto& [key, value] : MapEntries(to, field)) {
    const auto [it, fresh] = values.try_emplace(key, kUnset, value);
    if (!fresh) it->second.second = value;
  }
  for (const auto& [key, value] : values)
    AddIfOther(absl::StrCat(path, ".", key), value.first, value.second, out);
}

void Compare(const std::string& prefix, const Message& from, const Message& to,
             std::vector<SpecDifference>& out) {
  const auto& type = *from.GetDescriptor();
  const auto& reflection = *from.GetReflection();
  for (int i = 0; i < type.field_count(); ++i) {
    const FieldDescriptor& field = *type.field(i);
    const std::string path = absl::StrCat(prefix, field.json_name());
    if (field.is_map()) {
      CompareMaps(path, field, from, to, out);
    } else if (IsSection(field)) {
      if (reflection.HasField(from, &field) || reflection.HasField(to, &field))
        Compare(path + ".", reflection.GetMessage(from, &field), reflection.GetMessage(to, &field),
                out);
    } else {
      AddIfOther(path, TextOf(from, field), TextOf(to, field), out);
    }
  }
}

std::string Shown(const std::string& text) {
  return text.size() <= kShownBytes ? text : absl::StrCat(text.substr(0, kShownBytes), "...");
}

}  // namespace

std::vector<SpecDifference> DifferencesOf(const v1::JobSpec& from, const v1::JobSpec& to) {
  std::vector<SpecDifference> out;
  Compare("", from, to, out);
  return out;
}

std::string DifferencesText(const std::vector<SpecDifference>& differences) {
  return absl::StrJoin(differences, ", ", [](std::string* out, const SpecDifference& one) {
    if (one.path == kSecret) {
      absl::StrAppend(out, one.path);
    } else {
      absl::StrAppend(out, one.path, " from ", Shown(one.from), " to ", Shown(one.to));
    }
  });
}

}  // namespace seer
