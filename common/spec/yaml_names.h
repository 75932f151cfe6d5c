// How protobuf types and enum values are named in YAML: shared by reading and writing.
#pragma once

#include <google/protobuf/descriptor.h>

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

}  // namespace seer
