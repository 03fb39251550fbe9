// Which builds a list shows. A filter is a CSV line of conditions that must all hold:
//   startedAt, completedAt   with < <= > >= and a time (RFC 3339) or an age ("24h" ago)
//   duration                 with < <= > >= and a duration
//   ref, status, repository  with == != ~= (base/filter.h); status is running, completed, error,
//                            canceled
#pragma once

#include <string>
#include <vector>

#include "base/clock.h"
#include "base/status.h"
#include "history/record.h"

namespace kiln::history {

// Keeps the events that any of the filters matches (all, without filters), the newest `limit` of
// them first when limit is not 0. InvalidArgument for bad filters and for a negative limit.
Result<std::vector<Event>> select(std::vector<Event> events, const std::vector<std::string>& filters, int limit,
                                  Time now);

}  // namespace kiln::history
