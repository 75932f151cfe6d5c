// How protobuf types and enum values are named in YAML: shared by reading, writing and comparing.
#pragma once

#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>

#include <map>
#include <string>

namespace seer {

// "RECOMPUTE_MODE_LIST" of RecomputeMode -> "list".
std::string EnumYamlName(const google::protobuf::EnumValueDescriptor& value);
// By its YAML name or full name, in any case; nullptr: none.
// The zero value ("unspecified") is not found.
const google::protobuf::EnumValueDescriptor* FindEnumValue(
    const google::protobuf::EnumDescriptor& type, const std::string& text);
// What a reader should write: "a whole number", "one of none, all, list" ...
std::string TypeName(const google::protobuf::FieldDescriptor& field);

// By its lowerCamelCase or snake_case name; nullptr: none.
const google::protobuf::FieldDescriptor* FindField(const google::protobuf::Descriptor& type,
                                                   const std::string& key);
// A mapping of keys: a message, but no list of them, no map and no duration.
bool IsSection(const google::protobuf::FieldDescriptor& field);
// Of a field that is a map of text to text, in the order of keys.
std::map<std::string, std::string> MapEntries(const google::protobuf::Message& message,
                                              const google::protobuf::FieldDescriptor& field);
// The value of a field in one line.
std::string FieldYaml(const google::protobuf::Message& message,
                      const google::protobuf::FieldDescriptor& field);

}  // namespace seer
