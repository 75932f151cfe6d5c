// The file of contexts, ${SEER_CONFIG:-~/.config/seer/config.yaml}: clusters by name, one of them
// current. The Python client reads it too (client/python/src/seer/config.py).
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "client/context.h"

namespace seer::client {

struct Contexts {
  std::string current;   // a name; empty: none. It may name one that is not there
  std::string previous;  // current before `seer cluster up`; empty: none, or it was made so since
  std::vector<Context> all;  // in the file's order

  const Context* Find(const std::string& name) const;  // nullptr: not there
  Context* Find(const std::string& name);
  // In place of the one of its name, or as the last one.
  void Put(const Context& context);
  // Nothing is current or previous any more that has this name.
  void Remove(const std::string& name);
  std::vector<std::string> Names() const;
};

std::string ConfigPath();

// Without a file, none. INVALID_ARGUMENT: the file cannot be read; it and the context are named.
absl::StatusOr<Contexts> ReadContexts();

// Reads, lets `edit` change, and writes, kept apart from other commands that do so. What this
// version does not know stays in the file, but within contexts that were changed. Only the user may
// read the file. An error of `edit` leaves it as it was. UNAVAILABLE: it cannot be written.
absl::Status EditContexts(const std::function<absl::Status(Contexts&)>& edit);

// INVALID_ARGUMENT, with the names that there are: no context `name`.
absl::Status NoContext(const std::string& name, const Contexts& contexts);

}  // namespace seer::client
