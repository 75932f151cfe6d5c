// Whole lists out of calls that give them a page at a time.
#pragma once

#include <google/protobuf/repeated_ptr_field.h>
#include <grpcpp/grpcpp.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "client/cli.h"
#include "common/base/status_macros.h"
#include "common/rpc/status_grpc.h"

namespace seer::client {

// The items of all pages from `request` on, whose page token moves along. `what`: who answers, for
// messages; `call`: the stub's method; `items`: the field of a page. Of these, the first `limit`
// that `keep` is true of; no more pages are read than that takes.
template <typename Item, typename Stub, typename Request, typename Response>
absl::StatusOr<std::vector<Item>> FetchPages(
    const Session& session, const std::string& what, Stub& stub,
    grpc::Status (Stub::*call)(grpc::ClientContext*, const Request&, Response*), Request& request,
    const google::protobuf::RepeatedPtrField<Item>& (Response::*items)() const,
    size_t limit = SIZE_MAX, const std::function<bool(const Item&)>& keep = nullptr) {
  std::vector<Item> all;
  while (true) {
    Response page;
    SEER_RETURN_IF_ERROR(session.Call(what, [&](grpc::ClientContext& context) {
      return FromGrpc((stub.*call)(&context, request, &page));
    }));
    for (const Item& item : (page.*items)()) {
      if (keep && !keep(item)) continue;
      all.push_back(item);
      if (all.size() == limit) return all;
    }
    if (page.next_page_token().empty()) return all;
    request.set_page_token(page.next_page_token());
  }
}

}  // namespace seer::client
