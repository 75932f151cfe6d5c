#include "common/spec/minimal.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/message.h>
#include <google/protobuf/util/message_differencer.h>

#include <memory>
#include <vector>

#include "common/spec/defaults.h"
#include "common/spec/yaml_names.h"

namespace seer {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::util::MessageDifferencer;

// Leaves out what can be of `section`, a message within `spec`, while that comes to `complete`.
void LeaveOut(Message& section, const v1::JobSpec& complete, v1::JobSpec& spec) {
  std::vector<const FieldDescriptor*> fields;
  section.GetReflection()->ListFields(section, &fields);
  for (const FieldDescriptor* field : fields) {
    const std::unique_ptr<Message> before(section.New());
    before->CopyFrom(section);
    section.GetReflection()->ClearField(&section, field);
    v1::JobSpec filled = spec;
    FillDefaults(filled);
    if (MessageDifferencer::Equals(filled, complete)) continue;
    section.CopyFrom(*before);
    if (IsSection(*field))
      LeaveOut(*section.GetReflection()->MutableMessage(&section, field), complete, spec);
  }
}

}  // namespace

v1::JobSpec MinimalSpec(const v1::JobSpec& spec) {
  v1::JobSpec complete = spec;
  FillDefaults(complete);
  v1::JobSpec minimal = spec;
  LeaveOut(minimal, complete, minimal);
  return minimal;
}

}  // namespace seer
