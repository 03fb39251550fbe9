// The threads on which gRPC 1.51 calls back. It keeps them while any channel or server uses them and joins them with
// the last; when that last use ends in a callback, a thread joins itself and then reads what it has freed, which ends
// the process ("ref_counted.h: assertion failed: prior > 0"). A connection whose two ends are torn down at once gets
// there. Each of them also sleeps for a tenth of a second after each idle second, and hears nothing meanwhile.
//
//   hold_callback_threads();        // before the first channel or server
//   add_callback_thread();          // in a daemon, which is idle most of the time and must answer at once
#pragma once

namespace kiln::session {

// Keeps the threads until the process ends: their count never falls to none. Cheap after the first call. Any thread.
void hold_callback_threads();

// Adds one that waits without sleeping, until the process ends. Once a process.
void add_callback_thread();

}  // namespace kiln::session
