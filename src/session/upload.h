// A stream the client pushes on request: a context that came on its standard input.
//
//   KILN_ASSIGN_OR_RETURN(auto source, pull_upload(group, "http://buildkit-session/abc", stop));
//
// Protocol: moby.upload.v1.Upload/Pull, metadata "urlpath" and "urlhost".
#pragma once

#include <memory>
#include <stop_token>
#include <string>

#include "base/status.h"
#include "base/stream.h"
#include "session/session.h"

namespace kiln::session {

// The stream of a URL; the stop token also ends its reads. NotFound when no client knows it.
Result<std::unique_ptr<ByteSource>> pull_upload(const SessionGroup& group, const std::string& url,
                                                std::stop_token stop);

}  // namespace kiln::session
