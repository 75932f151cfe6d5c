#include "worker/agent/device_faults.h"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "absl/strings/str_cat.h"
#include "tests/support/temp_dir.h"

namespace seer::worker {
namespace {

using ::testing::ElementsAre;

TEST(ParseXid, TakesLinesOfTheDriverAlone) {
  const auto expect = [](const char* record, const char* device, int number) {
    const auto xid = ParseXid(record);
    ASSERT_TRUE(xid) << record;
    EXPECT_EQ(xid->device, device);
    EXPECT_EQ(xid->number, number);
  };
  expect(
      "3,1289,5123456789,-;NVRM: Xid (PCI:0000:3b:00): 79, pid=1234, GPU has fallen off the bus.",
      "0000:3b:00", 79);
  expect("4,7,1,-;NVRM: Xid (PCI:0000:C1:00.0): 31, pid='<unknown>', name=<unknown>, Ch 00000010",
         "0000:c1:00", 31);
  expect("[ 5123.4567] NVRM: Xid (0000:03:00): 13, 0003 00000000 00009097 00001b0c", "0000:03:00",
         13);
  expect("NVRM: Xid (PCI:0000:3b:00): 95", "0000:3b:00", 95);
  for (const char* record :
       {"", ";", "6,1,2,-;usb 1-1: new high-speed USB device", "6,1,2,-;NVRM: loading driver",
        "3,1,2,-;NVRM: Xid (PCI:0000:3b:00", "3,1,2,-;NVRM: Xid (PCI:0000:3b:00): x",
        "3,1,2,-;NVRM: Xid (): 79", "3,1,2,-;NVRM: Xid (PCI:0000:3b:00): ",
        "3,1,2,-;NVRM: Xid (PCI:0000:3b:00): 99999999999999999999, x", " SUBSYSTEM=pci"})
    EXPECT_FALSE(ParseXid(record)) << record;
}

TEST(DescribeXid, NamesTheCommonest) {
  EXPECT_EQ(DescribeXid(79), "Xid 79: GPU has fallen off the bus");
  EXPECT_EQ(DescribeXid(48), "Xid 48: double bit ECC error");
  EXPECT_EQ(DescribeXid(43), "Xid 43");
}

class DeviceFaultsTest : public ::testing::Test {
 protected:
  void Gpu(const std::string& address, const std::string& uuid) {
    std::filesystem::create_directories(dir_ / ("gpus/" + address));
    std::ofstream(dir_ / ("gpus/" + address + "/information"))
        << "Model: \t\t NVIDIA H100\nIRQ:   \t\t 100\nGPU UUID: \t " << uuid
        << "\nBus Location: \t " << address << "\n";
  }
  void Say(const std::string& text) { std::ofstream(path_, std::ios::app) << text; }
  static std::string Fault(const std::string& address, int number) {
    return absl::StrCat("3,1,2,-;NVRM: Xid (PCI:", address, "): ", number, ", pid=1, words\n");
  }

  testing::TempDir dir_;
  const std::string path_ = dir_ / "kmsg";
};

TEST_F(DeviceFaultsTest, DevicesHaveTheAddressesOfTheGpusThatAreVisible) {
  Gpu("0000:c1:00.0", "GPU-cc");
  Gpu("0000:3B:00.0", "GPU-33");
  Gpu("0000:81:00.0", "GPU-88");
  const std::string gpus = dir_ / "gpus";
  EXPECT_THAT(DeviceAddresses(gpus, "", 3), ElementsAre("0000:3b:00", "0000:81:00", "0000:c1:00"));
  EXPECT_THAT(DeviceAddresses(gpus, "2, 0", 2), ElementsAre("0000:c1:00", "0000:3b:00"));
  EXPECT_THAT(DeviceAddresses(gpus, "GPU-8,GPU-33,7", 4),
              ElementsAre("0000:81:00", "0000:3b:00", "", ""));
  EXPECT_THAT(DeviceAddresses(dir_ / "none", "", 2), ElementsAre("", ""));
}

TEST_F(DeviceFaultsTest, TheNewestOfEachDeviceSinceItWasForgotten) {
  Say(Fault("0000:3b:00", 48));
  DeviceFaults faults(path_, {"0000:3b:00", "0000:c1:00", ""});
  EXPECT_EQ(faults.Newest(0), "") << "that was before";
  Say(Fault("0000:3b:00", 63) + "6,2,3,-;something else\n" + Fault("0000:3b:00", 94));
  Say(Fault("0000:ff:00", 79));
  EXPECT_EQ(faults.Newest(0), "Xid 94: contained ECC error");
  EXPECT_EQ(faults.Newest(1), "");
  EXPECT_EQ(faults.Newest(2), "") << "nobody knows where it is";
  Say(Fault("0000:3b:00", 79));
  faults.Forget(0);
  EXPECT_EQ(faults.Newest(0), "");
  const std::string late = Fault("0000:c1:00.0", 31);
  Say(late.substr(0, 20));
  EXPECT_EQ(faults.Newest(1), "");
  Say(late.substr(20));
  EXPECT_EQ(faults.Newest(1), "Xid 31: GPU memory page fault");
}

TEST_F(DeviceFaultsTest, APipeIsReadWithoutWaiting) {
  ASSERT_EQ(::mkfifo(path_.c_str(), 0600), 0);
  DeviceFaults faults(path_, {"0000:3b:00"});
  EXPECT_EQ(faults.Newest(0), "");
  const int writer = ::open(path_.c_str(), O_WRONLY);
  ASSERT_GE(writer, 0);
  EXPECT_EQ(faults.Newest(0), "");
  const std::string text = std::string(20'000, 'x') + "\n" + Fault("0000:3b:00", 74);
  ASSERT_EQ(::write(writer, text.data(), text.size()), static_cast<ssize_t>(text.size()));
  EXPECT_EQ(faults.Newest(0), "Xid 74: NVLink error");
  ::close(writer);
  EXPECT_EQ(faults.Newest(0), "Xid 74: NVLink error");
}

TEST_F(DeviceFaultsTest, WithoutTheKernelsLogThereIsNoFault) {
  DeviceFaults none("", {"0000:3b:00"}), missing(dir_ / "missing", {"0000:3b:00"});
  EXPECT_EQ(none.Newest(0), "");
  missing.Forget(0);
  EXPECT_EQ(missing.Newest(0), "");
}

}  // namespace
}  // namespace seer::worker
