#include <google/protobuf/duration.pb.h>
#include <google/protobuf/message.h>
#include <yaml-cpp/yaml.h>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/time/time.h"
#include "common/spec/yaml.h"
#include "common/spec/yaml_names.h"

namespace seer {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::EnumDescriptor;
using google::protobuf::EnumValueDescriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;

// "RecomputeMode" -> "RECOMPUTE_MODE_".
std::string EnumPrefix(const EnumDescriptor& type) {
  std::string prefix;
  for (char c : type.name()) {
    if (absl::ascii_isupper(static_cast<unsigned char>(c)) && !prefix.empty())
      prefix.push_back('_');
    prefix.push_back(absl::ascii_toupper(static_cast<unsigned char>(c)));
  }
  return prefix + "_";
}

void Emit(YAML::Emitter& out, const Message& message);

void EmitValue(YAML::Emitter& out, const Message& message, const FieldDescriptor& field,
               int index) {
  const auto& reflection = *message.GetReflection();
  const bool repeated = field.is_repeated();
#define SEER_GET(kind)                                             \
  (repeated ? reflection.GetRepeated##kind(message, &field, index) \
            : reflection.Get##kind(message, &field))
  switch (field.cpp_type()) {
    case FieldDescriptor::CPPTYPE_INT32:
      out << SEER_GET(Int32);
      return;
    case FieldDescriptor::CPPTYPE_INT64:
      out << SEER_GET(Int64);
      return;
    case FieldDescriptor::CPPTYPE_UINT64:
      out << SEER_GET(UInt64);
      return;
    case FieldDescriptor::CPPTYPE_DOUBLE:
      out << absl::StrCat(SEER_GET(Double));
      return;
    case FieldDescriptor::CPPTYPE_FLOAT:
      out << absl::StrCat(SEER_GET(Float));
      return;
    case FieldDescriptor::CPPTYPE_BOOL:
      out << SEER_GET(Bool);
      return;
    case FieldDescriptor::CPPTYPE_ENUM:
      out << EnumYamlName(*SEER_GET(Enum));
      return;
    case FieldDescriptor::CPPTYPE_STRING:
      out << SEER_GET(String);
      return;
    default:
      break;
  }
  const Message& child = SEER_GET(Message);
#undef SEER_GET
  if (field.message_type()->full_name() == "google.protobuf.Duration") {
    const auto& duration = static_cast<const google::protobuf::Duration&>(child);
    out << absl::FormatDuration(absl::Seconds(duration.seconds()) +
                                absl::Nanoseconds(duration.nanos()));
    return;
  }
  Emit(out, child);
}

// A list, a map or a value.
void EmitField(YAML::Emitter& out, const Message& message, const FieldDescriptor& field) {
  if (field.is_map()) {
    out << MapEntries(message, field);
  } else if (field.is_repeated()) {
    if (field.cpp_type() != FieldDescriptor::CPPTYPE_MESSAGE) out << YAML::Flow;
    out << YAML::BeginSeq;
    for (int j = 0; j < message.GetReflection()->FieldSize(message, &field); ++j)
      EmitValue(out, message, field, j);
    out << YAML::EndSeq;
  } else {
    EmitValue(out, message, field, -1);
  }
}

void Emit(YAML::Emitter& out, const Message& message) {
  out << YAML::BeginMap;
  const auto& type = *message.GetDescriptor();
  const auto& reflection = *message.GetReflection();
  for (int i = 0; i < type.field_count(); ++i) {
    const FieldDescriptor& field = *type.field(i);
    const int size = field.is_repeated() ? reflection.FieldSize(message, &field)
                                         : reflection.HasField(message, &field);
    if (size == 0) continue;
    out << YAML::Key << field.json_name() << YAML::Value;
    EmitField(out, message, field);
  }
  out << YAML::EndMap;
}

}  // namespace

std::string EnumYamlName(const EnumValueDescriptor& value) {
  const std::string prefix = EnumPrefix(*value.type());
  const std::string& name = value.name();
  return absl::AsciiStrToLower(absl::StartsWith(name, prefix) ? name.substr(prefix.size()) : name);
}

const EnumValueDescriptor* FindEnumValue(const EnumDescriptor& type, const std::string& text) {
  for (int i = 0; i < type.value_count(); ++i) {
    const EnumValueDescriptor& value = *type.value(i);
    if (value.number() == 0) continue;
    if (absl::EqualsIgnoreCase(text, EnumYamlName(value)) ||
        absl::EqualsIgnoreCase(text, value.name()))
      return &value;
  }
  return nullptr;
}

std::string TypeName(const FieldDescriptor& field) {
  switch (field.cpp_type()) {
    case FieldDescriptor::CPPTYPE_INT32:
    case FieldDescriptor::CPPTYPE_INT64:
      return "a whole number";
    case FieldDescriptor::CPPTYPE_UINT64:
      return "a whole number, at least 0";
    case FieldDescriptor::CPPTYPE_DOUBLE:
    case FieldDescriptor::CPPTYPE_FLOAT:
      return "a number";
    case FieldDescriptor::CPPTYPE_BOOL:
      return "true or false";
    case FieldDescriptor::CPPTYPE_STRING:
      return "text";
    case FieldDescriptor::CPPTYPE_MESSAGE:
      return "mappings of keys";
    default:
      break;
  }
  std::vector<std::string> names;
  for (int i = 0; i < field.enum_type()->value_count(); ++i) {
    if (field.enum_type()->value(i)->number() != 0)
      names.push_back(EnumYamlName(*field.enum_type()->value(i)));
  }
  return absl::StrCat("one of ", absl::StrJoin(names, ", "));
}

const FieldDescriptor* FindField(const Descriptor& type, const std::string& key) {
  for (int i = 0; i < type.field_count(); ++i) {
    if (type.field(i)->name() == key || type.field(i)->json_name() == key) return type.field(i);
  }
  return nullptr;
}

bool IsSection(const FieldDescriptor& field) {
  return field.cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE && !field.is_repeated() &&
         field.message_type()->full_name() != "google.protobuf.Duration";
}

std::map<std::string, std::string> MapEntries(const Message& message,
                                              const FieldDescriptor& field) {
  const auto& reflection = *message.GetReflection();
  std::map<std::string, std::string> entries;
  for (int i = 0; i < reflection.FieldSize(message, &field); ++i) {
    const Message& entry = reflection.GetRepeatedMessage(message, &field, i);
    entries[entry.GetReflection()->GetString(entry, field.message_type()->map_key())] =
        entry.GetReflection()->GetString(entry, field.message_type()->map_value());
  }
  return entries;
}

std::string FieldYaml(const Message& message, const FieldDescriptor& field) {
  YAML::Emitter out;
  out.SetSeqFormat(YAML::Flow);
  out.SetMapFormat(YAML::Flow);
  EmitField(out, message, field);
  return out.c_str();
}

std::string FormatJobSpec(const v1::JobSpec& spec) {
  YAML::Emitter out;
  Emit(out, spec);
  return absl::StrCat(out.c_str(), "\n");
}

}  // namespace seer
