// The bytes of a layer on their way from whoever has them to whoever unpacks them, kept and checked on
// the way: a download is unpacked while it runs.
#pragma once

#include <memory>
#include <stop_token>

#include "base/status.h"
#include "base/stream.h"
#include "content/blob_provider.h"
#include "content/blob_store.h"
#include "event/event.h"
#include "store/internal/records.h"

namespace kiln::store {

// One thread.
class LayerStream {
 public:
  // From the store when the blob is there, else from the provider (null: NotFound), then written into
  // the store while it is read.
  static Result<std::unique_ptr<LayerStream>> open(content::BlobStore& store, content::BlobProvider* provider,
                                                   const BlobVariant& blob, event::Reporter& reporter,
                                                   std::stop_token stop);
  ~LayerStream();

  // The uncompressed tar.
  ByteSource& plain();
  // After plain was read to its end: reads what is left of the blob, checks both digests, makes the
  // blob visible.
  Status finish();
  // Why reading `plain` failed: the transfer's own error when it had one. Ends the stream.
  Status explain(const Status& status);

 private:
  struct State;
  explicit LayerStream(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace kiln::store
