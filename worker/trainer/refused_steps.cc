#include "worker/trainer/refused_steps.h"

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "common/base/error.h"
#include "worker/trainer/id_log.h"

namespace seer::worker {

absl::Status RefusedSteps::Observe(const engine::StepReport& report) {
  if (report.overflow) return absl::OkStatus();
  in_a_row_ = report.skipped ? in_a_row_ + 1 : 0;
  const bool fail = policy_ == v1::REFUSED_STEP_POLICY_FAIL,
             roll_back = policy_ == v1::REFUSED_STEP_POLICY_ROLL_BACK;
  if (!(fail || roll_back) || in_a_row_ < limit_) return absl::OkStatus();
  return Error(fail ? absl::StatusCode::kFailedPrecondition : absl::StatusCode::kAborted,
               reason::kNonFinite,
               absl::StrCat("loss or gradients were not finite in ", in_a_row_,
                            " steps in a row, the last of them step ", report.step))
      .Field("failure.refusedStepPolicy")
      .Hint("lower optim.lr, or lengthen its warm-up; the trainer's log names the images")
      .With("step", absl::StrCat(report.step))
      .With("refused_steps", absl::StrCat(in_a_row_));
}

std::string NameImages(const engine::Batch& batch) {
  const size_t named = std::min(batch.image_ids.size(), RefusedSteps::kMaxNamedImages);
  std::string text;
  for (size_t i = 0; i < named; ++i)
    absl::StrAppend(&text, i == 0 ? "" : ",", ImageIdHex(batch.image_ids[i]));
  if (named < batch.image_ids.size())
    absl::StrAppend(&text, " and ", batch.image_ids.size() - named, " more");
  return text;
}

}  // namespace seer::worker
