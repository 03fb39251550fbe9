// A picture of all records at one moment: who stands on whom, who is held, how large each is. Made
// for `du` and for pruning.
#pragma once

#include <map>
#include <stop_token>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/filter.h"
#include "store/gc.h"
#include "store/internal/records.h"

namespace kiln::store {

struct TreesState;

struct Holding {
  Usage usage;
  std::string snapshot;
  std::string twin;     // see Record
  bool held = false;    // by somebody now, not only by what stands on it
  bool hidden = false;  // one of two records of one directory is not counted
  int children = 0;
};

struct Holdings {
  std::vector<Holding> all;  // oldest first
  std::unordered_map<std::string, std::size_t> by_id;

  Holding* find(const std::string& id) {
    auto at = by_id.find(id);
    return at == by_id.end() ? nullptr : &all[at->second];
  }
};

// Measures sizes that are not known, in parallel. Cancellable.
Result<Holdings> take_holdings(TreesState& state, std::stop_token stop);
// Fields of a record for filter expressions.
bool matches(const Filter& filter, const Usage& usage);

}  // namespace kiln::store
