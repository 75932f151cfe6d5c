#include "engine/session/torch_boundary.h"

#include <exception>
#include <new>
#include <string>

#include <c10/util/Exception.h>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "common/base/error.h"
#include "engine/parallel/communicator.h"

namespace seer::engine {
namespace {

absl::Status OutOfMemory(absl::string_view doing, absl::string_view detail) {
  return Error(absl::StatusCode::kResourceExhausted, reason::kOutOfMemory,
               absl::StrCat(doing, ": out of memory: ", detail))
      .Hint("recompute segments (memory.recompute), take a smaller batch, or more ranks");
}

absl::Status Disconnected(absl::string_view doing, absl::string_view detail) {
  return Error(absl::StatusCode::kUnavailable, reason::kCollectiveFailed,
               absl::StrCat(doing, ": ", detail))
      .Hint(
          "another rank failed or cannot be reached; this process exits and the agent starts a new "
          "attempt");
}

absl::Status Internal(absl::string_view doing, absl::string_view detail) {
  return Error(absl::StatusCode::kInternal, reason::kInternal, absl::StrCat(doing, ": ", detail));
}

}  // namespace

absl::Status StatusOfCurrentException(absl::string_view doing) {
  try {
    throw;
  } catch (const std::bad_alloc& error) {
    return OutOfMemory(doing, error.what());
  } catch (const CollectiveError& error) {
    return Disconnected(doing, error.what());
  } catch (const c10::OutOfMemoryError& error) {
    return OutOfMemory(doing, error.what_without_backtrace());
  } catch (const c10::DistError& error) {
    return Disconnected(doing, error.what_without_backtrace());
  } catch (const c10::Error& error) {
    // The CPU allocator throws a plain Error.
    const std::string text = error.what_without_backtrace();
    if (absl::StrContains(text, "DefaultCPUAllocator")) return OutOfMemory(doing, text);
    return Internal(doing, text);
  } catch (const std::exception& error) {
    return Internal(doing, error.what());
  } catch (...) {
    return Internal(doing, "an unknown exception");
  }
}

}  // namespace seer::engine
