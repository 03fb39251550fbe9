// Many small writes from many threads, few transactions. Each submitted piece of work is run by one
// thread of the writer inside a transaction shared with whatever else waits at that moment, so a
// burst of a thousand inserts costs one commit.
//
//   db::GroupedWriter writer(*database);
//   writer.submit([=](db::Database& d) { return d.run("INSERT INTO used VALUES(?1, ?2)", id, now); });
//   writer.flush();   // before reading what was written, and at the end
#pragma once

#include <functional>
#include <memory>

#include "db/database.h"

namespace kiln::db {

// Any thread. The destructor flushes. The database must outlive it.
class GroupedWriter {
 public:
  explicit GroupedWriter(Database& database);
  ~GroupedWriter();
  GroupedWriter(const GroupedWriter&) = delete;
  GroupedWriter& operator=(const GroupedWriter&) = delete;

  // Never blocks. Work that fails is rolled back alone (a savepoint) and logged.
  void submit(std::function<Status(Database&)> work);
  // Waits until everything submitted before the call is committed. Gives the first error since the
  // last flush. Blocking, not cancellable, short.
  Status flush();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace kiln::db
