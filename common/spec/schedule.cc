#include "common/spec/schedule.h"

#include <map>

namespace seer {
namespace {

engine::Schedule ToSchedule(const v1::ScheduleSpec& spec) {
  engine::Schedule schedule;
  for (const v1::SchedulePhase& phase : spec.phases()) {
    const engine::ScheduleShape shape =
        phase.shape() == v1::SCHEDULE_SHAPE_LINEAR   ? engine::ScheduleShape::kLinear
        : phase.shape() == v1::SCHEDULE_SHAPE_COSINE ? engine::ScheduleShape::kCosine
                                                     : engine::ScheduleShape::kConstant;
    schedule.phases.push_back({shape, phase.start(), phase.end(), phase.steps()});
  }
  return schedule;
}

}  // namespace

engine::ScheduleConfig ToSchedules(const v1::OptimSpec& optim) {
  engine::ScheduleConfig c;
  const std::map<v1::ScheduledValue, engine::Schedule*> places = {
      {v1::SCHEDULED_VALUE_LR, &c.lr},
      {v1::SCHEDULED_VALUE_WEIGHT_DECAY, &c.weight_decay},
      {v1::SCHEDULED_VALUE_MOMENTUM, &c.momentum},
      {v1::SCHEDULED_VALUE_LARC_TRUST, &c.larc_trust},
      {v1::SCHEDULED_VALUE_TEMPERATURE, &c.temperature},
      {v1::SCHEDULED_VALUE_EPSILON, &c.epsilon}};
  for (const v1::ScheduleSpec& schedule : optim.schedules()) {
    const auto place = places.find(schedule.value());
    if (place != places.end()) *place->second = ToSchedule(schedule);
  }
  return c;
}

}  // namespace seer
