#include "event/error_text.h"

namespace kiln::event {

std::string error_text(const Status& status) {
  if (status.ok()) return "";
  constexpr std::string_view kCancelled = "context canceled";
  std::string text(message_of(status));
  if (is_cancelled(status)) {
    if (text == "canceled") return std::string(kCancelled);
    if (!text.ends_with(kCancelled)) text += text.empty() ? "" : ": ", text += kCancelled;
  }
  return text.empty() ? "failed without a reason" : text;
}

}  // namespace kiln::event
