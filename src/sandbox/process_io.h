// The streams of one running process and the loop that serves them until it ends: output to the
// callbacks, input and signals from the ProcessControl, the stop. Used by every runtime.
//
//   KILN_ASSIGN_OR_RETURN(ProcessStreams streams, ProcessStreams::open(process.tty, io));
//   … start a child with streams.child_stdin() … ; streams.close_child_ends();
//   KILN_ASSIGN_OR_RETURN(int status, streams.serve(pidfd, io, kill, stop));
#pragma once

#include <functional>
#include <memory>
#include <stop_token>

#include "base/status.h"
#include "host/fd.h"
#include "sandbox/runtime.h"

namespace kiln::sandbox {

// One thread at a time; the pipes or the terminal of one process.
class ProcessStreams {
 public:
  // Pipes, or with a tty one pseudo terminal of the host's devpts. Without a control, standard input
  // is /dev/null.
  static Result<ProcessStreams> open(bool tty, const ProcessIo& io);

  int child_stdin() const { return child_in_.get(); }
  int child_stdout() const { return child_out_.get(); }
  int child_stderr() const { return child_err_.valid() ? child_err_.get() : child_out_.get(); }
  // To be called in the parent once the child has its copies; else the end of output is never seen.
  void close_child_ends();
  // So that a program of another user can open /dev/stdout again.
  void give_to(std::uint32_t uid) const;

  // Moves bytes until the process behind `pidfd` has ended and its output is drained. `signal` is
  // called for each signal that was asked for, and with SIGKILL when stopped (again every 50 ms until
  // the process is gone). Gives the wait status as waitid does: code 128+n for a signal. Cancelled
  // after a stop, the process reaped.
  Result<int> serve(int pidfd, ProcessIo& io, const std::function<void(int)>& signal, std::stop_token stop);

 private:
  bool take_output(host::Fd& from, const std::function<void(std::string_view)>& to);
  void feed_input(ProcessControl::State& control);
  void obey(ProcessControl::State& control, const std::function<void(int)>& signal);

  bool tty_ = false;
  host::Fd child_in_, child_out_, child_err_;
  host::Fd in_, out_, err_;  // with a tty, out_ is the master and in_ a duplicate of it
  std::string waiting_;      // input taken from the control, not yet written
  std::unique_ptr<char[]> buffer_;
};

}  // namespace kiln::sandbox
