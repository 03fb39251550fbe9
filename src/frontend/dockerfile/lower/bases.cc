// What stages are built on: images, contexts, nothing. All lookups of one round run at once.
#include <fmt/format.h>

#include <map>

#include "base/reference.h"
#include "base/value.h"
#include "frontend/dockerfile/image_path.h"
#include "frontend/dockerfile/lower/checks.h"
#include "frontend/dockerfile/lower/lowering.h"
#include "frontend/dockerfile/lower/naming.h"
#include "frontend/dockerfile/lower/words.h"
#include "frontend/dockerfile/places.h"
#include "frontend/parallel.h"
#include "graph/build/sources.h"

namespace kiln::frontend::dockerfile {

namespace gb = graph::build;

namespace {

content::ImageConfig empty_image(const Platform& platform) {
  content::ImageConfig image;
  image.platform = platform;
  image.config.working_dir = "/";
  if (platform.os != "windows") image.config.env = {"PATH=" + default_path_env(platform.os)};
  return image;
}

// An image of no layers at all is the empty tree. Very old images do not list layers, but history.
bool is_empty_image(const content::ImageConfig& image) {
  if (!image.diff_ids.empty()) return false;
  for (const auto& entry : image.history) {
    if (!entry.empty_layer) return false;
  }
  return true;
}

// Nobody asked for a platform: an image for another platform that we can build decides.
Platform detected_platform(const content::ImageConfig& image, const Platform& target,
                           const std::vector<Platform>& supported) {
  auto suits = [&image](const Platform& p) {
    return p.os == image.platform.os && p.architecture == image.platform.architecture;
  };
  if (suits(target)) return target;
  for (const auto& platform : supported) {
    if (suits(platform)) return platform;
  }
  return target;
}

}  // namespace

Result<std::vector<StageState*>> Lowering::resolve_stages(StageState* target, std::stop_token stop) {
  while (true) {
    KILN_RETURN_IF_ERROR(resolve_bases(target, stop));
    auto reached = reachable(target);
    bool more = false;
    for (StageState* stage : reached) {
      inherit(*stage);
      auto taken = take_triggers(*stage);
      if (!taken.ok()) return with_ranges(without_ranges(taken.status()), stage->stage.ranges);
      more |= *taken;
    }
    if (!more) return reached;
  }
}

Status Lowering::resolve_bases(StageState* target, std::stop_token stop) {
  const auto reached = reachable(target);
  const std::set<StageState*> wanted(reached.begin(), reached.end());
  std::vector<std::function<Status(std::stop_token)>> lookups;
  std::map<std::string, std::vector<std::function<Status(std::stop_token)>>> needed_jobs;  // by image
  for (StageState* stage : stages_) {
    if (stage->base != nullptr || stage->lowered || stage->resolved) continue;
    const bool needed = wanted.contains(stage) || options_.reach == Reach::kAllStages;
    stage->resolved = needed;
    if (stage->stage.base == "scratch" && !stage->context_name) {
      stage->state = gb::scratch();
      stage->image = empty_image(target_platform_);
      stage->platform = target_platform_;
      if (stage->unregistered) stage->lowered = true;
      continue;
    }
    auto job = [this, stage, needed](std::stop_token token) {
      auto status = resolve_base(*stage, needed, token);
      if (stage->unregistered) stage->lowered = true;
      return status.ok() ? status : with_ranges(status, stage->stage.ranges);
    };
    if (needed) {
      const std::string platform = stage->platform ? stage->platform->str_full() : "";
      needed_jobs[platform + " " + stage->context_name.value_or(stage->stage.base)].push_back(job);
    } else {
      KILN_RETURN_IF_ERROR(job(stop));
    }
  }
  // Stages on one image have one answer: they follow each other.
  for (auto& [image, jobs] : needed_jobs) {
    lookups.push_back([jobs = std::move(jobs)](std::stop_token token) {
      for (const auto& job : jobs) KILN_RETURN_IF_ERROR(job(token));
      return ok();
    });
  }
  // The ignore file comes meanwhile; whoever needs it is told then what is wrong with it.
  if (!lookups.empty()) {
    lookups.push_back([this](std::stop_token token) {
      (void)contexts().ignore_patterns(token);
      return ok();
    });
  }
  KILN_RETURN_IF_ERROR(run_all(lookups, stop));
  // The linter belongs to this thread, so that rule waits until all lookups are back.
  for (StageState* stage : stages_) {
    if (!stage->base_to_check) continue;
    const auto [image, platform] = *std::exchange(stage->base_to_check, std::nullopt);
    check_base_platform(image, platform, stage->image.platform, stage->stage.ranges, *lint_);
  }
  return ok();
}

Status Lowering::resolve_base(StageState& stage, bool needed, std::stop_token stop) {
  const std::string written = stage.stage.base;
  auto ref = Reference::parse(written);
  if (!ref.ok())
    return with_word(annotate(ref.status(), fmt::format("failed to parse stage name {}", quote(written))), written);
  stage.stage.base = ref->with_default_tag().str();
  Platform platform = stage.platform.value_or(target_platform_);
  bool empty = false;
  if (needed) {
    KILN_ASSIGN_OR_RETURN(bool replaced, use_context(stage, platform, stop));
    if (replaced) return ok();
    auto looked_up = look_up_base(stage, written, platform, stop);
    if (!looked_up.ok()) return looked_up.status();
    empty = *looked_up;
  }
  if (empty) {
    stage.state = gb::scratch();
  } else {
    gb::Constraints constraints;
    constraints.describe("com.docker.dockerfile.v1.command", stage.stage.code)
        .on(platform)
        .at(text(), graph_ranges(stage.stage.ranges));
    constraints.name(prefixed_name(stage, "FROM " + stage.stage.base, request().multi_platform, platform, {}));
    stage.state = gb::image(stage.stage.base, {.resolve_mode = request().resolve_mode}, constraints);
    if (needed) stage.base_to_check = {written, platform};
  }
  stage.platform = platform;
  return ok();
}

// The stage, or the image it is built on, may be replaced by a context of the client.
Result<bool> Lowering::use_context(StageState& stage, const Platform& platform, std::stop_token stop) {
  if (stage.context_name) {
    KILN_ASSIGN_OR_RETURN(auto loaded,
                          contexts().load_named(*stage.context_name, context_options(stage, stage.platform), stop));
    if (!loaded) return engine_error("a named context went away");
    stage.lowered = true;
    stage.state = loaded->state;
    stage.image = loaded->image.value_or(content::ImageConfig{.rootfs_type = ""});
    if (loaded->image) {
      stage.image.created.reset();
      const Platform& own = stage.image.platform;
      if (!own.os.empty() && !own.architecture.empty()) stage.platform = stage.image.platform;
    }
    return true;
  }
  if (!is_context_name(stage.stage.base)) return false;
  KILN_ASSIGN_OR_RETURN(auto loaded, contexts().load_named(stage.stage.base, context_options(stage, platform), stop));
  if (!loaded) return false;
  stage.image = loaded->image.value_or(empty_image(platform));
  stage.base_image = stage.image;
  stage.image.created.reset();
  stage.state = loaded->state.with_platform(platform);
  stage.platform = platform;
  return true;
}

// Asks for the image's config. Gives whether the image is empty; may change the platform.
Result<bool> Lowering::look_up_base(StageState& stage, const std::string& written, Platform& platform,
                                    std::stop_token stop) {
  const std::string prefix = request().multi_platform ? "[" + platform.str_full() + " internal]" : "[internal]";
  KILN_ASSIGN_OR_RETURN(Reference ref, Reference::parse(stage.stage.base));
  auto found = contexts().bridge().resolve_image_config(
      stage.stage.base,
      {.log_name = fmt::format("{} load metadata for {}", prefix, stage.stage.base),
       .platform = platform,
       .resolve_mode = std::string(gb::resolve_mode_name(request().resolve_mode))},
      stop);
  if (!found.ok()) {
    std::vector<std::string> known = stage_names();
    for (auto& name : common_images()) known.push_back(std::move(name));
    const std::string near = suggestion_suffix(written, known, MatchCase::kSensitive);
    const std::string what = fmt::format("{}: failed to resolve source metadata for {}", written, stage.stage.base);
    return with_word(with_suffix(annotate(found.status(), what), near), written);
  }
  if (!found->ref.empty() && found->ref != ref.str()) {
    auto moved = Reference::parse(found->ref);
    if (!moved.ok()) return annotate(moved.status(), fmt::format("failed to parse ref {}", quote(found->ref)));
    ref = *moved;
  }
  auto image = content::parse_image_config(found->config);
  if (!image.ok()) return annotate(image.status(), "failed to parse image config");
  stage.base_image = *image;
  image->created.reset();
  if (!stage.platform && implicit_target_) platform = detected_platform(*image, platform, build_platforms_);
  if (!found->digest.empty()) ref = ref.with_digest(found->digest);
  stage.stage.base = ref.str();
  stage.image = *std::move(image);
  return is_empty_image(stage.image);
}

}  // namespace kiln::frontend::dockerfile
