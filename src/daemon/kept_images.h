// What a build's record keeps of the images that the build made: their indexes, manifests, configurations and
// statements, so that they can be looked at when the images themselves are long collected. Layers are not kept.
//
//   build.keep_blobs(keep_image(blobs, history, descriptor));
#pragma once

#include <string>
#include <vector>

#include "content/blob_store.h"
#include "content/descriptor.h"
#include "history/history.h"

namespace kiln::daemon {

// Takes the root of an image and the store where it lies; copies it and what it names into the history's blobs.
// Gives the digests of what was copied, to be named by the record. What is missing or damaged is passed over with
// a line in the log: a record without an attachment is better than none. Blocks on the disk; any thread.
std::vector<std::string> keep_image(content::BlobStore& from, history::History& history,
                                    const content::Descriptor& root);

}  // namespace kiln::daemon
