#include "worker/agent/lease.h"

#include <gtest/gtest.h>

namespace seer::worker {
namespace {

constexpr absl::Duration kLease = absl::Seconds(15), kStart = absl::Hours(1),
                         kTick = absl::Milliseconds(1);

TEST(LeaseTest, OneLeaseWithoutAnAcknowledgementOnAnOpenStream) {
  Lease lease(kStart);
  lease.Welcomed(kStart, kLease);
  EXPECT_TRUE(lease.connected());
  EXPECT_FALSE(lease.Lost(kStart + kLease));
  EXPECT_TRUE(lease.Lost(kStart + kLease + kTick));
  lease.Acknowledged(kStart + kLease);
  EXPECT_FALSE(lease.Lost(kStart + 2 * kLease));
  EXPECT_TRUE(lease.Lost(kStart + 2 * kLease + kTick));
}

TEST(LeaseTest, TenLeasesWhileTheCoordinatorIsAway) {
  Lease lease(kStart);
  lease.Welcomed(kStart, kLease);
  lease.Disconnected();
  EXPECT_FALSE(lease.connected());
  EXPECT_FALSE(lease.Lost(kStart + 10 * kLease));
  EXPECT_TRUE(lease.Lost(kStart + 10 * kLease + kTick));
  EXPECT_FALSE(lease.Held(kStart + kLease + kTick)) << "but nobody vouches for it";
}

TEST(LeaseTest, AWelcomeAfterALongAbsenceRenewsIt) {
  Lease lease(kStart);
  lease.Welcomed(kStart, kLease);
  lease.Disconnected();
  const absl::Duration later = kStart + 20 * kLease;
  ASSERT_TRUE(lease.Lost(later));
  lease.Welcomed(later, kLease);
  EXPECT_FALSE(lease.Lost(later + kLease));
  EXPECT_TRUE(lease.Held(later + kLease));
}

TEST(LeaseTest, AnAgentThatWasNeverWelcomedHasTheDefault) {
  Lease lease(kStart);
  EXPECT_FALSE(lease.connected());
  EXPECT_FALSE(lease.Lost(kStart + absl::Seconds(150)));
  EXPECT_TRUE(lease.Lost(kStart + absl::Seconds(151)));
}

TEST(LeaseTest, AWelcomeWithoutALeaseKeepsTheOneBefore) {
  Lease lease(kStart);
  lease.Welcomed(kStart, absl::ZeroDuration());
  EXPECT_FALSE(lease.Lost(kStart + absl::Seconds(1)));
}

}  // namespace
}  // namespace seer::worker
