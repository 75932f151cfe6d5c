#include "common/rpc/peer.h"

#include <grpcpp/grpcpp.h>

namespace seer {
namespace {

// Of channels within the process alone: they have no socket.
constexpr char kNoSocket[] = "unknown";

}  // namespace

std::string PeerOf(const grpc::ServerContextBase& context) {
  std::string peer = context.peer();
  if (peer != kNoSocket) return peer;
  const auto it = context.client_metadata().find(kHandedOnPeer);
  if (it == context.client_metadata().end()) return peer;
  return std::string(it->second.data(), it->second.size());
}

}  // namespace seer
