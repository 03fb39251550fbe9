// What a process that falls idle need not keep.
//
//   host::give_back_memory();
#pragma once

namespace kiln::host {

// Gives freed heap memory back to the system, and unmaps the pages of the program's and its libraries' files
// that are never written: most were touched by the start, or by the last build, alone. They stay in the
// system's file cache, and are mapped again when they are needed, sixteen at a time. Any thread; others go
// on meanwhile. Takes a millisecond or two. Leaves the program's pages when a debugger is attached, whose
// break points are in them.
void give_back_memory();

}  // namespace kiln::host
