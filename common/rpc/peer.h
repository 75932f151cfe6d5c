// Where a call comes from.
#pragma once

#include <string>

namespace grpc {
class ServerContextBase;
}

namespace seer {

// The metadata in which a server tells another of its process for whom it calls.
inline constexpr char kHandedOnPeer[] = "x-seer-peer";

// "ipv4:10.0.0.7:41234". Of a call from this process, what kHandedOnPeer says; others are not
// believed.
std::string PeerOf(const grpc::ServerContextBase& context);

}  // namespace seer
