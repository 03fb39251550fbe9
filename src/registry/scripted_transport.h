// A Transport whose far end is a function of the test. Linked by tests only.
//
//   ScriptedTransport http([](const Request& r) { return ScriptedAnswer{.status = 404}; });
#pragma once

#include <functional>
#include <mutex>
#include <string>
#include <vector>

#include "registry/http.h"

namespace kiln::registry {

struct ScriptedAnswer {
  int status = 200;
  Headers headers;
  std::string body;
  // The connection breaks after so many bytes of the body.
  std::optional<std::size_t> cut_after;
  // Instead of an answer.
  Status error;
};

// Any thread. Request bodies are read to their end and kept in `body_text` of the record.
class ScriptedTransport final : public Transport {
 public:
  using Script = std::function<ScriptedAnswer(const Request&)>;
  explicit ScriptedTransport(Script script) : script_(std::move(script)) {}

  Result<std::unique_ptr<Response>> send(Request request, std::stop_token stop) override {
    if (stop.stop_requested()) return cancelled();
    if (request.body != nullptr) {
      KILN_ASSIGN_OR_RETURN(request.body_text, read_all(*request.body, 64 << 20));
      request.body = nullptr;
    }
    ScriptedAnswer answer;
    {
      std::lock_guard guard(mutex_);
      requests_.push_back(request);
      answer = script_(request);
    }
    if (!answer.error.ok()) return answer.error;
    if (!answer.headers.has("Content-Length")) answer.headers.set("Content-Length", std::to_string(answer.body.size()));
    if (request.method == "HEAD") answer.body.clear();
    return std::unique_ptr<Response>(std::make_unique<Play>(std::move(answer), request.url));
  }

  std::vector<Request> requests() const {
    std::lock_guard guard(mutex_);
    return requests_;
  }
  // "GET https://host/path" of everything asked so far.
  std::vector<std::string> lines() const {
    std::vector<std::string> out;
    for (const Request& request : requests()) out.push_back(request.method + " " + request.url);
    return out;
  }

 private:
  class Play final : public Response {
   public:
    Play(ScriptedAnswer answer, std::string where) : answer_(std::move(answer)) {
      status = answer_.status;
      headers = answer_.headers;
      url = std::move(where);
    }
    Result<std::size_t> read(std::span<char> buffer) override {
      std::size_t end = answer_.cut_after ? std::min(*answer_.cut_after, answer_.body.size()) : answer_.body.size();
      std::size_t count = std::min(buffer.size(), end - at_);
      if (count == 0 && answer_.cut_after) return peer_error(Code::kUnavailable, "connection reset by peer");
      answer_.body.copy(buffer.data(), count, at_);
      at_ += count;
      return count;
    }

   private:
    ScriptedAnswer answer_;
    std::size_t at_ = 0;
  };

  Script script_;
  mutable std::mutex mutex_;
  std::vector<Request> requests_;
};

}  // namespace kiln::registry
