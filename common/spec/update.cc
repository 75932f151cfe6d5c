#include "common/spec/update.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "common/base/error.h"
#include "common/base/status_macros.h"
#include "common/spec/yaml.h"
#include "common/spec/yaml_names.h"

namespace seer {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;

// These, and what is below them. checkpoint.start_from is not, and stays where the whole section
// is named.
constexpr const char* kMayChange[] = {
    "metadata.labels", "scheduling.priority", "scheduling.queue", "scheduling.on_preemption",
    "failure",         "checkpoint",          "alerts",           "chain"};
constexpr char kStartFrom[] = "checkpoint.start_from";

// A path of the mask: its fields from the outside in, and the key behind a map.
struct Path {
  std::vector<const FieldDescriptor*> fields;
  std::string map_key;
  std::string name;  // in snake_case
  std::string key;   // the same as the YAML has it, "scheduling.onPreemption"
};

absl::StatusOr<Path> Resolve(const std::string& text) {
  Path path;
  const Descriptor* type = v1::JobSpec::descriptor();
  const std::vector<std::string> keys = absl::StrSplit(text, '.');
  for (size_t i = 0; i < keys.size(); ++i) {
    const FieldDescriptor* const field = type == nullptr ? nullptr : FindField(*type, keys[i]);
    if (field == nullptr) {
      std::vector<std::string> candidates;
      for (int j = 0; type != nullptr && j < type->field_count(); ++j)
        candidates.push_back(type->field(j)->json_name());
      const std::string nearest = NearestKey(keys[i], candidates);
      return Error(absl::StatusCode::kInvalidArgument, reason::kUnknownKey,
                   absl::StrCat(
                       "a job has no field '", text, "'",
                       nearest.empty() ? "" : absl::StrCat("; did you mean '", nearest, "'?")))
          .Field(text)
          .Hint(candidates.empty() ? std::string("name the whole of what stands before it")
                                   : absl::StrCat("keys here: ", absl::StrJoin(candidates, ", ")))
          .With("key", text);
    }
    path.fields.push_back(field);
    absl::StrAppend(&path.name, path.name.empty() ? "" : ".", field->name());
    absl::StrAppend(&path.key, path.key.empty() ? "" : ".", field->json_name());
    if (field->is_map() && i + 1 < keys.size()) {  // a key may have dots
      path.map_key = absl::StrJoin(keys.begin() + static_cast<ptrdiff_t>(i) + 1, keys.end(), ".");
      return path;
    }
    type = IsSection(*field) ? field->message_type() : nullptr;
  }
  return path;
}

// kMayChange as the YAML has it.
std::vector<std::string> KeysThatMayChange() {
  std::vector<std::string> keys;
  for (const char* section : kMayChange) keys.push_back(Resolve(section)->key);
  return keys;
}

absl::Status CheckMayChange(const Path& path) {
  const auto within = [&](const char* section) {
    return path.name == section || absl::StartsWith(path.name, absl::StrCat(section, "."));
  };
  for (const char* section : kMayChange)
    if (within(section) && path.name != kStartFrom) return absl::OkStatus();
  return Error(absl::StatusCode::kInvalidArgument, reason::kInvalidArgument,
               absl::StrCat("'", path.key, "' may not change once the job is made"))
      .Field(path.key)
      .Hint(absl::StrCat("these may: ", absl::StrJoin(KeysThatMayChange(), ", "),
                         "; for the rest submit another job"))
      .With("key", path.key);
}

void SetMapEntry(const FieldDescriptor& field, const std::string& key, const Message& from,
                 Message& to) {
  auto entries = MapEntries(to, field);
  entries.erase(key);
  const auto values = MapEntries(from, field);
  if (const auto it = values.find(key); it != values.end()) entries.insert(*it);
  const auto& reflection = *to.GetReflection();
  reflection.ClearField(&to, &field);
  for (const auto& [name, value] : entries) {
    Message* const entry = reflection.AddMessage(&to, &field);
    entry->GetReflection()->SetString(entry, field.message_type()->map_key(), name);
    entry->GetReflection()->SetString(entry, field.message_type()->map_value(), value);
  }
}

// `to`'s field as a copy of `from`'s: by way of a message that has nothing else.
void CopyField(const FieldDescriptor& field, const Message& from, Message& to) {
  const auto& reflection = *to.GetReflection();
  reflection.ClearField(&to, &field);
  const std::unique_ptr<Message> only(from.New());
  only->CopyFrom(from);
  for (int i = 0; i < from.GetDescriptor()->field_count(); ++i) {
    const FieldDescriptor* const other = from.GetDescriptor()->field(i);
    if (other != &field) reflection.ClearField(only.get(), other);
  }
  to.MergeFrom(*only);
}

void Apply(const Path& path, const v1::JobSpec& from, v1::JobSpec& spec) {
  const Message* source = &from;
  Message* target = &spec;
  for (size_t i = 0; i + 1 < path.fields.size(); ++i) {
    source = &source->GetReflection()->GetMessage(*source, path.fields[i]);
    target = target->GetReflection()->MutableMessage(target, path.fields[i]);
  }
  if (path.map_key.empty()) return CopyField(*path.fields.back(), *source, *target);
  SetMapEntry(*path.fields.back(), path.map_key, *source, *target);
}

}  // namespace

absl::Status ApplyUpdate(const google::protobuf::FieldMask& mask, const v1::JobSpec& from,
                         v1::JobSpec& spec) {
  if (mask.paths().empty()) {
    return Error(absl::StatusCode::kInvalidArgument, reason::kMissingField, "nothing to change")
        .Field("update_mask")
        .Hint("name at least one field");
  }
  const std::string start_from = spec.checkpoint().start_from();
  for (const std::string& text : mask.paths()) {
    SEER_ASSIGN_OR_RETURN(const Path path, Resolve(text));
    SEER_RETURN_IF_ERROR(CheckMayChange(path));
    Apply(path, from, spec);
  }
  spec.mutable_checkpoint()->set_start_from(start_from);
  return absl::OkStatus();
}

}  // namespace seer
