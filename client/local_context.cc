#include "client/local_context.h"

#include "absl/strings/str_cat.h"
#include "client/context_file.h"
#include "client/output.h"

namespace seer::client {

absl::Status EnterLocalContext(const Context& local) {
  return EditContexts([&](Contexts& contexts) {
    const Context* const old = contexts.Find(local.name);
    if (old != nullptr && !old->security.token.empty())
      Note(absl::StrCat("warning: the context '", local.name, "' was of ", old->coordinator,
                        ", whose token is forgotten; `seer auth login --coordinator ",
                        old->coordinator, "` keeps it in a context of its own"));
    contexts.Put(local);
    if (contexts.current == local.name) return absl::OkStatus();
    contexts.previous = contexts.Find(contexts.current) == nullptr ? "" : contexts.current;
    contexts.current = local.name;
    if (!contexts.previous.empty())
      Note(absl::StrCat("the context is now '", local.name, "'; `seer context use ",
                        contexts.previous, "` goes back"));
    return absl::OkStatus();
  });
}

absl::Status LeaveLocalContext(const std::string& coordinator) {
  const auto known = ReadContexts();
  if (!known.ok()) return known.status();
  const auto is_of_it = [&](const Contexts& contexts) {
    const Context* const local = contexts.Find(kLocalContext);
    return local != nullptr && local->coordinator == coordinator;
  };
  if (!is_of_it(*known)) return absl::OkStatus();
  return EditContexts([&](Contexts& contexts) {
    if (!is_of_it(contexts)) return absl::OkStatus();
    const bool current = contexts.current == kLocalContext;
    contexts.Remove(kLocalContext);
    if (current && contexts.Find(contexts.previous) != nullptr) {
      contexts.current = contexts.previous;
      Note(absl::StrCat("the context is '", contexts.current, "' again"));
    }
    contexts.previous.clear();
    return absl::OkStatus();
  });
}

}  // namespace seer::client
