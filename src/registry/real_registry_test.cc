// The curl transport and the client against Debian's docker-registry, started by the test on a free
// loopback port; skipped where the program is missing.
#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <thread>

#include "base/id.h"
#include "registry/client.h"

namespace kiln::registry {
namespace {

constexpr const char* kProgram = "/usr/bin/docker-registry";

// A bound loopback socket; its port is free once it is closed.
class LoopbackSocket {
 public:
  LoopbackSocket() : fd_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{.sin_family = AF_INET, .sin_port = 0, .sin_addr = {htonl(INADDR_LOOPBACK)}, .sin_zero = {}};
    bind(fd_, reinterpret_cast<sockaddr*>(&address), sizeof address);
    socklen_t length = sizeof address;
    getsockname(fd_, reinterpret_cast<sockaddr*>(&address), &length);
    port_ = ntohs(address.sin_port);
  }
  ~LoopbackSocket() { close(fd_); }
  void listen() { ::listen(fd_, 8); }
  int port() const { return port_; }

 private:
  int fd_;
  int port_ = 0;
};

class RealRegistry : public testing::Test {
 protected:
  void SetUp() override {
    if (!std::filesystem::exists(kProgram)) GTEST_SKIP() << kProgram << " is not installed";
    folder_ = std::filesystem::temp_directory_path() / ("kiln-registry-" + new_id());
    std::filesystem::create_directories(folder_);
    port_ = LoopbackSocket().port();
    std::ofstream(folder_ / "config.yml")
        << "version: 0.1\nlog:\n  level: error\nstorage:\n  filesystem:\n    rootdirectory: "
        << (folder_ / "data").string() << "\nhttp:\n  addr: 127.0.0.1:" << port_ << "\n";
    std::string config = (folder_ / "config.yml").string();
    pid_ = fork();
    if (pid_ == 0) {
      freopen("/dev/null", "w", stdout);
      freopen("/dev/null", "w", stderr);
      execl(kProgram, kProgram, "serve", config.c_str(), nullptr);
      _exit(127);
    }
    http_ = make_curl_transport({.user_agent = "kiln-test"});
    for (int i = 0; i < 100; ++i) {
      if (http_->send({.url = fmt::format("http://127.0.0.1:{}/v2/", port_)}, {}).ok()) return;
      std::this_thread::sleep_for(std::chrono::milliseconds(50));
    }
    FAIL() << "the registry does not answer";
  }
  void TearDown() override {
    if (pid_ > 0) {
      kill(pid_, SIGKILL);
      waitpid(pid_, nullptr, 0);
    }
    std::error_code ignored;
    if (!folder_.empty()) std::filesystem::remove_all(folder_, ignored);
  }

  std::filesystem::path folder_;
  int port_ = 0;
  pid_t pid_ = -1;
  std::unique_ptr<Transport> http_;
};

TEST_F(RealRegistry, TakesAnImageAndGivesItBack) {
  Registry registry(*http_, {.user_agent = "kiln-test"});
  Reference ref = *Reference::parse(fmt::format("127.0.0.1:{}/team/app:v1", port_));
  std::string layer = random_bytes(3 << 20);
  std::string config = "{}";
  auto put = [&](const Reference& where, const std::string& bytes, std::string_view type,
                 std::vector<std::string> from = {}) {
    content::Descriptor descriptor{
        .media_type = std::string(type), .digest = Digest::of(bytes), .size = static_cast<std::int64_t>(bytes.size())};
    BlobOpener open = [&](std::uint64_t) -> Result<std::unique_ptr<ByteSource>> {
      return std::unique_ptr<ByteSource>(std::make_unique<StringSource>(bytes));
    };
    Result<Pushed> pushed = registry.push_blob(where, descriptor, open, from, {});
    EXPECT_TRUE(pushed.ok()) << pushed.status();
    return std::pair(descriptor, pushed.value_or(Pushed::kExisted));
  };
  content::Manifest manifest;
  manifest.media_type = content::kOciManifest;
  manifest.config = put(ref, config, content::kOciConfig).first;
  auto [layer_descriptor, how] = put(ref, layer, content::kOciLayer);
  EXPECT_EQ(how, Pushed::kUploaded);
  EXPECT_EQ(put(ref, layer, content::kOciLayer).second, Pushed::kExisted);
  Reference sibling = *Reference::parse(fmt::format("127.0.0.1:{}/team/other", port_));
  EXPECT_EQ(put(sibling, layer, content::kOciLayer, {"team/app"}).second, Pushed::kMounted);
  manifest.layers = {layer_descriptor};
  std::string text = content::to_json(manifest);
  content::Descriptor root{.media_type = std::string(content::kOciManifest),
                           .digest = Digest::of(text),
                           .size = static_cast<std::int64_t>(text.size())};
  ASSERT_TRUE(registry.push_manifest(ref, root, text, {}).ok());

  Result<Resolved> resolved = registry.resolve(ref, {});
  ASSERT_TRUE(resolved.ok()) << resolved.status();
  EXPECT_EQ(resolved->descriptor.digest, root.digest);
  EXPECT_EQ(resolved->descriptor.media_type, content::kOciManifest);
  Result<std::string> fetched = registry.fetch_manifest(resolved->ref, resolved->descriptor, {});
  ASSERT_TRUE(fetched.ok()) << fetched.status();
  EXPECT_EQ(*fetched, text);
  for (std::uint64_t offset : {std::uint64_t{0}, std::uint64_t{1} << 20}) {
    auto stream = registry.open_blob(ref, layer_descriptor, offset, {});
    ASSERT_TRUE(stream.ok()) << stream.status();
    Result<std::string> bytes = read_all(**stream, 16 << 20);
    ASSERT_TRUE(bytes.ok()) << bytes.status();
    EXPECT_EQ(Digest::of(*bytes), Digest::of(layer.substr(offset)));
  }
  EXPECT_TRUE(is_not_found(registry.resolve(*Reference::parse(fmt::format("127.0.0.1:{}/none", port_)), {}).status()));
}

TEST(CurlTransport, GivesUpAtOnceWhenStopped) {
  LoopbackSocket silent;
  silent.listen();
  auto http = make_curl_transport({.user_agent = "kiln-test"});
  std::stop_source stop;
  std::jthread stopper([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    stop.request_stop();
  });
  auto start = std::chrono::steady_clock::now();
  Status status = http->send({.url = fmt::format("http://127.0.0.1:{}/", silent.port())}, stop.get_token()).status();
  EXPECT_TRUE(is_cancelled(status)) << status;
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(30));  // half of what silence may last
}

TEST(CurlTransport, TellsARefusedConnectionFromABrokenOne) {
  int port = LoopbackSocket().port();
  auto http = make_curl_transport({.user_agent = "kiln-test"});
  Status status = http->send({.url = fmt::format("http://127.0.0.1:{}/", port)}, {}).status();
  EXPECT_TRUE(get_detail(status, kRefusedDetail));
  EXPECT_EQ(message_of(status), fmt::format("GET \"http://127.0.0.1:{}/\": connect: connection refused", port));
}

}  // namespace
}  // namespace kiln::registry
