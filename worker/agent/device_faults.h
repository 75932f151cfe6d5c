// What the kernel says of GPUs: lines of NVIDIA's driver with an "Xid", in /dev/kmsg, whose records
// are "<priority>,<sequence>,<microseconds>,<flags>;<text>" (Documentation/ABI/testing/dev-kmsg).
// The newest of each device is kept until it is forgotten. Not thread-safe.
#pragma once

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace seer::worker {

struct Xid {
  std::string device;  // its PCI address, as "0000:3b:00"
  int number = 0;
};

// Of one record of the kernel's log, or the text alone; nothing: no such line.
std::optional<Xid> ParseXid(absl::string_view record);

// "Xid 79: GPU has fallen off the bus", as NVIDIA's documentation calls the commonest ("XID
// Errors"); "Xid 43" of another.
std::string DescribeXid(int number);

// The PCI addresses of the GPUs that the agent's devices 0, 1, ... are: `folder` is
// /proc/driver/nvidia/gpus, `visible` the value of CUDA_VISIBLE_DEVICES, empty: all. Numbers count
// them in the order of their addresses, as equal GPUs come. Empty strings: not known.
std::vector<std::string> DeviceAddresses(const std::string& folder, absl::string_view visible,
                                         int devices);

class DeviceFaults {
 public:
  // `path`: /dev/kmsg, a pipe or a file; empty: nothing is read. What stands there already is of
  // before. One that cannot be opened is said once in the log. `addresses`: of the devices.
  DeviceFaults(const std::string& path, std::vector<std::string> addresses);
  ~DeviceFaults();
  DeviceFaults(const DeviceFaults&) = delete;

  // DescribeXid of the newest of the device since it was forgotten, as far as the kernel has
  // written; empty: none.
  std::string Newest(int device);
  void Forget(int device);

 private:
  void Read();  // what is there; does not block
  void Take(absl::string_view record);

  const std::vector<std::string> addresses_;
  int fd_ = -1;
  std::string rest_;                   // of a line that is not whole yet
  std::map<std::string, int> newest_;  // address -> number
};

}  // namespace seer::worker
