// Files from the web as sources: http:// and https://, and streams that the client pushes
// (http://buildkit-session/<id>). A download is one file in a tree; trees are found again by URL and
// taken as they are when the server says that nothing changed (ETag).
//
//   sources.add(std::make_shared<HttpSource>(HttpSourceOptions{.trees = &trees, .http = http.get()}));
//
// Protocol: RFC 9110, sections 8.8.3 (ETag), 13.1.2 (If-None-Match); RFC 6266 (Content-Disposition).
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "registry/http.h"
#include "source/build_memory.h"
#include "source/flight.h"
#include "source/meta.h"
#include "source/source.h"
#include "store/trees.h"

namespace kiln::source {

struct HttpSourceOptions {
  store::Trees* trees = nullptr;  // both outlive the source
  registry::Transport* http = nullptr;
};

// One URL with what is wanted of it. A value.
struct HttpWish {
  std::string url;
  Digest checksum;       // empty: whatever is there
  std::string filename;  // empty: as the server or the URL says
  int perm = 0;
  int uid = 0;
  int gid = 0;
  std::string auth_header_secret;
  std::vector<std::pair<std::string, std::string>> headers;  // canonical names, sorted
  std::string signature;                                     // armored OpenPGP signature that must hold; empty: none
  std::string signature_keys;                                // armored public keys
};

struct HttpFound {
  Digest digest;
  std::string filename;
  std::optional<Time> last_modified;
  store::TreeRef tree;  // null when nothing had to be fetched because the checksum was given
};

// Any thread.
class HttpSource final : public Source, public std::enable_shared_from_this<HttpSource> {
 public:
  explicit HttpSource(HttpSourceOptions options) : options_(options) {}
  std::vector<std::string> schemes() const override { return {"http", "https"}; }
  Result<std::unique_ptr<Fetch>> open(const graph::SourceOp& op, const std::optional<Platform>& platform) override;

  // What this build saw already; else asks the server, and downloads unless we hold what it has. Blocking, cancellable.
  // An answer other than 2xx gives FailedPrecondition "invalid response status 404".
  Result<HttpFound> find(const HttpWish& wish, const Asker& asker);
  // Fails unless the downloaded file is signed as the wish wants. Blocking, cancellable.
  Status verify(const HttpWish& wish, const HttpFound& found, const Asker& asker);
  // For frontends; a checksum that was given is believed.
  Result<HttpMeta> meta(const graph::SourceOp& op, const MetaOptions& options, const Asker& asker);

 private:
  Result<HttpFound> find_now(const HttpWish& wish, const Asker& asker);
  Result<std::optional<HttpFound>> unchanged(const HttpWish& wish, const std::string& url_key,
                                             const registry::Headers& headers, std::vector<std::string>& etags,
                                             const Asker& asker);
  Result<HttpFound> held(const HttpWish& wish, const std::string& tree_id, const registry::Response& response);
  Result<HttpFound> download(const HttpWish& wish, const std::string& url_key, registry::Response& response,
                             const Asker& asker);
  Result<HttpFound> receive_upload(const HttpWish& wish, const Asker& asker);

  HttpSourceOptions options_;
  Flight<HttpFound> finding_;
  BuildMemory<HttpFound> seen_;
};

Result<HttpWish> read_http_wish(const graph::SourceOp& op);
// The text of the key of such a file.
std::string http_key(const HttpWish& wish, const HttpFound& found);
// RFC 9110 section 5.6.7, all three forms (the obsolete one also with "UTC"); nothing when it is none.
std::optional<Time> parse_http_time(std::string_view text);
std::string format_http_time(Time time);

}  // namespace kiln::source
