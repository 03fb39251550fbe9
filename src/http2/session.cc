#include "http2/internal/session.h"

#include <algorithm>

#include "base/text.h"

namespace kiln::http2 {
namespace {

constexpr std::uint32_t kWindowBytes = 4 << 20;
// Streams hold back the other end, the connection does not: its window is never short.
constexpr std::int32_t kConnectionWindowBytes = 1 << 30;
constexpr std::uint32_t kFrameBytesMax = 1 << 20;
constexpr std::size_t kSentFrameBytesMax = 256 * 1024;
constexpr std::size_t kBatchBytes = 512 * 1024;
// A client's patterns for files are fields, and so are an error's details with all lines of a Dockerfile.
constexpr std::size_t kFieldsBytesMax = 16 << 20;

Session& self(void* user_data) { return *static_cast<Session*>(user_data); }

std::vector<nghttp2_nv> to_nv(const Fields& fields) {
  std::vector<nghttp2_nv> out;
  out.reserve(fields.size());
  for (const auto& [name, value] : fields) {
    auto* n = reinterpret_cast<std::uint8_t*>(const_cast<char*>(name.data()));
    auto* v = reinterpret_cast<std::uint8_t*>(const_cast<char*>(value.data()));
    out.push_back({n, v, name.size(), value.size(), NGHTTP2_NV_FLAG_NONE});
  }
  return out;
}

}  // namespace

// nghttp2 calls these; they may look into streams.
struct Callbacks {
  static int on_begin_fields(nghttp2_session*, const nghttp2_frame* frame, void* user_data) {
    Session& session = self(user_data);
    if (frame->hd.type != NGHTTP2_HEADERS) return 0;
    if (frame->headers.cat == NGHTTP2_HCAT_REQUEST) {
      auto stream = std::make_shared<Stream>(session.owner.shared_from_this(), frame->hd.stream_id);
      session.streams.emplace(frame->hd.stream_id, std::move(stream));
    }
    if (Stream* stream = session.find(frame->hd.stream_id)) stream->fields_.clear();
    return 0;
  }

  static int on_field(nghttp2_session*, const nghttp2_frame* frame, const std::uint8_t* name, std::size_t name_bytes,
                      const std::uint8_t* value, std::size_t value_bytes, std::uint8_t, void* user_data) {
    Stream* stream = self(user_data).find(frame->hd.stream_id);
    if (!stream) return 0;
    stream->fields_bytes_ += name_bytes + value_bytes + 32;
    if (stream->fields_bytes_ > kFieldsBytesMax) return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    stream->fields_.emplace_back(std::string(reinterpret_cast<const char*>(name), name_bytes),
                                 std::string(reinterpret_cast<const char*>(value), value_bytes));
    return 0;
  }

  static int on_frame(nghttp2_session*, const nghttp2_frame* frame, void* user_data) {
    Session& session = self(user_data);
    if (frame->hd.type == NGHTTP2_SETTINGS && !session.owner.greeted_) {
      session.owner.greeted_ = true;
      session.owner.changed_.notify_all();
    }
    Stream* stream = session.find(frame->hd.stream_id);
    if (!stream || (frame->hd.type != NGHTTP2_HEADERS && frame->hd.type != NGHTTP2_DATA)) return 0;
    const bool last = (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
    if (frame->hd.type == NGHTTP2_HEADERS && !stream->begin_) {
      stream->begin_ = std::move(stream->fields_);
      stream->fields_.clear();
      stream->begin_was_all_ = last;
      if (session.server) session.owner.accepted_.push_back(stream->shared_from_this());
    }
    if (last) stream->end_locked({true, 0, {}, std::move(stream->fields_)});
    session.owner.touch(*stream);
    return 0;
  }

  static int on_data(nghttp2_session* raw, std::uint8_t, std::int32_t id, const std::uint8_t* data, std::size_t size,
                     void* user_data) {
    Session& session = self(user_data);
    nghttp2_session_consume_connection(raw, size);
    Stream* stream = session.find(id);
    if (!stream || stream->ended_) {
      nghttp2_session_consume_stream(raw, id, size);
      return 0;
    }
    stream->in_.append(Bytes{{reinterpret_cast<const char*>(data), size}, session.receiving->keeper});
    session.owner.touch(*stream);
    return 0;
  }

  static int on_close(nghttp2_session*, std::int32_t id, std::uint32_t error_code, void* user_data) {
    Session& session = self(user_data);
    auto it = session.streams.find(id);
    if (it == session.streams.end()) return 0;
    std::shared_ptr<Stream> stream = std::move(it->second);
    session.streams.erase(it);
    stream->closed_ = true;
    stream->end_locked({false, error_code, {}, {}});
    session.owner.touch(*stream);
    return 0;
  }

  // A request that may not be sent any more, as after the other end's GOAWAY.
  static int on_not_sent(nghttp2_session*, const nghttp2_frame* frame, int, void* user_data) {
    Session& session = self(user_data);
    if (frame->hd.type != NGHTTP2_HEADERS) return 0;
    if (Stream* stream = session.find(frame->hd.stream_id)) {
      stream->end_locked({false, kRefusedStream, {}, {}});
      session.owner.touch(*stream);
    }
    return 0;
  }

  // A server that has answered does not wait for the rest of the question.
  static int on_sent(nghttp2_session* raw, const nghttp2_frame* frame, void* user_data) {
    Session& session = self(user_data);
    if (!session.server || (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) == 0) return 0;
    if (frame->hd.type != NGHTTP2_HEADERS && frame->hd.type != NGHTTP2_DATA) return 0;
    Stream* stream = session.find(frame->hd.stream_id);
    if (stream && !stream->ended_) nghttp2_submit_rst_stream(raw, NGHTTP2_FLAG_NONE, stream->id_, NGHTTP2_NO_ERROR);
    return 0;
  }

  static ssize_t read_length(nghttp2_session*, std::uint8_t, std::int32_t, std::int32_t connection_window,
                             std::int32_t stream_window, std::uint32_t frame_bytes_max, void*) {
    return std::min<ssize_t>({connection_window, stream_window, static_cast<ssize_t>(frame_bytes_max),
                              static_cast<ssize_t>(kSentFrameBytesMax)});
  }

  static ssize_t read_source(nghttp2_session* raw, std::int32_t id, std::uint8_t*, std::size_t length,
                             std::uint32_t* flags, nghttp2_data_source* source, void*) {
    auto& stream = *static_cast<Stream*>(source->ptr);
    const std::size_t count = std::min(length, stream.out_.size());
    if (count == 0 && !stream.out_done_) {
      stream.waits_for_data_ = true;
      return NGHTTP2_ERR_DEFERRED;
    }
    if (stream.out_done_ && count == stream.out_.size()) {
      *flags |= NGHTTP2_DATA_FLAG_EOF;
      if (!stream.trailers_.empty()) {
        std::vector<nghttp2_nv> trailers = to_nv(stream.trailers_);
        if (nghttp2_submit_trailer(raw, id, trailers.data(), trailers.size()) == 0) {
          *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
        }
      }
    }
    if (count > 0) *flags |= NGHTTP2_DATA_FLAG_NO_COPY;
    return static_cast<ssize_t>(count);
  }

  static int send_data(nghttp2_session*, nghttp2_frame*, const std::uint8_t* head, std::size_t length,
                       nghttp2_data_source* source, void* user_data) {
    Session& session = self(user_data);
    if (session.producing->size() >= kBatchBytes) return NGHTTP2_ERR_WOULDBLOCK;
    auto& stream = *static_cast<Stream*>(source->ptr);
    session.producing->append(std::string_view(reinterpret_cast<const char*>(head), 9));
    stream.out_.move_front(length, *session.producing);
    session.owner.touch(stream);  // who waits to write
    return 0;
  }

  static nghttp2_session_callbacks* all() {
    static nghttp2_session_callbacks* const callbacks = [] {
      nghttp2_session_callbacks* out = nullptr;
      nghttp2_session_callbacks_new(&out);
      nghttp2_session_callbacks_set_on_begin_headers_callback(out, on_begin_fields);
      nghttp2_session_callbacks_set_on_header_callback(out, on_field);
      nghttp2_session_callbacks_set_on_frame_recv_callback(out, on_frame);
      nghttp2_session_callbacks_set_on_data_chunk_recv_callback(out, on_data);
      nghttp2_session_callbacks_set_on_stream_close_callback(out, on_close);
      nghttp2_session_callbacks_set_on_frame_not_send_callback(out, on_not_sent);
      nghttp2_session_callbacks_set_on_frame_send_callback(out, on_sent);
      nghttp2_session_callbacks_set_data_source_read_length_callback(out, read_length);
      nghttp2_session_callbacks_set_send_data_callback(out, send_data);
      return out;
    }();
    return callbacks;
  }
};

Session::Session(Connection& connection, bool is_server) : owner(connection), server(is_server) {
  nghttp2_option* options = nullptr;
  nghttp2_option_new(&options);
  nghttp2_option_set_no_auto_window_update(options, 1);
  // gRPC sends messages as they are, and some end in a blank.
  nghttp2_option_set_no_rfc9113_leading_and_trailing_ws_validation(options, 1);
  nghttp2_option_set_max_send_header_block_length(options, kFieldsBytesMax);
  nghttp2_option_set_max_continuations(options, kFieldsBytesMax / 16384);
  if (server) {
    nghttp2_session_server_new2(&raw, Callbacks::all(), this, options);
  } else {
    nghttp2_session_client_new2(&raw, Callbacks::all(), this, options);
  }
  nghttp2_option_del(options);
  std::vector<nghttp2_settings_entry> settings = {{NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, kWindowBytes},
                                                  {NGHTTP2_SETTINGS_MAX_FRAME_SIZE, kFrameBytesMax},
                                                  {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, kFieldsBytesMax}};
  if (!server) settings.push_back({NGHTTP2_SETTINGS_ENABLE_PUSH, 0});
  nghttp2_submit_settings(raw, NGHTTP2_FLAG_NONE, settings.data(), settings.size());
  nghttp2_session_set_local_window_size(raw, NGHTTP2_FLAG_NONE, 0, kConnectionWindowBytes);
}

Session::~Session() { nghttp2_session_del(raw); }

Stream* Session::find(std::int32_t id) const {
  auto it = streams.find(id);
  return it == streams.end() ? nullptr : it->second.get();
}

long Session::receive(const Bytes& piece) {
  receiving = &piece;
  const auto* data = reinterpret_cast<const std::uint8_t*>(piece.view.data());
  const ssize_t taken = nghttp2_session_mem_recv(raw, data, piece.view.size());
  receiving = nullptr;
  return taken;
}

long Session::produce(ByteQueue& batch) {
  producing = &batch;
  ssize_t size = 0;
  while (batch.size() < kBatchBytes) {
    const std::uint8_t* data = nullptr;
    size = nghttp2_session_mem_send(raw, &data);
    if (size <= 0) break;
    batch.append(std::string_view(reinterpret_cast<const char*>(data), static_cast<std::size_t>(size)));
  }
  producing = nullptr;
  return size;
}

std::int32_t Session::request(const std::shared_ptr<Stream>& stream, const Fields& fields) {
  std::vector<nghttp2_nv> nv = to_nv(fields);
  nghttp2_data_provider provider{{.ptr = stream.get()}, Callbacks::read_source};
  const std::int32_t id = nghttp2_submit_request(raw, nullptr, nv.data(), nv.size(), &provider, nullptr);
  if (id > 0) streams.emplace(id, stream);
  return id;
}

int Session::respond(Stream& stream, const Fields& fields) {
  std::vector<nghttp2_nv> nv = to_nv(fields);
  nghttp2_data_provider provider{{.ptr = &stream}, Callbacks::read_source};
  return nghttp2_submit_response(raw, stream.id_, nv.data(), nv.size(), &provider);
}

int Session::respond_and_end(Stream& stream, const Fields& fields) {
  std::vector<nghttp2_nv> nv = to_nv(fields);
  return nghttp2_submit_response(raw, stream.id_, nv.data(), nv.size(), nullptr);
}

void Session::resume(Stream& stream) {
  if (!stream.waits_for_data_) return;
  stream.waits_for_data_ = false;
  nghttp2_session_resume_data(raw, stream.id_);
}

void Session::reset(Stream& stream, std::uint32_t error_code) {
  nghttp2_submit_rst_stream(raw, NGHTTP2_FLAG_NONE, stream.id_, error_code);
}

void Session::grant(Stream& stream, std::size_t bytes) { nghttp2_session_consume_stream(raw, stream.id_, bytes); }

}  // namespace kiln::http2
