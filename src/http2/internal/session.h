// nghttp2's session and its callbacks. All of it runs under the connection's lock.
#pragma once

#include <nghttp2/nghttp2.h>

#include <cstdint>
#include <memory>
#include <unordered_map>

#include "http2/connection.h"

namespace kiln::http2 {

struct Session {
  Session(Connection& connection, bool server);
  ~Session();
  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  // Gives nghttp2 the bytes; a negative number is its error.
  long receive(const Bytes& piece);
  // Appends what is to be sent, up to about half a megabyte.
  long produce(ByteQueue& batch);
  // Gives the stream's id, or an error.
  std::int32_t request(const std::shared_ptr<Stream>& stream, const Fields& fields);
  int respond(Stream& stream, const Fields& fields);
  int respond_and_end(Stream& stream, const Fields& fields);
  void resume(Stream& stream);
  void reset(Stream& stream, std::uint32_t error_code);
  void grant(Stream& stream, std::size_t bytes);
  bool over() const { return nghttp2_session_want_read(raw) == 0 && nghttp2_session_want_write(raw) == 0; }
  Stream* find(std::int32_t id) const;

  Connection& owner;
  const bool server;
  nghttp2_session* raw = nullptr;
  std::unordered_map<std::int32_t, std::shared_ptr<Stream>> streams;
  const Bytes* receiving = nullptr;  // what nghttp2 reads at the moment
  ByteQueue* producing = nullptr;    // where it writes
};

}  // namespace kiln::http2
