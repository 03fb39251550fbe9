// Transport over libcurl. Each transfer owns one multi handle, driven by the caller's thread;
// handles go back to a pool by destination, with their open connection inside, when a body was read
// to its end. curl_multi_wakeup makes cancellation immediate.
#include <condition_variable>
#include <cstring>
#include <mutex>

#include "base/text.h"
#include "registry/http.h"
#include "registry/internal/curl_library.h"

namespace kiln::registry {
namespace {

using internal::CurlLibrary;

constexpr std::size_t kPendingMax = 1 << 20;
constexpr long kRedirectsMax = 10;

// Idle multi handles, each with a kept connection. Any thread.
class MultiPool {
 public:
  MultiPool(const CurlLibrary& curl, int idle_max) : curl_(curl), idle_max_(static_cast<std::size_t>(idle_max)) {
    share_ = curl_.share_init();
    curl_.share_setopt(share_, CURLSHOPT_LOCKFUNC, &MultiPool::lock);
    curl_.share_setopt(share_, CURLSHOPT_UNLOCKFUNC, &MultiPool::unlock);
    curl_.share_setopt(share_, CURLSHOPT_USERDATA, this);
    curl_.share_setopt(share_, CURLSHOPT_SHARE, CURL_LOCK_DATA_DNS);
  }
  ~MultiPool() {
    for (auto& [key, multi] : idle_) curl_.multi_cleanup(multi);
    curl_.share_cleanup(share_);
  }

  CURLM* take(const std::string& key) {
    std::lock_guard guard(mutex_);
    for (auto it = idle_.rbegin(); it != idle_.rend(); ++it) {
      if (it->first != key) continue;
      CURLM* multi = it->second;
      idle_.erase(std::next(it).base());
      return multi;
    }
    CURLM* multi = curl_.multi_init();
    curl_.multi_setopt(multi, CURLMOPT_MAXCONNECTS, 2L);
    return multi;
  }

  void give_back(const std::string& key, CURLM* multi) {
    CURLM* oldest = nullptr;
    {
      std::lock_guard guard(mutex_);
      idle_.emplace_back(key, multi);
      if (idle_.size() > idle_max_) {
        oldest = idle_.front().second;
        idle_.erase(idle_.begin());
      }
    }
    if (oldest != nullptr) curl_.multi_cleanup(oldest);
  }

  CURLSH* share() const { return share_; }
  const CurlLibrary& curl() const { return curl_; }

 private:
  static void lock(CURL*, curl_lock_data data, curl_lock_access, void* self) {
    static_cast<MultiPool*>(self)->share_mutexes_[data].lock();
  }
  static void unlock(CURL*, curl_lock_data data, void* self) {
    static_cast<MultiPool*>(self)->share_mutexes_[data].unlock();
  }

  const CurlLibrary& curl_;
  std::size_t idle_max_;
  std::mutex mutex_;
  std::vector<std::pair<std::string, CURLM*>> idle_;
  CURLSH* share_ = nullptr;
  std::mutex share_mutexes_[CURL_LOCK_DATA_LAST];
};

// Connections with different trust must never be exchanged.
std::string pool_key(const Request& request) {
  std::string key;
  if (Result<Url> url = parse_url(request.url); url.ok()) key = url->scheme + "://" + url->authority();
  // Uploads speak HTTP/1.1: one transfer owns its connection, and HTTP/2's windows would slow it.
  if (request.body != nullptr) key += "|up";
  key += request.tls.verify ? "|v" : "|i";
  for (const std::string& ca : request.tls.ca_files) key += "|" + ca;
  for (const KeyPair& pair : request.tls.keypairs) key += "|" + pair.cert + "," + pair.key;
  return key;
}

// One transfer from send() to the last byte.
class CurlResponse final : public Response {
 public:
  CurlResponse(std::shared_ptr<MultiPool> pool, Request request, std::string user_agent, std::stop_token stop)
      : pool_(std::move(pool)),
        curl_(pool_->curl()),
        request_(std::move(request)),
        user_agent_(std::move(user_agent)),
        stop_(std::move(stop)),
        key_(pool_key(request_)),
        multi_(pool_->take(key_)),
        easy_(curl_.easy_init()),
        wake_(stop_, Wake{curl_, multi_}) {}

  ~CurlResponse() override {
    wake_.reset();
    curl_.multi_remove_handle(multi_, easy_);
    curl_.easy_cleanup(easy_);
    curl_.slist_free_all(header_lines_);
    // A multi whose transfer ended well holds a reusable connection; removal of an unfinished one
    // has closed it, and the handle itself stays good.
    pool_->give_back(key_, multi_);
  }

  Status start() {
    configure();
    if (CURLMcode code = curl_.multi_add_handle(multi_, easy_); code != CURLM_OK) {
      return engine_error(fmt::format("start transfer: {}", curl_.multi_strerror(code)));
    }
    while (!head_done_ && !finished_) KILN_RETURN_IF_ERROR(drive());
    if (!head_done_) return outcome_.ok() ? broken("server closed the connection without an answer") : outcome_;
    expected_ = request_.method == "HEAD" || status == 204 || status == 304 ? 0 : content_length();
    if (request_.accept_gzip && headers.has("Content-Encoding") && expected_ != 0) expected_.reset();
    KILN_RETURN_IF_ERROR(finish_when_whole());
    char* effective = nullptr;
    curl_.easy_getinfo(easy_, CURLINFO_EFFECTIVE_URL, &effective);
    url = effective != nullptr ? effective : request_.url;
    request_.body = nullptr;
    return ok();
  }

  Result<std::size_t> read(std::span<char> buffer) override {
    if (buffer.empty()) return std::size_t{0};
    if (pending_at_ < pending_.size()) return take_pending(buffer);
    target_ = buffer;
    target_filled_ = 0;
    if (paused_) {
      paused_ = false;
      curl_.easy_pause(easy_, CURLPAUSE_CONT);
    }
    Status status = ok();
    while (target_filled_ == 0 && !finished_ && status.ok()) status = drive();
    std::size_t filled = target_filled_;
    target_ = {};
    target_filled_ = 0;
    if (filled > 0) {
      KILN_RETURN_IF_ERROR(finish_when_whole());
      return filled;
    }
    if (!status.ok()) return status;
    if (pending_at_ < pending_.size()) return take_pending(buffer);
    if (!outcome_.ok()) return outcome_;
    return std::size_t{0};
  }

 private:
  // Wakes the poll of drive() from the thread that requests the stop.
  struct Wake {
    const CurlLibrary& curl;
    CURLM* multi;
    void operator()() const { curl.multi_wakeup(multi); }
  };
  struct WakeSlot {
    std::optional<std::stop_callback<Wake>> callback;
    WakeSlot(const std::stop_token& stop, Wake wake) { callback.emplace(stop, wake); }
    void reset() { callback.reset(); }
  };

  std::size_t take_pending(std::span<char> buffer) {
    std::size_t count = std::min(buffer.size(), pending_.size() - pending_at_);
    std::memcpy(buffer.data(), pending_.data() + pending_at_, count);
    pending_at_ += count;
    if (pending_at_ == pending_.size()) {
      pending_.clear();
      pending_at_ = 0;
    }
    return count;
  }

  // With every byte here, lets curl see the end, so that the connection can be used again even by
  // readers who stop at the known length.
  Status finish_when_whole() {
    while (expected_ && received_ >= *expected_ && !finished_) KILN_RETURN_IF_ERROR(drive());
    return ok();
  }

  // One round of work; waits when there is nothing to do.
  Status drive() {
    if (stop_.stop_requested()) return cancelled();
    auto moved_before = moved_;
    int running = 0;
    curl_.multi_perform(multi_, &running);
    int left = 0;
    while (CURLMsg* message = curl_.multi_info_read(multi_, &left)) {
      if (message->msg != CURLMSG_DONE) continue;
      finished_ = true;
      outcome_ = status_of(message->data.result);
    }
    if (finished_ || moved_ != moved_before) {
      waited_ms_ = 0;
      return ok();
    }
    auto before = std::chrono::steady_clock::now();
    curl_.multi_poll(multi_, nullptr, 0, 1000, nullptr);
    if (stop_.stop_requested()) return cancelled();
    waited_ms_ +=
        std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() - before).count();
    if (waited_ms_ > request_.idle_timeout.count()) {
      finished_ = true;
      outcome_ = broken(fmt::format("no data for {} s", request_.idle_timeout.count() / 1000));
      set_detail(outcome_, kStalledDetail, "1");
      return outcome_;
    }
    return ok();
  }

  std::string what() const { return fmt::format("{} \"{}\"", request_.method, request_.url); }
  Status broken(std::string_view why) const {
    return peer_error(Code::kUnavailable, fmt::format("{}: {}", what(), why));
  }

  Status status_of(CURLcode code) const {
    if (code == CURLE_OK) return ok();
    if (!body_status_.ok()) return body_status_;
    std::string detail = error_text_[0] != 0 ? error_text_ : curl_.easy_strerror(code);
    long os_errno = 0;
    curl_.easy_getinfo(easy_, CURLINFO_OS_ERRNO, &os_errno);
    switch (code) {
      case CURLE_COULDNT_CONNECT: {
        if (os_errno != ECONNREFUSED) return broken(detail);
        Status refused = broken("connect: connection refused");
        set_detail(refused, kRefusedDetail, "1");
        return refused;
      }
      case CURLE_COULDNT_RESOLVE_HOST: {
        // The words that clients of Go programs know.
        auto url = parse_url(request_.url);
        Status unknown = environment_error(Code::kUnavailable, fmt::format("{}: dial tcp: lookup {}: no such host: {}",
                                                                           what(), url.ok() ? url->host : "", detail));
        set_detail(unknown, kRefusedDetail, "1");
        return unknown;
      }
      case CURLE_PEER_FAILED_VERIFICATION:
        return peer_error(Code::kFailedPrecondition,
                          fmt::format("{}: tls: failed to verify certificate: {}", what(), detail));
      case CURLE_SSL_CONNECT_ERROR:
        if (detail.find("wrong version number") != std::string::npos ||
            detail.find("packet length too long") != std::string::npos ||
            detail.find("http request") != std::string::npos) {
          Status plain = peer_error(Code::kFailedPrecondition,
                                    fmt::format("{}: http: server gave HTTP response to HTTPS client", what()));
          set_detail(plain, kPlainTextDetail, "1");
          return plain;
        }
        return broken(detail);
      case CURLE_URL_MALFORMAT:
      case CURLE_UNSUPPORTED_PROTOCOL: return user_error(Code::kInvalidArgument, fmt::format("{}: {}", what(), detail));
      case CURLE_SSL_CERTPROBLEM:
      case CURLE_SSL_CACERT_BADFILE:
        return environment_error(Code::kFailedPrecondition, fmt::format("{}: {}", what(), detail));
      case CURLE_TOO_MANY_REDIRECTS:
        return peer_error(Code::kFailedPrecondition,
                          fmt::format("{}: stopped after {} redirects", what(), kRedirectsMax));
      default: return broken(detail);
    }
  }

  void configure() {
    set(CURLOPT_URL, request_.url.c_str());
    set(CURLOPT_PATH_AS_IS, 1L);
    set(CURLOPT_NOSIGNAL, 1L);
    set(CURLOPT_ERRORBUFFER, error_text_);
    set(CURLOPT_SHARE, pool_->share());
    set(CURLOPT_PROTOCOLS_STR, "http,https");
    set(CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
    set(CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
    set(CURLOPT_BUFFERSIZE, 256L * 1024);
    set(CURLOPT_TCP_KEEPALIVE, 1L);
    set(CURLOPT_CONNECTTIMEOUT_MS, static_cast<long>(request_.connect_timeout.count()));
    set(CURLOPT_HTTP_VERSION,
        static_cast<long>(request_.body != nullptr ? CURL_HTTP_VERSION_1_1 : CURL_HTTP_VERSION_2TLS));
    set(CURLOPT_HEADERFUNCTION, &CurlResponse::on_header);
    set(CURLOPT_HEADERDATA, this);
    set(CURLOPT_WRITEFUNCTION, &CurlResponse::on_body);
    set(CURLOPT_WRITEDATA, this);
    if (!user_agent_.empty() && !request_.headers.has("User-Agent")) set(CURLOPT_USERAGENT, user_agent_.c_str());
    if (follows()) {
      set(CURLOPT_FOLLOWLOCATION, 1L);
      set(CURLOPT_MAXREDIRS, kRedirectsMax);
    }
    if (request_.accept_gzip) set(CURLOPT_ACCEPT_ENCODING, "gzip");
    configure_proxy();
    configure_tls();
    configure_body();
    for (const auto& [name, value] : request_.headers.lines()) add_header(name + ": " + value);
    set(CURLOPT_HTTPHEADER, header_lines_);
  }

  // Go programs also honour the upper-case HTTP_PROXY, which curl leaves out on purpose.
  void configure_proxy() {
    const char* upper = std::getenv("HTTP_PROXY");
    if (upper != nullptr && std::getenv("http_proxy") == nullptr && request_.url.starts_with("http://")) {
      set(CURLOPT_PROXY, upper);
    }
  }

  void configure_tls() {
    if (!request_.tls.verify) {
      set(CURLOPT_SSL_VERIFYPEER, 0L);
      set(CURLOPT_SSL_VERIFYHOST, 0L);
    }
    if (!request_.tls.ca_files.empty()) {
      set(CURLOPT_SSL_CTX_FUNCTION, &CurlResponse::on_ssl_context);
      set(CURLOPT_SSL_CTX_DATA, this);
    }
    if (!request_.tls.keypairs.empty()) {
      set(CURLOPT_SSLCERT, request_.tls.keypairs.front().cert.c_str());
      set(CURLOPT_SSLKEY, request_.tls.keypairs.front().key.c_str());
    }
  }

  void configure_body() {
    add_header("Expect:");
    const std::string& method = request_.method;
    if (request_.body != nullptr) {
      set(CURLOPT_UPLOAD, 1L);
      set(CURLOPT_UPLOAD_BUFFERSIZE, 512L * 1024);
      set(CURLOPT_READFUNCTION, &CurlResponse::on_send);
      set(CURLOPT_READDATA, this);
      if (request_.body_bytes) set(CURLOPT_INFILESIZE_LARGE, static_cast<curl_off_t>(*request_.body_bytes));
    } else if (method == "HEAD") {
      set(CURLOPT_NOBODY, 1L);
      return;
    } else if (method != "GET" || !request_.body_text.empty()) {
      set(CURLOPT_POST, 1L);
      set(CURLOPT_POSTFIELDS, request_.body_text.data());
      set(CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(request_.body_text.size()));
      // Otherwise curl invents a form's type.
      if (!request_.headers.has("Content-Type")) add_header("Content-Type:");
    }
    if (method != "GET") set(CURLOPT_CUSTOMREQUEST, method.c_str());
  }

  bool follows() const {
    return request_.redirects == Redirects::kFollow && (request_.method == "GET" || request_.method == "HEAD");
  }

  template <typename Value>
  void set(CURLoption option, Value value) {
    curl_.easy_setopt(easy_, option, value);
  }
  void add_header(const std::string& line) { header_lines_ = curl_.slist_append(header_lines_, line.c_str()); }

  static CURLcode on_ssl_context(CURL*, void* context, void* self) {
    auto* ssl = static_cast<SSL_CTX*>(context);
    auto* response = static_cast<CurlResponse*>(self);
    for (const std::string& file : response->request_.tls.ca_files) {
      if (response->curl_.ssl_load_verify_locations(ssl, file.c_str(), nullptr) != 1) return CURLE_SSL_CACERT_BADFILE;
    }
    return CURLE_OK;
  }

  static std::size_t on_header(char* data, std::size_t size, std::size_t count, void* self) {
    static_cast<CurlResponse*>(self)->header_line(std::string_view(data, size * count));
    return size * count;
  }

  void header_line(std::string_view line) {
    ++moved_;
    if (line.starts_with("HTTP/")) {
      headers.clear();
      auto parts = words(line);
      status = parts.size() > 1 ? std::atoi(std::string(parts[1]).c_str()) : 0;
      return;
    }
    line = trim(line);
    if (!line.empty()) {
      auto [name, value] = split_once(line, ':');
      headers.add(std::string(trim(name)), std::string(trim(value)));
      return;
    }
    bool hop = follows() && status >= 300 && status < 400 && status != 304 && headers.has("Location");
    if (status >= 200 && !hop) head_done_ = true;
  }

  static std::size_t on_body(char* data, std::size_t size, std::size_t count, void* self) {
    return static_cast<CurlResponse*>(self)->body(std::string_view(data, size * count));
  }

  // Straight into the reader's buffer when one waits, the rest into a bounded store.
  std::size_t body(std::string_view bytes) {
    if (pending_.size() - pending_at_ > kPendingMax) {
      paused_ = true;
      return CURL_WRITEFUNC_PAUSE;
    }
    ++moved_;
    received_ += bytes.size();
    std::size_t direct = std::min(bytes.size(), target_.size() - target_filled_);
    if (direct > 0) {
      std::memcpy(target_.data() + target_filled_, bytes.data(), direct);
      target_filled_ += direct;
    }
    pending_.append(bytes.substr(direct));
    return bytes.size();
  }

  static std::size_t on_send(char* buffer, std::size_t size, std::size_t count, void* self) {
    return static_cast<CurlResponse*>(self)->send_more(std::span(buffer, size * count));
  }

  std::size_t send_more(std::span<char> buffer) {
    ++moved_;
    if (stop_.stop_requested()) {
      body_status_ = cancelled();
      return CURL_READFUNC_ABORT;
    }
    Result<std::size_t> got =
        request_.body != nullptr ? request_.body->read(buffer) : Result<std::size_t>(std::size_t{0});
    if (!got.ok()) {
      body_status_ = got.status();
      return CURL_READFUNC_ABORT;
    }
    sent_ += *got;
    if (request_.on_sent) request_.on_sent(sent_);
    return *got;
  }

  std::shared_ptr<MultiPool> pool_;
  const CurlLibrary& curl_;
  Request request_;
  std::string user_agent_;
  std::stop_token stop_;
  std::string key_;
  CURLM* multi_;
  CURL* easy_;
  WakeSlot wake_;
  curl_slist* header_lines_ = nullptr;
  char error_text_[CURL_ERROR_SIZE] = {0};

  bool head_done_ = false;
  bool finished_ = false;
  bool paused_ = false;
  Status outcome_;
  Status body_status_;                     // why the body to send could not be read
  std::optional<std::uint64_t> expected_;  // length of the body, when the head tells it
  std::uint64_t received_ = 0;
  std::uint64_t sent_ = 0;
  std::uint64_t moved_ = 0;  // counts callbacks, to see whether a round did anything
  std::int64_t waited_ms_ = 0;

  std::span<char> target_;
  std::size_t target_filled_ = 0;
  std::string pending_;
  std::size_t pending_at_ = 0;
};

class CurlTransport final : public Transport {
 public:
  explicit CurlTransport(CurlOptions options) : options_(std::move(options)) {}

  Result<std::unique_ptr<Response>> send(Request request, std::stop_token stop) override {
    if (stop.stop_requested()) return cancelled();
    KILN_ASSIGN_OR_RETURN(auto connections, pool());
    auto response = std::make_unique<CurlResponse>(std::move(connections), std::move(request), options_.user_agent,
                                                   std::move(stop));
    KILN_RETURN_IF_ERROR(response->start());
    return std::unique_ptr<Response>(std::move(response));
  }

 private:
  Result<std::shared_ptr<MultiPool>> pool() {
    KILN_ASSIGN_OR_RETURN(const CurlLibrary* curl, CurlLibrary::load());
    std::lock_guard guard(mutex_);
    if (pool_ == nullptr) pool_ = std::make_shared<MultiPool>(*curl, options_.idle_connections_max);
    return pool_;
  }

  CurlOptions options_;
  std::mutex mutex_;
  std::shared_ptr<MultiPool> pool_;  // made by the first request
};

}  // namespace

std::unique_ptr<Transport> make_curl_transport(CurlOptions options) {
  return std::make_unique<CurlTransport>(std::move(options));
}

}  // namespace kiln::registry
