// LABEL: what is told about the image.
#include "frontend/dockerfile/lower/naming.h"
#include "frontend/dockerfile/lower/steps.h"

namespace kiln::frontend::dockerfile {

Status lower_label(StepContext& at, Label& label) {
  std::string shown = "LABEL";
  for (const KeyValue& entry : label.entries) {
    if (entry.legacy) {
      at.lint.report(lint_rules::kLegacyKeyValueFormat, at.ranges(),
                     lint_text::legacy_key_value_format(at.instruction().name));
    }
    at.stage.image.config.labels[entry.key] = entry.value;
    shown += " " + entry.key + "=" + entry.value;
  }
  add_history(at.stage, std::move(shown), Layer::kNone, Mark::kNone, at.lowering.epoch());
  return ok();
}

}  // namespace kiln::frontend::dockerfile
