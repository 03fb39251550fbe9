// STOPSIGNAL: how a container of the image is asked to end.
#include <csignal>

#include <algorithm>
#include <string_view>

#include <fmt/format.h>

#include "base/text.h"
#include "base/value.h"
#include "frontend/dockerfile/lower/naming.h"
#include "frontend/dockerfile/lower/steps.h"

namespace kiln::frontend::dockerfile {
namespace {

constexpr std::string_view kSignals[] = {
    "ABRT", "ALRM", "BUS",  "CHLD", "CLD",  "CONT", "FPE",    "HUP",    "ILL",  "INT",  "IO",    "IOT",
    "KILL", "PIPE", "POLL", "PROF", "PWR",  "QUIT", "SEGV",   "STKFLT", "STOP", "SYS",  "TERM",  "TRAP",
    "TSTP", "TTIN", "TTOU", "URG",  "USR1", "USR2", "VTALRM", "WINCH",  "XCPU", "XFSZ", "RTMIN", "RTMAX",
};

// RTMIN+1 … RTMIN+15 and RTMAX-14 … RTMAX-1.
bool is_realtime(std::string_view name) {
  const bool up = name.starts_with("RTMIN+");
  if (!up && !name.starts_with("RTMAX-")) return false;
  return parse_unsigned(name.substr(6), 10, up ? 15 : 14).value_or(0) > 0;
}

bool is_signal(std::string_view text) {
  if (auto number = parse_integer(text)) return *number != 0;
  const std::string upper = to_upper(text);
  std::string_view name = upper;
  if (name.starts_with("SIG")) name.remove_prefix(3);
  return std::find(std::begin(kSignals), std::end(kSignals), name) != std::end(kSignals) || is_realtime(name);
}

std::string signal_hint(const std::string& text) {
  std::vector<std::string> names;
  for (std::string_view name : kSignals) names.push_back("SIG" + std::string(name));
  return suggestion_suffix(text, names, MatchCase::kInsensitive);
}

}  // namespace

Status lower_stop_signal(StepContext& at, StopSignal& stop_signal) {
  if (!is_signal(stop_signal.signal)) {
    return word_fault(stop_signal.signal,
                      fmt::format("invalid signal: {}{}", stop_signal.signal, signal_hint(stop_signal.signal)));
  }
  at.stage.image.config.stop_signal = stop_signal.signal;
  add_history(at.stage, "STOPSIGNAL " + stop_signal.signal, Layer::kNone, Mark::kNone, at.lowering.epoch());
  return ok();
}

}  // namespace kiln::frontend::dockerfile
