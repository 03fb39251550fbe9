// The proxy of a step: addresses and heads are parsed strictly, bodies are framed again, and a session
// is used as a step would use it, from inside its namespace, against small servers.
#include <gtest/gtest.h>

#include <arpa/inet.h>
#include <fcntl.h>
#include <openssl/ssl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <thread>

#include "base/text.h"
#include "host/fs.h"
#include "host/netlink.h"
#include "sandbox/proxy/address.h"
#include "sandbox/proxy/http_body.h"
#include "sandbox/proxy/http_head.h"
#include "sandbox/proxy/proxy_network.h"
#include "sandbox/proxy/trust_bundle.h"

namespace kiln::sandbox::proxy {
namespace {

std::string shown(std::string_view text) {
  const auto address = Address::parse(text);
  return address ? address->shown() : "-";
}

TEST(Address, IsShownWithoutWhatGoesWithoutSaying) {
  EXPECT_EQ(shown("http://a.b:80/c?d#e"), "http://a.b/c?d");
  EXPECT_EQ(shown("HTTPS://a.b:8443"), "https://a.b:8443/");
  EXPECT_EQ(shown("https://me:secret@a/?x"), "https://xxxxx:xxxxx@a/?x");
  EXPECT_EQ(shown("http://[::1]:81/"), "http://[::1]:81/");
  for (const char* bad : {"ftp://a/", "/a", "http:///a", "http://a:0/", "http://a:70000/", "http://a:x/", "http://a b/",
                          "http://a/\n", "http://[::1/"}) {
    EXPECT_EQ(shown(bad), "-") << bad;
  }
}

TEST(Address, ResolvesLocations) {
  const Address at = *Address::parse("https://h:1/a/b?c");
  EXPECT_EQ(at.resolve("/x?y")->shown(), "https://h:1/x?y");
  EXPECT_EQ(at.resolve("x/")->shown(), "https://h:1/a/x/");
  EXPECT_EQ(at.resolve("../x")->shown(), "https://h:1/x");
  EXPECT_EQ(at.resolve("//o/x")->shown(), "https://o/x");
  EXPECT_EQ(at.resolve("http://o")->shown(), "http://o/");
  EXPECT_EQ(at.resolve("?z")->shown(), "https://h:1/a/b?z");
}

TEST(HttpHead, KeepsFieldsAndDropsThoseOfTheConnection) {
  auto head = *parse_head("GET /a HTTP/1.1\r\nHost: h\r\nConnection: close, X-Mine\r\nx-mine: 1\r\nAccept: */*\r\n\r\n",
                          HttpKind::kRequest);
  EXPECT_TRUE(head.has_word("connection", "close"));
  head.remove_hop_fields();
  EXPECT_EQ(head.text(), "GET /a HTTP/1.1\r\nHost: h\r\nAccept: */*\r\n\r\n");
  EXPECT_EQ(parse_head("HTTP/1.0 404 Not Found\n\n", HttpKind::kResponse)->reason, "Not Found");
}

TEST(HttpHead, RefusesWhatTwoReadersCouldReadDifferently) {
  for (const char* bad :
       {"", "\r\n", "GET / HTTP/2\r\n\r\n", "GET /\r\n\r\n", "GET / HTTP/1.1\r\n Host: x\r\n\r\n",
        "GET / HTTP/1.1\r\nHost : x\r\n\r\n", "GET / HTTP/1.1\r\nA: b\rc\r\n\r\n", "GET / HTTP/1.1\r\nA: b"}) {
    EXPECT_FALSE(parse_head(bad, HttpKind::kRequest).ok()) << bad;
  }
  auto framed = [](const std::string& fields) {
    return request_body(*parse_head("POST / HTTP/1.1\r\n" + fields + "\r\n", HttpKind::kRequest));
  };
  EXPECT_EQ(framed("Content-Length: 5\r\n")->length, 5u);
  EXPECT_EQ(framed("Transfer-Encoding: chunked\r\n")->kind, BodyKind::kChunked);
  EXPECT_FALSE(framed("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n").ok());
  EXPECT_FALSE(framed("Content-Length: 5\r\nContent-Length: 6\r\n").ok());
  EXPECT_FALSE(framed("Content-Length: -5\r\n").ok());
  EXPECT_FALSE(framed("Transfer-Encoding: gzip, chunked\r\n").ok());
}

TEST(HttpBody, ChunksAreTakenOffAndPutOn) {
  int ends[2];
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
  auto stopped = std::make_shared<host::Wake>();
  Connection one(host::Fd(ends[0]), stopped), two(host::Fd(ends[1]), stopped);
  BodyWriter out(one, BodyKind::kChunked);
  ASSERT_TRUE(out.write("hello ").ok() && out.write("world").ok() && out.finish().ok());
  ASSERT_TRUE(one.write("4;x=y\r\nmore\r\n0\r\nTrailer: x\r\n\r\nrest").ok());
  for (const char* expected : {"hello world", "more"}) {
    BodyReader in(two, {BodyKind::kChunked});
    std::string text;
    for (;;) {
      auto bytes = in.next();
      ASSERT_TRUE(bytes.ok()) << message_of(bytes.status());
      if (bytes->empty()) break;
      text += *bytes;
    }
    EXPECT_EQ(text, expected);
  }
  EXPECT_EQ(*two.read_some(99), "rest");
}

TEST(Capture, KnowsRedirectsByTheirEnd) {
  Capture capture;
  capture.add_request({"GET", "http://a/1", "http://a/2", 302});
  capture.add_request({"GET", "http://a/2", "http://a/3", 302});
  capture.add_request({"GET", "http://a/3", "", 200});
  capture.add_material({"http://a/3", Digest::of("x")});
  ASSERT_EQ(capture.materials().size(), 3u);
  EXPECT_EQ(capture.materials()[2].url, "http://a/1");
  EXPECT_EQ(capture.summary(),
            "proxy network requests:\n- GET http://a/1 -> 302\n- GET http://a/2 -> 302\n- GET http://a/3 -> 200\n");
}

class Trust : public testing::Test {
 protected:
  void SetUp() override {
    folder = *host::TempDir::make("kiln-trust-");
    ASSERT_TRUE(host::make_dirs(folder.path() + "/etc/ssl/certs").ok());
    root = *host::open_file(folder.path(), O_PATH | O_DIRECTORY);
  }
  std::string bundle() const { return folder.path() + "/etc/ssl/certs/ca-certificates.crt"; }
  std::string text() const { return host::read_file(bundle(), 1 << 20).value_or("(none)"); }
  host::TempDir folder;
  host::Fd root;
  const std::string pem = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
};

TEST_F(Trust, IsExtendedForAWhile) {
  ASSERT_TRUE(host::write_file(bundle(), "old").ok());
  struct stat before {
  }, after{};
  ASSERT_EQ(::stat(bundle().c_str(), &before), 0);
  {
    auto trust = TrustBundle::extend(root.get(), pem);
    ASSERT_TRUE(trust.ok()) << message_of(trust.status());
    EXPECT_EQ(text(), "old\n\n# buildkit proxy CA begin\n" + pem + "# buildkit proxy CA end\n");
  }
  EXPECT_EQ(text(), "old\n");
  ASSERT_EQ(::stat(bundle().c_str(), &after), 0);
  EXPECT_EQ(after.st_mtim.tv_nsec, before.st_mtim.tv_nsec);
  EXPECT_EQ(after.st_mode, before.st_mode);
}

TEST_F(Trust, KeepsWhatTheStepDid) {
  ASSERT_TRUE(host::write_file(bundle(), "old\n").ok());
  auto trust = *TrustBundle::extend(root.get(), pem);
  ASSERT_TRUE(host::write_file(bundle(), "new\n" + pem + "newer\n").ok());
  trust.restore();
  EXPECT_EQ(text(), "new\nnewer\n");
  auto again = *TrustBundle::extend(root.get(), pem);
  ASSERT_EQ(::unlink(bundle().c_str()), 0);
  again.restore();
  EXPECT_EQ(text(), "(none)");
}

TEST_F(Trust, StaysInTheTree) {
  ASSERT_TRUE(host::write_file(folder.path() + "/outside", "mine").ok());
  ASSERT_TRUE(host::make_dirs(folder.path() + "/tree/etc/ssl/certs").ok());
  ASSERT_EQ(::symlink("../../../../outside", (folder.path() + "/tree/etc/ssl/certs/ca-certificates.crt").c_str()), 0);
  const host::Fd tree = *host::open_file(folder.path() + "/tree", O_PATH | O_DIRECTORY);
  ASSERT_TRUE(TrustBundle::extend(tree.get(), pem).ok());
  EXPECT_EQ(*host::read_file(folder.path() + "/outside", 99), "mine");
}

// A server on the host's loopback that answers each connection with what `answer` makes of the head.
class Server {
 public:
  explicit Server(std::function<std::string(const std::string&)> answer) : answer_(std::move(answer)) {
    listener_ = host::Fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in where{};
    where.sin_family = AF_INET;
    where.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof where;
    (void)::bind(listener_.get(), reinterpret_cast<sockaddr*>(&where), size);
    (void)::listen(listener_.get(), 8);
    (void)::getsockname(listener_.get(), reinterpret_cast<sockaddr*>(&where), &size);
    port = ntohs(where.sin_port);
    thread_ = std::jthread([this] { serve(); });
  }
  ~Server() { (void)::shutdown(listener_.get(), SHUT_RDWR); }
  std::string url(const std::string& path) const { return fmt::format("http://127.0.0.1:{}{}", port, path); }
  std::uint16_t port = 0;

 private:
  void serve() {
    for (;;) {
      host::Fd client(::accept(listener_.get(), nullptr, nullptr));
      if (!client.valid()) return;
      std::string head(65536, '\0');
      const ssize_t size = ::recv(client.get(), head.data(), head.size(), 0);
      head.resize(size > 0 ? static_cast<std::size_t>(size) : 0);
      const std::string text = answer_(head);
      (void)::send(client.get(), text.data(), text.size(), MSG_NOSIGNAL);
    }
  }
  std::function<std::string(const std::string&)> answer_;
  host::Fd listener_;
  std::jthread thread_;
};

class Proxied : public testing::Test {
 protected:
  void SetUp() override {
    if (::geteuid() != 0) GTEST_SKIP() << "needs root";
  }
  void start(Decide decide = nullptr) {
    auto started = proxies.start({.decide = std::move(decide), .egress = Egress::kHost}, {});
    ASSERT_TRUE(started.ok()) << message_of(started.status());
    session = std::move(*started);
  }
  // A socket in the step's namespace, connected to the proxy.
  host::Fd connect() {
    host::Fd socket;
    const std::string proxy = session->environment()[0];
    (void)host::in_network_namespace(session->network()->namespace_fd(), [&]() -> Status {
      socket = host::Fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
      sockaddr_in where{};
      where.sin_family = AF_INET;
      where.sin_port = htons(static_cast<std::uint16_t>(std::stoi(proxy.substr(proxy.rfind(':') + 1))));
      where.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
      if (::connect(socket.get(), reinterpret_cast<sockaddr*>(&where), sizeof where) != 0)
        return errno_error(errno, "connect");
      return ok();
    });
    return socket;
  }
  static std::string exchange(int socket, const std::string& request) {
    (void)::send(socket, request.data(), request.size(), MSG_NOSIGNAL);
    std::string all;
    char buffer[4096];
    for (ssize_t size; (size = ::recv(socket, buffer, sizeof buffer, 0)) > 0;)
      all.append(buffer, static_cast<std::size_t>(size));
    return all;
  }
  std::string get(const std::string& url) {
    return exchange(connect().get(), "GET " + url + " HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n");
  }

  ProxyNetwork proxies{nullptr};
  std::unique_ptr<Session> session;
};

TEST_F(Proxied, FetchesAndRecords) {
  std::string seen;
  Server server([&](const std::string& head) {
    seen = head;
    return head.starts_with("GET /none ") ? "HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nno"
                                          : "HTTP/1.1 200 OK\r\n\r\npayload";
  });
  start();
  const std::string answer = get(server.url("/file"));
  EXPECT_TRUE(answer.starts_with("HTTP/1.1 200 OK\r\n")) << answer;
  EXPECT_NE(answer.find("payload"), std::string::npos);
  EXPECT_TRUE(seen.starts_with("GET /file HTTP/1.1\r\n")) << seen;
  EXPECT_NE(seen.find(fmt::format("Host: 127.0.0.1:{}\r\n", server.port)), std::string::npos) << seen;
  EXPECT_TRUE(get(server.url("/none")).starts_with("HTTP/1.1 404 Not Found\r\n"));
  EXPECT_TRUE(get("http://127.0.0.1:1/").starts_with("HTTP/1.1 502 Bad Gateway\r\n"));
  session->finish();
  ASSERT_EQ(session->capture().materials().size(), 1u);
  EXPECT_EQ(session->capture().materials()[0].url, server.url("/file"));
  EXPECT_EQ(session->capture().materials()[0].digest, Digest::of("payload"));
  ASSERT_EQ(session->capture().incomplete().size(), 2u);
  EXPECT_EQ(session->capture().incomplete()[0].reason, "unsuccessful_response");
  EXPECT_EQ(session->capture().incomplete()[1].reason, "upstream_error");
  EXPECT_EQ(session->capture().summary(),
            fmt::format("proxy network requests:\n- GET {} -> 200\n- GET {} -> 404\n- GET http://127.0.0.1:1/ -> 502\n",
                        server.url("/file"), server.url("/none")));
}

TEST_F(Proxied, ObeysWhatIsDecided) {
  Server server(
      [&](const std::string& head) { return "HTTP/1.1 200 OK\r\n\r\n" + head.substr(0, head.find(" HTTP")); });
  start([&](const std::string& url, std::stop_token) -> Result<std::optional<std::string>> {
    if (url.ends_with("/denied")) return user_error(Code::kPermissionDenied, "no");
    if (url.ends_with("/moved")) return std::optional(server.url("/there"));
    return std::optional<std::string>();
  });
  EXPECT_TRUE(get(server.url("/denied")).starts_with("HTTP/1.1 403 Forbidden\r\n"));
  EXPECT_NE(get(server.url("/moved")).find("GET /there"), std::string::npos);
  const std::string post =
      "POST " + server.url("/moved") + " HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nConnection: close\r\n\r\nx";
  EXPECT_TRUE(exchange(connect().get(), post).starts_with("HTTP/1.1 403 Forbidden\r\n"))
      << "what is sent is not sent elsewhere";
  session->finish();
  ASSERT_EQ(session->capture().materials().size(), 1u);
  EXPECT_EQ(session->capture().materials()[0].url, server.url("/there"));
}

TEST_F(Proxied, LetsNothingPassBy) {
  Server server([](const std::string&) { return "HTTP/1.1 200 OK\r\n\r\nleak"; });
  start();
  (void)host::in_network_namespace(session->network()->namespace_fd(), [&]() -> Status {
    sockaddr_in where{};
    where.sin_family = AF_INET;
    where.sin_port = htons(server.port);
    for (const char* address : {"127.0.0.1", "1.1.1.1", "10.10.0.1"}) {
      const host::Fd socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
      ::inet_pton(AF_INET, address, &where.sin_addr);
      EXPECT_NE(::connect(socket.get(), reinterpret_cast<sockaddr*>(&where), sizeof where), 0) << address;
    }
    return ok();
  });
}

TEST_F(Proxied, IsTheServerOfATunnelUnderItsOwnAuthority) {
  start();
  const host::Fd socket = connect();
  const std::string request = "CONNECT localhost:1 HTTP/1.1\r\nHost: localhost:1\r\n\r\n";
  ASSERT_EQ(::send(socket.get(), request.data(), request.size(), 0), static_cast<ssize_t>(request.size()));
  const std::string established = "HTTP/1.1 200 Connection Established\r\n\r\n";
  std::string answer(established.size(), '\0');
  ASSERT_EQ(::recv(socket.get(), answer.data(), answer.size(), MSG_WAITALL), static_cast<ssize_t>(answer.size()));
  EXPECT_EQ(answer, established);
  SSL_CTX* context = ::SSL_CTX_new(::TLS_client_method());
  BIO* pem = ::BIO_new_mem_buf(session->certificate().data(), static_cast<int>(session->certificate().size()));
  X509* certificate = ::PEM_read_bio_X509(pem, nullptr, nullptr, nullptr);
  ASSERT_NE(certificate, nullptr);
  ::X509_STORE_add_cert(::SSL_CTX_get_cert_store(context), certificate);
  ::SSL_CTX_set_verify(context, SSL_VERIFY_PEER, nullptr);
  SSL* ssl = ::SSL_new(context);
  ::SSL_set_fd(ssl, socket.get());
  ::SSL_set1_host(ssl, "localhost");
  EXPECT_EQ(::SSL_connect(ssl), 1);
  const std::string get = "GET /x HTTP/1.1\r\nHost: localhost:1\r\n\r\n";
  EXPECT_GT(::SSL_write(ssl, get.data(), static_cast<int>(get.size())), 0);
  char buffer[256] = {};
  EXPECT_GT(::SSL_read(ssl, buffer, sizeof buffer - 1), 0);
  EXPECT_TRUE(std::string_view(buffer).starts_with("HTTP/1.1 502 Bad Gateway\r\n")) << buffer;
  ::SSL_free(ssl);
  ::X509_free(certificate);
  ::BIO_free(pem);
  ::SSL_CTX_free(context);
  session->finish();
  EXPECT_EQ(session->capture().summary(), "proxy network requests:\n- GET https://localhost:1/x -> 502\n");
}

TEST_F(Proxied, EndsWithItsSessionThoughAServerIsSilent) {
  Server server([](const std::string&) {
    std::this_thread::sleep_for(std::chrono::milliseconds(300));
    return "";
  });
  start();
  const host::Fd socket = connect();
  const std::string request = "GET " + server.url("/") + " HTTP/1.1\r\n\r\n";
  (void)::send(socket.get(), request.data(), request.size(), 0);
  const auto begin = std::chrono::steady_clock::now();
  session->finish();
  EXPECT_LT(std::chrono::steady_clock::now() - begin,
            std::chrono::seconds(30));  // less than the patience with a silent server
}

}  // namespace
}  // namespace kiln::sandbox::proxy
