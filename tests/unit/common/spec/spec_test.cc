#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <vector>

#include "absl/strings/match.h"
#include "common/base/error.h"
#include "common/spec/defaults.h"
#include "common/spec/validate.h"
#include "common/spec/yaml.h"
#include "tests/support/temp_dir.h"

namespace seer {
namespace {

absl::Status ParseError(const std::string& yaml) {
  return ParseJobSpec(yaml, "job.yaml", {}).status();
}

v1::JobSpec Valid() {
  v1::JobSpec spec;
  spec.mutable_data()->set_pool("photos");
  spec.mutable_optim()->set_steps(10);
  FillDefaults(spec);
  return spec;
}

TEST(SpecYaml, ReadsBothKeyStylesEnumsDurationsAndLists) {
  const auto spec = ParseJobSpec(R"(
optim: {steps: 5, start_lr: 0.1, finalLr: 0.2, larc: {enabled: no}}
precision: {mode: bf16}
distributed: {collectiveTimeout: 90s}
model: {head: {hidden: [1, 2, 3]}}
augment: {crops: [{views: 2, size: 32}, {views: 4, size: 16}]}
metadata: {labels: {team: vision}}
)",
                                 "job.yaml", {});
  ASSERT_TRUE(spec.ok()) << spec.status();
  EXPECT_EQ(spec->optim().start_lr(), 0.1);
  EXPECT_EQ(spec->optim().final_lr(), 0.2);
  EXPECT_FALSE(spec->optim().larc().enabled());
  EXPECT_EQ(spec->precision().mode(), v1::PRECISION_MODE_BF16);
  EXPECT_EQ(spec->distributed().collective_timeout().seconds(), 90);
  EXPECT_EQ(spec->model().head().hidden_size(), 3);
  EXPECT_EQ(spec->augment().crops(1).views(), 4);
  EXPECT_EQ(spec->metadata().labels().at("team"), "vision");
}

TEST(SpecYaml, UnknownKeyNamesLineAndNearest) {
  const absl::Status status = ParseError("optim:\n  steps: 5\n  warmup_step: 3\n");
  EXPECT_TRUE(HasReason(status, reason::kUnknownKey));
  EXPECT_TRUE(absl::StrContains(status.message(), "job.yaml:3")) << status;
  EXPECT_TRUE(absl::StrContains(status.message(), "did you mean 'warmupSteps'")) << status;
}

TEST(SpecYaml, WrongTypesNameLinePathAndWhatWasExpected) {
  for (const auto& [yaml, path, expected] :
       {std::tuple("optim: {steps: many}", "optim.steps", "a whole number"),
        std::tuple("optim: {steps: [1]}", "optim.steps", "a whole number"),
        std::tuple("optim: 3", "optim", "a mapping"),
        std::tuple("precision: {mode: fp8}", "precision.mode", "one of fp32, bf16, tf32, fp16"),
        std::tuple("seed: -1", "seed", "at least 0"),
        std::tuple("distributed: {collectiveTimeout: soon}", "distributed.collectiveTimeout",
                   "a duration"),
        std::tuple("model: {head: {hidden: 3}}", "model.head.hidden", "a list of"),
        std::tuple("[1, 2]", "the job", "a mapping")}) {
    const absl::Status status = ParseError(yaml);
    EXPECT_TRUE(HasReason(status, reason::kWrongType)) << yaml << ": " << status;
    EXPECT_TRUE(absl::StrContains(status.message(), path)) << status;
    EXPECT_TRUE(absl::StrContains(status.message(), expected)) << status;
    EXPECT_TRUE(absl::StrContains(status.message(), "job.yaml:1")) << status;
  }
}

TEST(SpecYaml, BrokenYamlNamesTheLine) {
  const absl::Status status = ParseError("optim:\n  steps: [1, 2\n");
  EXPECT_TRUE(HasReason(status, reason::kYamlSyntax));
  EXPECT_TRUE(absl::StrContains(status.message(), "job.yaml:")) << status;
}

TEST(SpecYaml, ExtendsARecipeAndOverridesIt) {
  testing::TempDir dir;
  std::ofstream(dir / "base.yaml")
      << "optim: {steps: 5, lr: 1}\naugment: {crops: [{size: 8}, {size: 9}]}\n";
  const auto spec =
      ParseJobSpec("extends: recipes/base\noptim: {lr: 2}\naugment: {crops: [{size: 64}]}\n",
                   "job.yaml", {dir.path().string()});
  ASSERT_TRUE(spec.ok()) << spec.status();
  EXPECT_EQ(spec->optim().steps(), 5);
  EXPECT_EQ(spec->optim().lr(), 2);
  EXPECT_EQ(spec->augment().crops_size(), 1);  // lists are replaced
  const absl::Status unknown =
      ParseJobSpec("extends: other", "job.yaml", {dir.path().string()}).status();
  EXPECT_TRUE(HasReason(unknown, reason::kUnknownRecipe));
  EXPECT_TRUE(absl::StrContains(GetErrorDetail(unknown)->hint, "base")) << unknown;
  // A recipe's name, not a path: whoever wrote the text may not have this machine's files.
  for (const std::string& path : {dir / "base", std::string("../base")})
    EXPECT_TRUE(
        HasReason(ParseJobSpec("extends: " + path, "job.yaml", {dir.path().string()}).status(),
                  reason::kUnknownRecipe));
  std::ofstream(dir / "circle.yaml") << "extends: circle\n";
  EXPECT_FALSE(ParseJobSpec("extends: circle", "job.yaml", {dir.path().string()}).ok());
}

TEST(SpecYaml, SetOverridesOneValue) {
  v1::JobSpec spec = Valid();
  ASSERT_TRUE(ApplySet(spec, "optim.lr=0.25").ok());
  ASSERT_TRUE(ApplySet(spec, "model.head.hidden=[7, 8]").ok());
  EXPECT_EQ(spec.optim().lr(), 0.25);
  EXPECT_EQ(spec.model().head().hidden(1), 8);
  EXPECT_EQ(spec.optim().steps(), 10);
  EXPECT_TRUE(HasReason(ApplySet(spec, "optim.rate=1"), reason::kUnknownKey));
  EXPECT_TRUE(HasReason(ApplySet(spec, "optim.lr=fast"), reason::kWrongType));
  EXPECT_FALSE(ApplySet(spec, "optim.lr").ok());
}

TEST(SpecYaml, AKeyThatStandsTwiceIsRefusedInsteadOfTakingTheLast) {
  for (const auto& [yaml, path, line] :
       {std::tuple("optim:\n  steps: 5\n  steps: 50\n", "optim.steps", "job.yaml:3"),
        std::tuple("optim:\n  startLr: 1\n  start_lr: 2\n", "optim.startLr", "job.yaml:3"),
        std::tuple("optim: {steps: 5}\ndata: {pool: a}\noptim: {lr: 1}\n", "optim", "job.yaml:3"),
        std::tuple("metadata:\n  labels:\n    a: x\n    a: y\n", "metadata.labels.a",
                   "job.yaml:4")}) {
    const absl::Status status = ParseError(yaml);
    EXPECT_TRUE(HasReason(status, reason::kYamlSyntax)) << yaml << status;
    EXPECT_TRUE(absl::StrContains(status.message(), path)) << status;
    EXPECT_TRUE(absl::StrContains(status.message(), line)) << status;
  }
}

TEST(SpecYaml, ASecondDocumentIsRefusedInsteadOfIgnored) {
  const absl::Status status = ParseError("optim: {steps: 5}\n---\noptim: {lr: 1}\n");
  EXPECT_TRUE(HasReason(status, reason::kYamlSyntax)) << status;
  EXPECT_TRUE(absl::StrContains(status.message(), "job.yaml:3")) << status;
  EXPECT_TRUE(ParseError("---\noptim: {steps: 5}\n").ok());
  EXPECT_TRUE(ParseError("").ok());
}

TEST(SpecYaml, BytesThatAreNotUtf8NameTheirLine) {
  const absl::Status status = ParseError("optim: {steps: 5}\nmetadata: {labels: {who: Ren\xe9}}\n");
  EXPECT_TRUE(HasReason(status, reason::kYamlSyntax)) << status;
  EXPECT_TRUE(absl::StrContains(status.message(), "job.yaml:2")) << status;
  v1::JobSpec spec = Valid();
  EXPECT_TRUE(HasReason(ApplySet(spec, "metadata.labels.who=Ren\xe9"), reason::kYamlSyntax));
}

TEST(SpecYaml, DurationsThatNoTimerHoldsAreRefused) {
  for (const char* text :
       {"inf", "-inf", "9223372036854775807d", "768614336404564651d", "99999999999d", "1e300h"}) {
    const absl::Status status =
        ParseError(absl::StrCat("distributed: {collectiveTimeout: ", text, "}"));
    EXPECT_TRUE(HasReason(status, reason::kWrongType)) << text << status;
  }
  const auto days = ParseJobSpec("distributed: {collectiveTimeout: 2d}", "job.yaml", {});
  ASSERT_TRUE(days.ok()) << days.status();
  EXPECT_EQ(days->distributed().collective_timeout().seconds(), 2 * 86400);
}

TEST(SpecYaml, HostileInputEndsInAnError) {
  std::string bomb = "a0: &a0 [1, 1]\n";
  for (int i = 1; i < 40; ++i)
    absl::StrAppend(&bomb, "a", i, ": &a", i, " [*a", i - 1, ", *a", i - 1, "]\n");
  for (const std::string& yaml : std::vector<std::string>{
           std::string(100'000, '['), std::string(100'000, '{'), std::string(20'000, ' ') + "\t- a",
           "optim:\n\tsteps: 5\n", "optim: &o {larc: *o}", "optim: {steps: *nowhere}", bomb,
           absl::StrCat("optim: {steps: ", std::string(100'000, '9'), "}"), "? [a, b]\n: c",
           "%YAML 9.9\n---\n[", "\"\\ud800\": 1"}) {
    EXPECT_EQ(ParseError(yaml).code(), absl::StatusCode::kInvalidArgument) << yaml.substr(0, 60);
  }
  std::string deep;
  for (int i = 0; i < 50'000; ++i) absl::StrAppend(&deep, "- ");
  EXPECT_EQ(ParseError(deep).code(), absl::StatusCode::kInvalidArgument);
}

TEST(SpecYaml, ARecipesNameThatNoFileCanHaveIsUnknown) {
  testing::TempDir dir;
  const absl::Status status = ParseJobSpec(absl::StrCat("extends: ", std::string(5000, 'a')),
                                           "job.yaml", {dir.path().string()})
                                  .status();
  EXPECT_TRUE(HasReason(status, reason::kUnknownRecipe)) << status;
}

TEST(SpecYaml, FormattedSpecReadsBackTheSame) {
  const v1::JobSpec spec = Valid();
  const auto again = ParseJobSpec(FormatJobSpec(spec), "printed", {});
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(again->DebugString(), spec.DebugString());
}

TEST(SpecDefaults, FillIsIdempotentAndValid) {
  v1::JobSpec spec = Valid();
  EXPECT_TRUE(ValidateJobSpec(spec).ok()) << ValidateJobSpec(spec);
  const std::string once = spec.DebugString();
  FillDefaults(spec);
  EXPECT_EQ(spec.DebugString(), once);
  EXPECT_EQ(spec.augment().crops(1).views(), 6);
}

TEST(SpecDefaults, TheQueueIsRoundedDownToWholeBatches) {
  const auto length = [](int64_t asked) {
    v1::JobSpec spec = Valid();
    spec.mutable_data()->set_global_batch(64);
    spec.mutable_loss()->mutable_swav()->set_queue_length(asked);
    FillDefaults(spec);
    return spec.loss().swav().queue_length();
  };
  EXPECT_EQ(length(0), 0);
  EXPECT_EQ(length(64), 64);
  EXPECT_EQ(length(3840), 3840);
  EXPECT_EQ(length(3900), 3840);
  EXPECT_EQ(length(50), 50) << "refused by the rules, not rounded to none";
}

TEST(SpecDefaults, AreThoseOfTheOptimizersKind) {
  const auto with = [](const std::string& optim) {
    auto spec = ParseJobSpec("data: {pool: photos}\noptim: " + optim, "job.yaml", {});
    EXPECT_TRUE(spec.ok()) << spec.status();
    FillDefaults(*spec);
    EXPECT_TRUE(ValidateJobSpec(*spec).ok()) << ValidateJobSpec(*spec);
    const auto again = ParseJobSpec(FormatJobSpec(*spec), "printed", {});
    EXPECT_TRUE(again.ok() && again->DebugString() == spec->DebugString()) << again.status();
    return spec->optim();
  };
  const v1::OptimSpec sgd = with("{steps: 5}");
  EXPECT_EQ(sgd.kind(), v1::OPTIMIZER_KIND_SGD);
  EXPECT_TRUE(sgd.larc().enabled());
  EXPECT_TRUE(sgd.decay_norm_and_bias());
  EXPECT_FALSE(sgd.has_lars() || sgd.has_adamw());
  EXPECT_EQ(sgd.lr(), 0.6);
  EXPECT_EQ(sgd.weight_decay(), 1e-6);
  EXPECT_EQ(sgd.clip_norm(), 0);
  const v1::OptimSpec lars = with("{steps: 5, kind: lars, clipNorm: 2}");
  EXPECT_FALSE(lars.larc().enabled());
  EXPECT_FALSE(lars.decay_norm_and_bias());
  EXPECT_EQ(lars.lars().trust(), 0.001);
  EXPECT_EQ(lars.lr(), 0.3);
  EXPECT_EQ(lars.momentum(), 0.9);
  EXPECT_EQ(lars.clip_norm(), 2);
  const v1::OptimSpec adamw = with("{steps: 5, kind: adamw, adamw: {beta1: 0}}");
  EXPECT_EQ(adamw.adamw().beta1(), 0) << "0 is a value, not unset";
  EXPECT_EQ(adamw.adamw().beta2(), 0.999);
  EXPECT_EQ(adamw.adamw().epsilon(), 1e-8);
  EXPECT_EQ(adamw.lr(), 5e-4);
  EXPECT_EQ(adamw.weight_decay(), 0.01);
  EXPECT_TRUE(adamw.decay_norm_and_bias());
  // A recipe's trust for LARC is no obstacle to another kind.
  EXPECT_FALSE(with("{steps: 5, kind: adamw, larc: {trust: 0.01}}").larc().enabled());
}

TEST(SpecValidate, ASettingOfAnotherOptimizerIsAnErrorThatSaysWhatToDo) {
  for (const auto& [optim, field, hint] :
       {std::tuple("kind: adamw, larc: {enabled: true}", "optim.larc.enabled",
                   "set optim.larc.enabled to false"),
        std::tuple("kind: lars, larc: {enabled: true}", "optim.larc.enabled",
                   "set optim.kind to sgd"),
        std::tuple("kind: adamw, nesterov: true", "optim.nesterov", "set optim.nesterov to false"),
        std::tuple("kind: lars, nesterov: true", "optim.nesterov", "set optim.kind to sgd"),
        std::tuple("adamw: {beta1: 0.5}", "optim.adamw", "set optim.kind to adamw"),
        std::tuple("kind: adamw, lars: {trust: 1}", "optim.lars", "take optim.lars out")}) {
    auto spec = ParseJobSpec(std::string("data: {pool: photos}\noptim: {steps: 5, ") + optim + "}",
                             "job.yaml", {});
    ASSERT_TRUE(spec.ok()) << spec.status();
    FillDefaults(*spec);
    const absl::Status status = ValidateJobSpec(*spec);
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << optim;
    const auto detail = GetErrorDetail(status);
    ASSERT_TRUE(detail.has_value()) << optim;
    EXPECT_EQ(detail->field, field) << status;
    EXPECT_TRUE(absl::StrContains(detail->hint, hint)) << detail->hint;
  }
}

TEST(SpecValidate, NamesTheNumberOfAnOptimizerThatIsOutOfRange) {
  for (const auto& [optim, field] :
       {std::pair("kind: lars, lars: {trust: 0}", "optim.lars.trust"),
        std::pair("kind: adamw, adamw: {beta1: 1}", "optim.adamw.beta1"),
        std::pair("kind: adamw, adamw: {beta2: -0.1}", "optim.adamw.beta2"),
        std::pair("kind: adamw, adamw: {epsilon: 0}", "optim.adamw.epsilon"),
        std::pair("clipNorm: -1", "optim.clipNorm"), std::pair("emaDecay: 1", "optim.emaDecay"),
        std::pair("emaDecay: -0.1", "optim.emaDecay"),
        std::pair("clipNorm: nan", "optim.clipNorm")}) {
    auto spec = ParseJobSpec(std::string("data: {pool: photos}\noptim: {steps: 5, ") + optim + "}",
                             "job.yaml", {});
    ASSERT_TRUE(spec.ok()) << spec.status();
    FillDefaults(*spec);
    const auto detail = GetErrorDetail(ValidateJobSpec(*spec));
    ASSERT_TRUE(detail.has_value()) << optim;
    EXPECT_EQ(detail->field, field) << optim;
  }
  v1::JobSpec unknown = Valid();
  unknown.mutable_optim()->set_kind(static_cast<v1::OptimizerKind>(77));
  const auto detail = GetErrorDetail(ValidateJobSpec(unknown));
  ASSERT_TRUE(detail.has_value());
  EXPECT_EQ(detail->field, "optim.kind");
}

absl::StatusOr<v1::JobSpec> WithOptim(const std::string& optim) {
  auto spec =
      ParseJobSpec("data: {pool: photos}\noptim: {steps: 50, " + optim + "}", "job.yaml", {});
  if (spec.ok()) FillDefaults(*spec);
  return spec;
}

TEST(SpecDefaults, APhaseStartsWhereTheLastEndedAndTheFirstAtItsField) {
  const auto spec = WithOptim(
      "momentum: 0.5, schedules: [{value: momentum, phases: [{shape: constant, steps: 3}, {shape: "
      "linear, end: 0.75, steps: 4}, {shape: cosine, end: 0, steps: 5}, {shape: linear, start: "
      "0.25, end: 0.5, steps: 6}]}, {value: temperature, phases: [{shape: cosine, end: 0.2, steps: "
      "9}]}]");
  ASSERT_TRUE(spec.ok()) << spec.status();
  ASSERT_TRUE(ValidateJobSpec(*spec).ok()) << ValidateJobSpec(*spec);
  ASSERT_EQ(spec->optim().schedules_size(), 2);
  std::vector<std::pair<double, double>> ends;
  for (const auto& phase : spec->optim().schedules(0).phases())
    ends.emplace_back(phase.start(), phase.end());
  EXPECT_THAT(ends, ::testing::ElementsAre(std::pair(0.5, 0.5), std::pair(0.5, 0.75),
                                           std::pair(0.75, 0.0), std::pair(0.25, 0.5)));
  EXPECT_EQ(spec->optim().schedules(1).phases(0).start(), spec->loss().swav().temperature());
  const auto again = ParseJobSpec(FormatJobSpec(*spec), "printed", {});
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(again->DebugString(), spec->DebugString());
}

TEST(SpecValidate, NamesTheSchedulesPhaseThatIsWrong) {
  for (const auto& [schedules, field] :
       {std::pair("{phases: [{shape: constant, steps: 2}]}", "optim.schedules[0].value"),
        std::pair("{value: lr}", "optim.schedules[0].phases"),
        std::pair("{value: lr, phases: [{shape: constant, steps: 2}, {steps: 2}]}",
                  "optim.schedules[0].phases[1].shape"),
        std::pair("{value: lr, phases: [{shape: constant}]}", "optim.schedules[0].phases[0].steps"),
        std::pair("{value: lr, phases: [{shape: linear, end: -1, steps: 2}]}",
                  "optim.schedules[0].phases[0].end"),
        std::pair("{value: lr, phases: [{shape: linear, start: nan, steps: 2}]}",
                  "optim.schedules[0].phases[0].start"),
        std::pair("{value: momentum, phases: [{shape: linear, end: 1, steps: 2}]}",
                  "optim.schedules[0].phases[0].end"),
        std::pair("{value: weight_decay, phases: [{shape: linear, start: -1, steps: 2}]}",
                  "optim.schedules[0].phases[0].start"),
        std::pair("{value: larc_trust, phases: [{shape: linear, end: 0, steps: 2}]}",
                  "optim.schedules[0].phases[0].end"),
        std::pair("{value: temperature, phases: [{shape: cosine, end: 0, steps: 2}]}",
                  "optim.schedules[0].phases[0].end"),
        std::pair("{value: epsilon, phases: [{shape: cosine, end: 0, steps: 2}]}",
                  "optim.schedules[0].phases[0].end"),
        std::pair("{value: lr, phases: [{shape: constant, start: 1, end: 2, steps: 2}]}",
                  "optim.schedules[0].phases[0].end"),
        std::pair("{value: lr, phases: [{shape: constant, steps: 2}]}, {value: lr, phases: "
                  "[{shape: constant, steps: 2}]}",
                  "optim.schedules[1].value")}) {
    const auto spec = WithOptim(absl::StrCat("schedules: [", schedules, "]"));
    ASSERT_TRUE(spec.ok()) << spec.status();
    const auto detail = GetErrorDetail(ValidateJobSpec(*spec));
    ASSERT_TRUE(detail.has_value()) << schedules;
    EXPECT_EQ(detail->field, field) << schedules;
  }
}

TEST(SpecValidate, AScheduleOfWhatTheJobDoesNotUseIsAnError) {
  const std::string phases = ", phases: [{shape: constant, steps: 2}]}]";
  for (const auto& [optim, good] :
       {std::pair("kind: adamw, schedules: [{value: momentum", false),
        std::pair("kind: lars, schedules: [{value: momentum", true),
        std::pair("kind: lars, schedules: [{value: larc_trust", false),
        std::pair("larc: {enabled: false}, schedules: [{value: larc_trust", false),
        std::pair("warmupSteps: 3, schedules: [{value: lr", false),
        std::pair("warmupSteps: 3, schedules: [{value: epsilon", true),
        std::pair("schedules: [{value: lr", true)}) {
    const auto spec = WithOptim(optim + phases);
    ASSERT_TRUE(spec.ok()) << spec.status();
    const absl::Status status = ValidateJobSpec(*spec);
    EXPECT_EQ(status.ok(), good) << optim << status;
    if (good) continue;
    const auto detail = GetErrorDetail(status);
    ASSERT_TRUE(detail.has_value()) << optim;
    EXPECT_EQ(detail->field, "optim.schedules[0].value");
  }
}

TEST(SpecDefaults, AGroupsUnsetFieldsAreNotZeros) {
  const auto spec = WithOptim(
      "groups: [{match: prototypes.*, lrScale: 0}, {match: '*.bias', weightDecay: 0, adapt: no}, "
      "{match: '*'}]");
  ASSERT_TRUE(spec.ok()) << spec.status();
  ASSERT_TRUE(ValidateJobSpec(*spec).ok()) << ValidateJobSpec(*spec);
  ASSERT_EQ(spec->optim().groups_size(), 3);
  EXPECT_EQ(spec->optim().groups(0).lr_scale(), 0) << "0 is a value, not unset";
  EXPECT_FALSE(spec->optim().groups(0).has_weight_decay());
  EXPECT_FALSE(spec->optim().groups(0).has_adapt());
  EXPECT_TRUE(spec->optim().groups(1).has_weight_decay());
  EXPECT_TRUE(spec->optim().groups(1).has_adapt());
  EXPECT_EQ(spec->optim().groups(2).lr_scale(), 1);
  const auto again = ParseJobSpec(FormatJobSpec(*spec), "printed", {});
  ASSERT_TRUE(again.ok()) << again.status();
  EXPECT_EQ(again->DebugString(), spec->DebugString());
}

TEST(SpecValidate, NamesTheFieldOfAGroupThatIsWrong) {
  for (const auto& [optim, field] :
       {std::pair("groups: [{match: '*', lrScale: 1}, {lrScale: 2}]", "optim.groups[1].match"),
        std::pair("groups: [{match: '*', lrScale: -1}]", "optim.groups[0].lrScale"),
        std::pair("groups: [{match: '*', lrScale: nan}]", "optim.groups[0].lrScale"),
        std::pair("groups: [{match: '*', weightDecay: -1}]", "optim.groups[0].weightDecay"),
        std::pair("kind: adamw, groups: [{match: '*', adapt: true}]", "optim.groups[0].adapt"),
        std::pair("larc: {enabled: no}, groups: [{match: '*', adapt: false}]",
                  "optim.groups[0].adapt")}) {
    const auto spec = WithOptim(optim);
    ASSERT_TRUE(spec.ok()) << spec.status();
    const auto detail = GetErrorDetail(ValidateJobSpec(*spec));
    ASSERT_TRUE(detail.has_value()) << optim;
    EXPECT_EQ(detail->field, field) << optim;
  }
  const auto lars = WithOptim("kind: lars, groups: [{match: '*', adapt: true}]");
  ASSERT_TRUE(lars.ok()) << lars.status();
  EXPECT_TRUE(ValidateJobSpec(*lars).ok()) << ValidateJobSpec(*lars);
}

TEST(SpecPrecision, TheLossScaleBelongsToFp16) {
  v1::JobSpec spec = Valid();
  EXPECT_FALSE(spec.precision().has_loss_scale());
  for (const char* mode : {"bf16", "tf32", "fp16"}) {
    ASSERT_TRUE(ApplySet(spec, absl::StrCat("precision.mode=", mode)).ok());
    FillDefaults(spec);
    EXPECT_TRUE(ValidateJobSpec(spec).ok()) << mode << ValidateJobSpec(spec);
  }
  EXPECT_EQ(spec.precision().loss_scale().initial(), 65536);
  EXPECT_EQ(spec.precision().loss_scale().growth_interval(), 2000);
  const auto field = [&](const char* set) {
    v1::JobSpec changed = spec;
    EXPECT_TRUE(ApplySet(changed, set).ok()) << set;
    return GetErrorDetail(ValidateJobSpec(changed)).value_or(ErrorDetail()).field;
  };
  EXPECT_EQ(field("precision.lossScale.initial=1"), "");
  EXPECT_EQ(field("precision.lossScale.initial=0.5"), "precision.lossScale.initial");
  EXPECT_EQ(field("precision.lossScale.initial=nan"), "precision.lossScale.initial");
  EXPECT_EQ(field("precision.lossScale.growthInterval=-1"), "precision.lossScale.growthInterval");
  EXPECT_EQ(field("precision.mode=bf16"), "precision.lossScale");
  v1::JobSpec unknown = Valid();
  unknown.mutable_precision()->set_mode(static_cast<v1::PrecisionMode>(77));
  EXPECT_EQ(GetErrorDetail(ValidateJobSpec(unknown)).value_or(ErrorDetail()).field,
            "precision.mode");
}

TEST(SpecData, AJobKeepsToAGenerationOrFollowsThePool) {
  v1::JobSpec spec = Valid();
  EXPECT_FALSE(spec.data().follow_pool());
  ASSERT_TRUE(ApplySet(spec, "data.followPool=true").ok());
  EXPECT_TRUE(ValidateJobSpec(spec).ok());
  spec.mutable_data()->set_generation(3);
  const auto status = ValidateJobSpec(spec);
  EXPECT_EQ(GetErrorDetail(status).value_or(ErrorDetail()).field, "data.followPool") << status;
}

TEST(SpecData, TheTransportIsTheFastestThereIsUnlessOneIsAskedFor) {
  v1::JobSpec spec = Valid();
  EXPECT_EQ(spec.data().transport(), v1::DATA_TRANSPORT_AUTO);
  ASSERT_TRUE(ApplySet(spec, "data.transport=in_trainer").ok());
  EXPECT_TRUE(ValidateJobSpec(spec).ok());
  EXPECT_EQ(spec.data().transport(), v1::DATA_TRANSPORT_IN_TRAINER);
  EXPECT_FALSE(ApplySet(spec, "data.transport=pigeon").ok());
  spec.mutable_data()->set_transport(static_cast<v1::DataTransport>(77));
  EXPECT_EQ(GetErrorDetail(ValidateJobSpec(spec)).value_or(ErrorDetail()).field, "data.transport");
}

TEST(SpecData, SamplingIsByEpochsUnlessReplacementIsAskedFor) {
  v1::JobSpec spec = Valid();
  EXPECT_EQ(spec.data().sampling(), v1::SAMPLING_MODE_EPOCHS);
  ASSERT_TRUE(ApplySet(spec, "data.sampling=replacement").ok());
  FillDefaults(spec);
  EXPECT_EQ(spec.data().sampling(), v1::SAMPLING_MODE_REPLACEMENT);
  EXPECT_TRUE(ValidateJobSpec(spec).ok()) << ValidateJobSpec(spec);
  EXPECT_FALSE(ApplySet(spec, "data.sampling=bootstrap").ok());
  spec.mutable_data()->set_sampling(static_cast<v1::SamplingMode>(77));
  EXPECT_EQ(GetErrorDetail(ValidateJobSpec(spec)).value_or(ErrorDetail()).field, "data.sampling");
}

TEST(SpecValidate, NamesTheFieldOfEveryBrokenRule) {
  for (const auto& [set, field] :
       {std::pair("memory.budgetBytes=-1", "memory.budgetBytes"),
        std::pair("loss.swav.queueLength=255", "loss.swav.queueLength"),
        std::pair("loss.swav.queueLength=-1", "loss.swav.queueLength"),
        std::pair("loss.swav.queueStartEpoch=-1", "loss.swav.queueStartEpoch"),
        std::pair("loss.swav.extraPrototypes=[1]", "loss.swav.extraPrototypes"),
        std::pair("optim.accumulationSteps=-2", "optim.accumulationSteps"),
        std::pair("optim.accumulationSteps=3", "optim.accumulationSteps"),
        std::pair("distributed.shardGroupSize=2", "distributed.shardGroupSize"),
        std::pair("memory.recompute=budget", "memory.budgetBytes"),
        std::pair("optim.steps=-3", "optim.steps"),
        std::pair("optim.steps=0", "optim.steps"),
        std::pair("optim.lr=-1", "optim.lr"),
        std::pair("optim.momentum=1", "optim.momentum"),
        std::pair("data.pool=''", "data.pool"),
        std::pair("data.pool='Bad Name'", "data.pool"),
        std::pair("data.globalBatch=7", "data.globalBatch"),
        std::pair("distributed.ranks=0", "distributed.ranks"),
        std::pair("distributed.syncBnGroupSize=3", "distributed.syncBnGroupSize"),
        std::pair("loss.swav.prototypes=1", "loss.swav.prototypes"),
        std::pair("loss.swav.epsilon=nan", "loss.swav.epsilon"),
        std::pair("loss.swav.powerLawExponent=-1", "loss.swav.powerLawExponent"),
        std::pair("loss.swav.hardCodeSteps=-1", "loss.swav.hardCodeSteps"),
        std::pair("loss.swav.assignViews=3", "loss.swav.assignViews"),
        std::pair("model.trunk.preset=regnety_1", "model.trunk.preset"),
        std::pair("model.trunk.preset=resnet18", "model.trunk.preset"),
        std::pair("model.trunk.stemStride=3", "model.trunk.stemStride"),
        std::pair("model.weights={}", "model.weights.uri"),
        std::pair("model.weights={uri: /w/swav.pth.tar}", "model.weights.uri"),
        std::pair("model.weights={uri: swav.safetensors}", "model.weights.uri"),
        std::pair("augment.flipProbability=1.5", "augment.flipProbability"),
        std::pair("augment.photometry.mean=[1]", "augment.photometry.mean"),
        std::pair("augment.photometry.mean=[0, nan, 0]", "augment.photometry.mean"),
        std::pair("distributed.collectiveTimeout=100000d", "distributed.collectiveTimeout"),
        std::pair("failure.noProgressTimeout=-1s", "failure.noProgressTimeout"),
        std::pair("augment.crops=[{views: 2, size: 4}]", "augment.crops[0].size"),
        std::pair("augment.crops=[{views: 1, size: 32, minScale: 0.5, maxScale: 1}]",
                  "augment.crops"),
        std::pair("checkpoint.everySteps=-1", "checkpoint.everySteps"),
        std::pair("checkpoint.keepEvery=-1", "checkpoint.keepEvery"),
        std::pair("checkpoint.keepBest=-1", "checkpoint.keepBest"),
        std::pair("checkpoint.keepLastWhenFull=9", "checkpoint.keepLastWhenFull"),
        std::pair("failure.maxRestarts=-1", "failure.maxRestarts"),
        std::pair("failure.refusedStepLimit=-1", "failure.refusedStepLimit"),
        std::pair("metadata.name=A_b", "metadata.name")}) {
    v1::JobSpec spec = Valid();
    if (std::string(set).rfind("data.globalBatch", 0) == 0 ||
        std::string(set).rfind("distributed.sync", 0) == 0)
      spec.mutable_distributed()->set_ranks(4);
    ASSERT_TRUE(ApplySet(spec, set).ok()) << set << ApplySet(spec, set);
    const absl::Status status = ValidateJobSpec(spec);
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << set;
    const auto detail = GetErrorDetail(status);
    ASSERT_TRUE(detail.has_value()) << set;
    EXPECT_EQ(detail->field, field) << status;
  }
}

TEST(SpecValidate, SchedulingHasItsDefaultsAndRules) {
  v1::JobSpec spec = Valid();
  EXPECT_EQ(spec.scheduling().queue(), "default");
  EXPECT_EQ(spec.scheduling().on_preemption(), v1::PREEMPTION_POLICY_REQUEUE);
  for (const char* set : {"scheduling.queue=vision", "scheduling.priority=-1000",
                          "scheduling.groupWithin=machine", "scheduling.groupWithin=seer.io/rack",
                          "scheduling.onPreemption=stop", "scheduling.workerSelector.gpu=h100"}) {
    ASSERT_TRUE(ApplySet(spec, set).ok()) << set << ApplySet(spec, set);
    EXPECT_TRUE(ValidateJobSpec(spec).ok()) << set << ValidateJobSpec(spec);
  }
  for (const auto& [set, field] :
       {std::pair("scheduling.queue=Vision", "scheduling.queue"),
        std::pair("scheduling.priority=1001", "scheduling.priority"),
        std::pair("scheduling.groupWithin=two words", "scheduling.groupWithin"),
        std::pair("scheduling.workerSelector.gpu=h 100", "scheduling.workerSelector.gpu")}) {
    v1::JobSpec bad = Valid();
    ASSERT_TRUE(ApplySet(bad, set).ok()) << set << ApplySet(bad, set);
    const auto detail = GetErrorDetail(ValidateJobSpec(bad));
    ASSERT_TRUE(detail.has_value()) << set;
    EXPECT_EQ(detail->field, field);
    EXPECT_FALSE(detail->hint.empty()) << set;
  }
  for (int i = 0; i < 17; ++i)
    (*spec.mutable_scheduling()->mutable_worker_selector())[absl::StrCat("k", i)] = "v";
  EXPECT_EQ(GetErrorDetail(ValidateJobSpec(spec))->field, "scheduling.workerSelector");
}

TEST(SpecValidate, TheBackendOfCollectivesIsOneThereIs) {
  for (const char* name : {"auto", "gloo", "nccl"}) {
    v1::JobSpec spec = Valid();
    ASSERT_TRUE(ApplySet(spec, absl::StrCat("distributed.backend=", name)).ok()) << name;
    EXPECT_TRUE(ValidateJobSpec(spec).ok()) << name << ValidateJobSpec(spec);
  }
  v1::JobSpec spec = Valid();
  EXPECT_EQ(spec.distributed().backend(), v1::COLLECTIVE_BACKEND_AUTO);
  spec.mutable_distributed()->set_backend(static_cast<v1::CollectiveBackend>(9));
  const auto detail = GetErrorDetail(ValidateJobSpec(spec));
  ASSERT_TRUE(detail.has_value());
  EXPECT_EQ(detail->field, "distributed.backend");
}

TEST(SpecValidate, CropsAreMadeInAWayThereIs) {
  for (const char* name : {"bilinear", "bicubic"}) {
    v1::JobSpec spec = Valid();
    ASSERT_TRUE(ApplySet(spec, absl::StrCat("augment.interpolation=", name)).ok()) << name;
    EXPECT_TRUE(ValidateJobSpec(spec).ok()) << name << ValidateJobSpec(spec);
  }
  v1::JobSpec spec = Valid();
  EXPECT_EQ(spec.augment().interpolation(), v1::INTERPOLATION_BILINEAR);
  const absl::Status unknown = ApplySet(spec, "augment.interpolation=lanczos");
  EXPECT_NE(unknown.message().find("bilinear, bicubic"), absl::string_view::npos) << unknown;
  spec.mutable_augment()->set_interpolation(static_cast<v1::Interpolation>(9));
  const auto detail = GetErrorDetail(ValidateJobSpec(spec));
  ASSERT_TRUE(detail.has_value());
  EXPECT_EQ(detail->field, "augment.interpolation");
}

TEST(SpecValidate, ATrunkOfEitherFamilyAndTheNearestNamesOfNone) {
  for (const char* preset : {"regnetx_400mf", "resnet152", "wide_resnet101_2"}) {
    v1::JobSpec spec = Valid();
    spec.mutable_model()->mutable_trunk()->set_preset(preset);
    EXPECT_TRUE(ValidateJobSpec(spec).ok()) << preset << ValidateJobSpec(spec);
  }
  v1::JobSpec spec = Valid();
  spec.mutable_model()->mutable_trunk()->set_preset("resnet_50");
  const auto detail = GetErrorDetail(ValidateJobSpec(spec));
  ASSERT_TRUE(detail.has_value());
  EXPECT_EQ(detail->hint, "the nearest names are resnet50, resnet152, resnet101");
}

TEST(SpecRecipes, EveryShippedRecipeIsValid) {
  const char* source = std::getenv("SEER_SOURCE_DIR");
  ASSERT_NE(source, nullptr);
  int recipes = 0;
  for (const auto& entry :
       std::filesystem::directory_iterator(std::filesystem::path(source) / "recipes")) {
    if (entry.path().extension() != ".yaml") continue;
    std::stringstream text;
    text << std::ifstream(entry.path()).rdbuf();
    auto specs = ParseJobSpecs(text.str(), entry.path().filename().string(),
                               {(std::filesystem::path(source) / "recipes").string()});
    ASSERT_TRUE(specs.ok()) << specs.status();
    for (v1::JobSpec& spec : *specs) {
      FillDefaults(spec);
      EXPECT_TRUE(ValidateJobSpec(spec).ok()) << entry.path() << ValidateJobSpec(spec);
    }
    ++recipes;
  }
  EXPECT_GE(recipes, 3);
}

}  // namespace
}  // namespace seer
