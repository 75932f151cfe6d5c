// Objects in memory: tests and dry runs. Thread-safe.
#pragma once

#include <memory>

#include "common/base/object_store.h"

namespace seer {

std::unique_ptr<ObjectStore> MakeMemoryStore();

}  // namespace seer
