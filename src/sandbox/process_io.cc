#include "sandbox/process_io.h"

#include <fcntl.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include <cerrno>

#include "sandbox/internal/control.h"

namespace kiln::sandbox {
namespace {

constexpr std::size_t kBufferBytes = 64u << 10;
constexpr int kKillAgainMs = 50;

Status open_pipe(host::Fd& reading, host::Fd& writing) {
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return errno_error(errno, "open a pipe");
  reading = host::Fd(ends[0]);
  writing = host::Fd(ends[1]);
  return ok();
}

void set_nonblocking(int fd) { (void)::fcntl(fd, F_SETFL, ::fcntl(fd, F_GETFL) | O_NONBLOCK); }

Status open_terminal(host::Fd& master, host::Fd& slave) {
  master = host::Fd(::posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC));
  if (!master.valid()) return errno_error(errno, "open a pseudo terminal");
  int zero = 0;
  if (::ioctl(master.get(), TIOCSPTLCK, &zero) != 0) return errno_error(errno, "unlock the pseudo terminal");
  slave = host::Fd(::ioctl(master.get(), TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC));
  if (!slave.valid()) return errno_error(errno, "open the pseudo terminal's far end");
  return ok();
}

// Reaps; nothing while it still runs.
std::optional<int> reap(int pidfd) {
  siginfo_t info{};
  if (::waitid(P_PIDFD, static_cast<id_t>(pidfd), &info, WEXITED | WNOHANG | __WALL) != 0) return 255;
  if (info.si_pid == 0) return std::nullopt;
  return info.si_code == CLD_EXITED ? info.si_status : 128 + info.si_status;
}

}  // namespace

Result<ProcessStreams> ProcessStreams::open(bool tty, const ProcessIo& io) {
  ProcessStreams out;
  out.tty_ = tty;
  out.buffer_ = std::make_unique_for_overwrite<char[]>(kBufferBytes);
  if (tty) {
    KILN_RETURN_IF_ERROR(open_terminal(out.out_, out.child_in_));
    KILN_ASSIGN_OR_RETURN(out.child_out_, out.child_in_.duplicate());
    if (io.control != nullptr) {
      KILN_ASSIGN_OR_RETURN(out.in_, out.out_.duplicate());
    }
    set_nonblocking(out.out_.get());
    return out;
  }
  KILN_RETURN_IF_ERROR(open_pipe(out.out_, out.child_out_));
  KILN_RETURN_IF_ERROR(open_pipe(out.err_, out.child_err_));
  if (io.control != nullptr) {
    KILN_RETURN_IF_ERROR(open_pipe(out.child_in_, out.in_));
    set_nonblocking(out.in_.get());
  } else {
    KILN_ASSIGN_OR_RETURN(out.child_in_, host::open_file("/dev/null", O_RDONLY));
  }
  set_nonblocking(out.out_.get());
  set_nonblocking(out.err_.get());
  return out;
}

void ProcessStreams::close_child_ends() {
  child_in_.reset();
  child_out_.reset();
  child_err_.reset();
}

void ProcessStreams::give_to(std::uint32_t uid) const {
  if (uid == 0) return;
  (void)::fchown(child_stdout(), uid, static_cast<gid_t>(-1));
  (void)::fchown(child_stderr(), uid, static_cast<gid_t>(-1));
  if (in_.valid()) (void)::fchown(child_stdin(), uid, static_cast<gid_t>(-1));
}

// Reads once; false when there is nothing to read now. Closes `from` at its end.
bool ProcessStreams::take_output(host::Fd& from, const std::function<void(std::string_view)>& to) {
  const ssize_t count = ::read(from.get(), buffer_.get(), kBufferBytes);
  if (count > 0) {
    if (to) to(std::string_view(buffer_.get(), static_cast<std::size_t>(count)));
    return true;
  }
  if (count < 0 && (errno == EAGAIN || errno == EINTR)) return false;
  from.reset();  // end, or EIO of a terminal whose last user has gone
  return false;
}

void ProcessStreams::feed_input(ProcessControl::State& control) {
  for (;;) {
    if (waiting_.empty()) {
      std::lock_guard lock(control.mutex);
      if (control.input.empty()) {
        if (control.input_closed && !tty_) in_.reset();
        return;
      }
      waiting_ = std::move(control.input.front());
      control.input.pop_front();
      control.input_bytes -= waiting_.size();
      control.room.notify_all();
    }
    const ssize_t count = ::write(in_.get(), waiting_.data(), waiting_.size());
    if (count < 0) {
      if (errno == EAGAIN || errno == EINTR) return;
      in_.reset();  // EPIPE: nobody reads any more
      control.end();
      return;
    }
    waiting_.erase(0, static_cast<std::size_t>(count));
  }
}

void ProcessStreams::obey(ProcessControl::State& control, const std::function<void(int)>& signal) {
  std::vector<int> signals;
  std::optional<std::pair<unsigned, unsigned>> size;
  {
    std::lock_guard lock(control.mutex);
    signals.swap(control.signals);
    size.swap(control.size);
  }
  if (size && tty_ && out_.valid()) {
    winsize window{};
    window.ws_row = static_cast<unsigned short>(size->first);
    window.ws_col = static_cast<unsigned short>(size->second);
    (void)::ioctl(out_.get(), TIOCSWINSZ, &window);
  }
  for (int number : signals) signal(number);
}

Result<int> ProcessStreams::serve(int pidfd, ProcessIo& io, const std::function<void(int)>& signal,
                                  std::stop_token stop) {
  host::Wake stopped;
  std::stop_callback ring(stop, [&] { stopped.ring(); });
  ProcessControl::State* control = io.control != nullptr ? &io.control->state() : nullptr;
  std::optional<int> code;
  while (!code || out_.valid() || err_.valid()) {
    if (code) {
      // Whoever still holds the far ends outlived the process on purpose; what is there now is enough.
      while (out_.valid() && take_output(out_, io.on_stdout)) {
      }
      while (err_.valid() && take_output(err_, io.on_stderr)) {
      }
      break;
    }
    const bool writing = control != nullptr && in_.valid() && !waiting_.empty();
    pollfd waits[] = {{pidfd, POLLIN, 0},
                      {out_.get(), POLLIN, 0},
                      {err_.get(), POLLIN, 0},
                      {stop.stop_requested() ? -1 : stopped.fd(), POLLIN, 0},
                      {control != nullptr ? control->wake.fd() : -1, POLLIN, 0},
                      {writing ? in_.get() : -1, POLLOUT, 0}};
    if (stop.stop_requested()) signal(SIGKILL);
    if (::poll(waits, std::size(waits), stop.stop_requested() ? kKillAgainMs : -1) < 0 && errno != EINTR) {
      return errno_error(errno, "wait for the process");
    }
    if (waits[1].revents != 0) take_output(out_, io.on_stdout);
    if (waits[2].revents != 0) take_output(err_, io.on_stderr);
    if (waits[4].revents != 0) {
      control->wake.clear();
      obey(*control, signal);
    }
    if (control != nullptr && in_.valid() && (waits[4].revents != 0 || waits[5].revents != 0)) feed_input(*control);
    if (waits[0].revents != 0) code = reap(pidfd);
  }
  if (control != nullptr) control->end();
  if (stop.stop_requested()) return cancelled();
  return *code;
}

}  // namespace kiln::sandbox
