#include "sandbox/internal/control.h"

namespace kiln::sandbox {

ProcessControl::ProcessControl() : state_(std::make_shared<State>()) {}
ProcessControl::~ProcessControl() = default;

bool ProcessControl::write_stdin(std::string_view bytes) {
  std::unique_lock lock(state_->mutex);
  state_->room.wait(lock,
                    [&] { return state_->ended || state_->input_closed || state_->input_bytes < kStdinWaitingMax; });
  if (state_->ended || state_->input_closed) return false;
  if (!bytes.empty()) {
    state_->input.emplace_back(bytes);
    state_->input_bytes += bytes.size();
  }
  state_->wake.ring();
  return true;
}

void ProcessControl::close_stdin() {
  std::lock_guard lock(state_->mutex);
  state_->input_closed = true;
  state_->room.notify_all();
  state_->wake.ring();
}

void ProcessControl::signal(int number) {
  std::lock_guard lock(state_->mutex);
  if (state_->ended) return;
  state_->signals.push_back(number);
  state_->wake.ring();
}

void ProcessControl::resize(unsigned rows, unsigned columns) {
  std::lock_guard lock(state_->mutex);
  state_->size = {rows, columns};
  state_->wake.ring();
}

}  // namespace kiln::sandbox
