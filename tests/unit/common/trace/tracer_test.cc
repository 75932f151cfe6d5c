#include "common/trace/tracer.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

#include "absl/synchronization/mutex.h"
#include "common/base/error.h"
#include "tests/support/span_list.h"

namespace seer {
namespace {

using testing::SpanList;

TEST(TracerTest, WithoutARecorderASpanHandsItsParentOn) {
  const TraceContext parent{1, 2, 3, true};
  Span span = Span::Begin("work", SpanKind::kInternal, parent);
  EXPECT_FALSE(span.recording());
  EXPECT_EQ(span.context(), parent);
  span.Set("key", "value");
  span.Fail("nothing comes of it");
  EXPECT_FALSE(Span::Begin("root", SpanKind::kInternal, {}).context().valid());
  EXPECT_FALSE(Tracing());
}

TEST(TracerTest, ASpanIsRecordedOnceWithWhatItWasTold) {
  SpanList spans;
  {
    Span root = Span::Begin("root", SpanKind::kServer, {});
    const WithinTrace within(root.context());
    Span child = Span::Child("child");
    child.Set("text", "a");
    child.Set("number", int64_t{7});
    child.Fail(Error(absl::StatusCode::kNotFound, reason::kJobNotFound, "no such job"));
    child.End();
    child.End();
    Span moved = std::move(root);
  }
  const std::vector<SpanRecord> all = spans.Take();
  ASSERT_EQ(all.size(), 2u);
  const SpanRecord &child = all[0], &root = all[1];
  EXPECT_EQ(child.name, "child");
  EXPECT_EQ(child.parent_span, root.context.span);
  EXPECT_EQ(child.context.trace_low, root.context.trace_low);
  EXPECT_EQ(child.context.trace_high, root.context.trace_high);
  EXPECT_NE(child.context.span, root.context.span);
  EXPECT_TRUE(child.failed);
  EXPECT_EQ(child.message, "no such job");
  EXPECT_THAT(child.attributes,
              ::testing::ElementsAre(SpanAttribute{"text", "a"}, SpanAttribute{"number", 7},
                                     SpanAttribute{"error.type", "JOB_NOT_FOUND"}));
  EXPECT_EQ(root.parent_span, 0u);
  EXPECT_EQ(root.kind, SpanKind::kServer);
  EXPECT_LE(root.start, child.start);
  EXPECT_LE(child.end, root.end);
}

TEST(TracerTest, TheThreadsContextIsSetWithinAScopeAlone) {
  SpanList spans;
  EXPECT_FALSE(CurrentTrace().valid());
  EXPECT_FALSE(Span::Child("without a trace").recording());
  const TraceContext outer{1, 2, 3, true}, inner{1, 2, 4, true};
  {
    const WithinTrace first(outer);
    {
      const WithinTrace second(inner);
      EXPECT_EQ(CurrentTrace(), inner);
      std::thread([] { EXPECT_FALSE(CurrentTrace().valid()); }).join();
    }
    EXPECT_EQ(CurrentTrace(), outer);
  }
  EXPECT_FALSE(CurrentTrace().valid());
}

TEST(TracerTest, WhatIsNotSampledIsNotRecordedAndSaysSoToItsChildren) {
  SpanList spans(ParseSampler("parentbased_always_off", "").value());
  const Span root = Span::Begin("root", SpanKind::kInternal, {});
  EXPECT_FALSE(root.recording());
  EXPECT_TRUE(root.context().valid());
  EXPECT_FALSE(root.context().sampled);
  const WithinTrace within(root.context());
  const Span child = Span::Child("child");
  EXPECT_FALSE(child.recording());
  EXPECT_EQ(child.context().trace_low, root.context().trace_low);
  EXPECT_FALSE(UnsampledTrace().sampled);
  EXPECT_TRUE(UnsampledTrace().valid());
  EXPECT_TRUE(spans.Take().empty());
}

TEST(TracerTest, InSpanGivesTheStatusBackAndNotesAFailure) {
  SpanList spans;
  const Span root = Span::Begin("root", SpanKind::kInternal, {});
  const WithinTrace within(root.context());
  TraceContext inside;
  EXPECT_EQ(InSpan("fails",
                   [&] {
                     inside = CurrentTrace();
                     return absl::UnavailableError("gone");
                   }),
            absl::UnavailableError("gone"));
  EXPECT_EQ(InSpan("works",
                   [](Span& span) {
                     span.Set("seer.step", int64_t{4});
                     return absl::OkStatus();
                   }),
            absl::OkStatus());
  const std::vector<SpanRecord> all = spans.Take();
  ASSERT_EQ(all.size(), 2u);
  EXPECT_EQ(all[0].context, inside);
  EXPECT_TRUE(all[0].failed);
  EXPECT_FALSE(all[1].failed);
  EXPECT_THAT(all[1].attributes, ::testing::ElementsAre(SpanAttribute{"seer.step", 4}));
}

TEST(TracerTest, ADerivedContextIsTheSameEachTime) {
  const TraceContext parent{1, 2, 3, true};
  const TraceContext attempt = DerivedTrace(parent, "attempt/7");
  EXPECT_EQ(attempt, DerivedTrace(parent, "attempt/7"));
  EXPECT_NE(attempt.span, DerivedTrace(parent, "attempt/8").span);
  EXPECT_NE(attempt.span, DerivedTrace({1, 9, 3, true}, "attempt/7").span);
  EXPECT_EQ(attempt.trace_low, parent.trace_low);
  EXPECT_TRUE(attempt.valid());
}

TEST(TracerTest, ADiscardedSpanNeverWas) {
  SpanList spans;
  Span span = Span::Begin("nothing", SpanKind::kInternal, {});
  span.Discard();
  span.End();
  EXPECT_TRUE(spans.Take().empty());
}

}  // namespace
}  // namespace seer
