// One stream of an HTTP/2 connection: fields, bytes, fields, both ways. Whoever talks through it either
// blocks (take, write) or is told of changes (on_change) and asks without waiting.
//
//   auto stream = connection->open(fields);
//   stream->write("request", {}, Flush::kNow);
//   stream->end();
//   std::deque<Bytes> bytes;
//   while (stream->take(bytes, kForever) == Stream::Taken::kSome) …
//   stream->ending();
//
// Flow control: what was taken is granted anew when more is asked for, so a slow reader holds back the
// peer. Writers wait while a megabyte of theirs waits.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/status.h"
#include "http2/byte_queue.h"

namespace kiln::http2 {

class Connection;

using Fields = std::vector<std::pair<std::string, std::string>>;
// The first value of that name; nothing when there is none.
std::optional<std::string_view> field_of(const Fields& fields, std::string_view name);

using Ticks = std::chrono::steady_clock;
inline constexpr Ticks::time_point kNoWait = Ticks::time_point::min();
inline constexpr Ticks::time_point kForever = Ticks::time_point::max();

enum class Flush { kNow, kLater };

// HTTP/2's error codes that are told or tested here.
inline constexpr std::uint32_t kNoError = 0, kProtocolError = 1, kRefusedStream = 7, kCancel = 8, kEnhanceYourCalm = 11;

// How the other end's side of a stream ended.
struct Ending {
  bool complete = false;         // it said that this was all
  std::uint32_t error_code = 0;  // else why it, or this end, broke it off
  Status lost;                   // or how the connection ended
  Fields trailers;
};

// Shared by those who use it and, until it is closed, by its connection. Any thread, but one reader and one
// writer at a time.
class Stream : public std::enable_shared_from_this<Stream> {
 public:
  Stream(std::shared_ptr<Connection> connection, std::int32_t id);

  // --- what comes in ---
  enum class Taken { kSome, kNothing, kEnd };
  // Appends all that has come. Waits for some until then, and flushes before; kNothing when there was
  // none in time.
  Taken take(std::deque<Bytes>& into, Ticks::time_point until);
  // The fields that the other end began with: of the request at a server, of the answer at a client;
  // nothing when the stream ended before.
  std::optional<Fields> begin_fields() const;
  // Waits for them, or the end. False: neither in time.
  bool wait_begin(Ticks::time_point until);
  // Whether the other end's side has ended; what it sent before may still be there to be taken.
  bool ended() const;
  // Whether the fields that it began with were all there was.
  bool ended_at_once() const;
  // Whether neither side can send any more.
  bool closed() const;
  Ending ending() const;

  // --- what goes out ---
  // A server's first fields, once; they go with the first flush.
  void respond(const Fields& fields);
  // The same, and that was all.
  void respond_and_end(const Fields& fields);
  // False when nothing can go any more. Waits while too much waits; kLater leaves the bytes until more
  // come or flush() is called.
  bool write(std::string_view head, const Bytes& body, Flush flush);
  // The same with all of a queue, never waiting.
  bool write(ByteQueue bytes, Flush flush);
  // Whether write() would not wait.
  bool writable() const;
  void flush();
  // This side's end; a server's with trailers.
  void end();
  void end(Fields trailers);
  // Breaks the stream off in both directions, unless it has ended.
  void reset(std::uint32_t error_code);

  // Called when something came, ended, or may be written again, once at once, never under a lock, perhaps
  // from several threads. Not any more once the stream has closed.
  void on_change(std::function<void()> told);

 private:
  friend class Connection;
  friend struct Session;
  friend struct Callbacks;  // of the session
  void end_locked(Ending ending);
  bool written_off_locked() const;
  void finish_locked(Fields trailers);
  void flush_locked(std::unique_lock<std::mutex>& lock);
  bool written_locked(std::unique_lock<std::mutex>& lock, Flush flush);

  const std::shared_ptr<Connection> connection_;
  const bool served_;  // the other end opened it
  std::int32_t id_;    // below zero: never opened

  // Guarded by the connection's mutex.
  std::condition_variable changed_;
  std::shared_ptr<std::function<void()>> told_;
  bool touched_ = false;  // is in the connection's list of those to be told
  bool closed_ = false;   // the connection knows it no more

  Fields fields_;  // being received
  std::size_t fields_bytes_ = 0;
  std::optional<Fields> begin_;
  bool begin_was_all_ = false;
  ByteQueue in_;
  std::size_t to_grant_ = 0;  // taken, not yet granted anew
  std::optional<Ending> ended_;

  ByteQueue out_;
  bool responded_ = false;
  bool waits_for_data_ = false;  // nghttp2 asks for nothing until it is told
  bool out_done_ = false;        // end() was called
  Fields trailers_;
};

}  // namespace kiln::http2
