// Whether the digests that a writer told a kept tree (MutableTree::seed_digest) are still known, so that
// only what changed since needs to be told.
//
//   if (known_ == digests_instance(*tree)) { /* tell changes */ } else { /* tell everything */ }
//   known_ = digests_instance(*tree);
#pragma once

#include <cstdint>

#include "store/tree.h"

namespace kiln::store {

// Names what is known of the tree's digests now, in this process, never zero: as long as it stays the
// same, all that was told still counts. It is let go when many other trees are asked about. Blocks on
// the disk when it must be read again. The tree's own thread.
std::uint64_t digests_instance(MutableTree& tree);

}  // namespace kiln::store
