// Machines of one network, as network namespaces of this process that hang on a bridge.
#pragma once

#include <string>
#include <vector>

namespace seer::e2e {

// From Make on this process is in a network of its own, whose other machines are namespaces.
class Network {
 public:
  // Call it before there are threads. Says why it cannot be had; empty: it is there.
  static std::string Make(int machines);
  static std::string HostAddress() { return "10.9.0.1"; }  // of this process
  static std::string Address(int machine);
  static std::vector<std::string> Inside(int machine);  // a wrapper that runs a program there
  static void SetLink(int machine, bool up);            // down: no packet goes in or out
};

}  // namespace seer::e2e
