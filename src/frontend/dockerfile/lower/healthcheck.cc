// HEALTHCHECK: how a container of the image is asked whether it is well.
#include <fmt/format.h>

#include "frontend/dockerfile/lower/checks.h"
#include "frontend/dockerfile/lower/naming.h"
#include "frontend/dockerfile/lower/steps.h"

namespace kiln::frontend::dockerfile {

Status lower_healthcheck(StepContext& at, Healthcheck& health) {
  StageState& stage = at.stage;
  check_once(stage.healthcheck, at.instruction().name, at.ranges(), at.lint);
  stage.image.config.healthcheck = content::Healthcheck{.test = health.test,
                                                        .interval_ns = health.interval.count(),
                                                        .timeout_ns = health.timeout.count(),
                                                        .start_period_ns = health.start_period.count(),
                                                        .start_interval_ns = health.start_interval.count(),
                                                        .retries = health.retries};
  add_history(stage,
              fmt::format("HEALTHCHECK {{Test:{} Interval:{} Timeout:{} StartPeriod:{} StartInterval:{} Retries:{}}}",
                          plain_list(health.test), go_duration(health.interval), go_duration(health.timeout),
                          go_duration(health.start_period), go_duration(health.start_interval), health.retries),
              Layer::kNone, Mark::kNone, at.lowering.epoch());
  return ok();
}

}  // namespace kiln::frontend::dockerfile
