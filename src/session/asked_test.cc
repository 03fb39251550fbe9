// What a daemon may ask of a client besides files: each service answered by the other end of a real
// session.
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <thread>

#include "content/blob_store_file.h"
#include "session/client_content.h"
#include "session/credentials.h"
#include "session/export_target.h"
#include "session/secrets.h"
#include "session/session_fixture.h"
#include "session/ssh.h"
#include "session/upload.h"

namespace kiln::session {
namespace {

class OneSecret final : public SecretSource {
  Result<std::optional<std::string>> secret(const std::string& id) override {
    if (id == "token") return "hush";
    return std::nullopt;
  }
};

TEST(Secrets, AreFoundOrAbsent) {
  Daemon daemon;
  auto without = daemon.connect({});
  Offers offers;
  offers.secrets = std::make_shared<OneSecret>();
  auto client = daemon.connect(std::move(offers));
  SessionGroup both(daemon.sessions, [&] { return std::vector<std::string>{without->id(), client->id()}; });
  EXPECT_EQ(*secret_asker(both)->get_secret("token", {}), "hush");
  EXPECT_EQ(*secret_asker(both)->get_secret("other", {}), std::nullopt);
  EXPECT_EQ(*secret_asker(daemon.group(*without))->get_secret("token", {}), std::nullopt);
}

class OneLogin final : public LoginSource {
 public:
  explicit OneLogin(std::string secret) : secret_(std::move(secret)) {}
  Result<registry::Login> login(const std::string& host) override {
    if (host != "docker.io") return registry::Login{};
    return registry::Login{"me", secret_};
  }
  Result<registry::Token> fetch_token(const registry::TokenRequest& request, std::stop_token) override {
    return registry::Token{request.realm + "/" + request.scopes.at(0), 0, 7};
  }
  Result<std::string> token_seed(const std::string& host) override { return secret_ + host; }

 private:
  std::string secret_;
};

TEST(Credentials, EqualLoginsHaveOneIdentityAndOthersDoNot) {
  Daemon daemon;
  std::vector<std::unique_ptr<ClientSession>> clients;
  for (const char* secret : {"a", "a", "b"}) {
    Offers offers;
    offers.logins = std::make_shared<OneLogin>(secret);
    clients.push_back(daemon.connect(std::move(offers)));
  }
  std::vector<std::string> identities;
  for (auto& client : clients) {
    identities.push_back(*session_credentials(daemon.group(*client))->identity("docker.io", {}));
  }
  EXPECT_EQ(identities[0], identities[1]);
  EXPECT_NE(identities[0], identities[2]);
  auto credentials = session_credentials(daemon.group(*clients[0]));
  EXPECT_EQ(credentials->login("docker.io", {})->username, "me");
  auto token = credentials->fetch_token({"id", "docker.io", "realm", "service", {"scope"}}, {});
  ASSERT_TRUE(token.ok()) << token.status();
  EXPECT_EQ((*token)->token, "realm/scope");
  EXPECT_EQ((*token)->expires_in_s, 60);
  auto other = verify_token_authority(daemon.group(*clients[2]), "docker.io",
                                      *token_authority(daemon.group(*clients[0]), "docker.io", {}), {});
  ASSERT_TRUE(other.ok());
  EXPECT_FALSE(*other);
}

TEST(Credentials, AClientWithoutAuthIsAnonymous) {
  Daemon daemon;
  auto client = daemon.connect({});
  auto credentials = session_credentials(daemon.group(*client));
  EXPECT_EQ(*credentials->identity("docker.io", {}), "");
  EXPECT_EQ(credentials->login("docker.io", {})->username, "");
  EXPECT_EQ(*credentials->fetch_token({}, {}), std::nullopt);
}

// Answers every connection with its input in capitals.
class EchoAgent final : public AgentSource {
 public:
  ~EchoAgent() override = default;
  Status check(const std::string& id) override {
    return id == "default" ? ok() : user_error(Code::kNotFound, "unset ssh forward key " + id);
  }
  Result<host::Fd> connect(const std::string&) override {
    int ends[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) return errno_error(errno, "pair");
    threads_.emplace_back([fd = ends[1]] {
      host::Fd owned(fd);
      char buffer[1000];
      ssize_t got;
      while ((got = read(fd, buffer, sizeof buffer)) > 0) {
        for (ssize_t i = 0; i < got; ++i) buffer[i] = static_cast<char>(toupper(buffer[i]));
        if (!host::write_all(fd, {buffer, static_cast<std::size_t>(got)}).ok()) return;
      }
    });
    return host::Fd(ends[0]);
  }

 private:
  std::vector<std::jthread> threads_;
};

TEST(Ssh, AConnectionInTheStepReachesTheAgent) {
  Daemon daemon;
  Offers offers;
  offers.agents = std::make_shared<EchoAgent>();
  auto client = daemon.connect(std::move(offers));
  auto asker = ssh_asker(daemon.group(*client));
  EXPECT_TRUE(asker->check("", {}).ok());
  EXPECT_EQ(asker->check("other", {}).code(), Code::kNotFound);
  auto socket = asker->forward({}, {});
  ASSERT_TRUE(socket.ok()) << socket.status();
  std::string path = (*socket)->path();
  for (int round = 0; round < 3; ++round) {
    host::Fd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    path.copy(address.sun_path, path.size());
    ASSERT_EQ(connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    std::string sent(300'000, 'x');
    std::jthread writer([&] {
      EXPECT_TRUE(host::write_all(fd.get(), sent).ok());
      shutdown(fd.get(), SHUT_WR);
    });
    EXPECT_EQ(*host::read_to_end(fd.get(), 1 << 20), std::string(300'000, 'X'));
  }
  socket->reset();
  EXPECT_FALSE(host::exists(path));
}

TEST(Ssh, TheDirectoryOfItsSocketMayHaveALongName) {
  Daemon daemon;
  Offers offers;
  offers.agents = std::make_shared<EchoAgent>();
  auto client = daemon.connect(std::move(offers));
  auto place = *host::TempDir::make("ssh");
  const std::string deep = place.path() + "/" + std::string(120, 'd');
  ASSERT_TRUE(host::make_dirs(deep).ok());
  const std::string before = getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp";
  setenv("TMPDIR", deep.c_str(), 1);
  auto socket = ssh_asker(daemon.group(*client))->forward({}, {});
  setenv("TMPDIR", before.c_str(), 1);
  ASSERT_TRUE(socket.ok()) << socket.status();
  EXPECT_TRUE((*socket)->path().starts_with(deep)) << (*socket)->path();
  EXPECT_TRUE(host::exists((*socket)->path()));
}

TEST(Upload, IsPulledOnce) {
  Daemon daemon;
  Offers offers;
  std::string text(2'000'000, 'u');
  offers.uploads["/abc"] = [&]() -> Result<std::unique_ptr<ByteSource>> {
    return std::unique_ptr<ByteSource>(std::make_unique<StringSource>(text));
  };
  auto client = daemon.connect(std::move(offers));
  auto source = pull_upload(daemon.group(*client), "http://buildkit-session/abc", {});
  ASSERT_TRUE(source.ok()) << source.status();
  EXPECT_EQ(*read_all(**source, 4 << 20), text);
  EXPECT_EQ(pull_upload(daemon.group(*client), "http://buildkit-session/no", {}).status().code(), Code::kNotFound);
}

class TextSink final : public ExportSink {
 public:
  explicit TextSink(std::string& text) : text_(text) {}
  Status write(std::string_view bytes) override {
    text_.append(bytes);
    return ok();
  }
  Status close() override {
    text_ += "!";
    return ok();
  }

 private:
  std::string& text_;
};

TEST(Export, StreamsAndTreesArrive) {
  Daemon daemon;
  auto from = *host::TempDir::make("from"), to = *host::TempDir::make("to");
  ASSERT_TRUE(host::write_file(from.path() + "/new", "1").ok());
  ASSERT_TRUE(host::write_file(to.path() + "/kept", "2").ok());
  Offers offers;
  std::string text, name;
  offers.outputs[0].open =
      [&](const std::map<std::string, std::string>& metadata) -> Result<std::unique_ptr<ExportSink>> {
    name = metadata.at("containerimage.digest");
    return std::unique_ptr<ExportSink>(std::make_unique<TextSink>(text));
  };
  offers.outputs[1].dir = to.path();
  offers.outputs[2].dir = to.path();
  offers.outputs[2].mirror = true;
  auto client = daemon.connect(std::move(offers));
  ExportTarget target(daemon.group(*client), client->id());
  auto sink = target.open_file(0, {{"containerimage.digest", "sha256:1"}}, {});
  ASSERT_TRUE(sink.ok());
  ASSERT_TRUE((*sink)->write(std::string(5'000'000, 't')).ok());
  ASSERT_TRUE((*sink)->close().ok());
  EXPECT_EQ(text, std::string(5'000'000, 't') + "!");
  EXPECT_EQ(name, "sha256:1");

  auto tree = *DirTree::at(from.path());
  TreeExport options;
  options.exporter_id = 1;
  Status sent = target.send_tree(*tree, options, {});
  ASSERT_TRUE(sent.ok()) << sent;
  EXPECT_EQ(*host::read_file(to.path() + "/new"), "1");
  EXPECT_TRUE(host::exists(to.path() + "/kept"));
  options.exporter_id = 2;
  sent = target.send_tree(*tree, options, {});
  ASSERT_TRUE(sent.ok()) << sent;
  EXPECT_TRUE(host::exists(to.path() + "/new"));
  EXPECT_FALSE(host::exists(to.path() + "/kept"));
  options.exporter_id = 9;
  sent = target.send_tree(*tree, options, {});
  EXPECT_NE(message_of(sent).find("exporter 9 not found"), std::string_view::npos) << sent;
}

TEST(Content, BlobsAtTheClientAreReadAndWritten) {
  Daemon daemon;
  auto dir = *host::TempDir::make("blobs");
  auto opened = content::FileBlobStore::open(dir.path());
  ASSERT_TRUE(opened.ok()) << opened.status();
  std::shared_ptr<content::BlobStore> store = *std::move(opened);
  std::string text(3'000'000, 'b');
  content::Descriptor blob = *content::write_blob(*store, text, "x/y");
  Offers offers;
  offers.contents["oci:base"] = store;
  auto client = daemon.connect(std::move(offers));
  ClientContent content(daemon.group(*client), client->id(), "oci:base");
  EXPECT_EQ((*content.info(blob.digest, {}))->size, 3'000'000);
  EXPECT_EQ(*content.info(Digest::of("no"), {}), std::nullopt);
  auto source = content.open(blob, 1'000'000, {});
  ASSERT_TRUE(source.ok()) << source.status();
  EXPECT_EQ(read_all(**source, 4 << 20)->size(), 2'000'000u);

  content::Descriptor fresh{"x/y", Digest::of(text + "c"), 3'000'001};
  for (int round = 0; round < 2; ++round) {
    auto writer = content.ingest("ref", fresh, {});
    ASSERT_TRUE(writer.ok()) << writer.status();
    ASSERT_TRUE((*writer)->write(text).ok());
    ASSERT_TRUE((*writer)->write("c").ok());
    auto committed = (*writer)->commit({fresh.digest, fresh.size, {{"k", "v"}}});
    ASSERT_TRUE(committed.ok()) << committed.status();
  }
  EXPECT_EQ((*content.info(fresh.digest, {}))->labels.at("k"), "v");
  ASSERT_TRUE(content.set_labels(fresh.digest, {{"k", "w"}}, {}).ok());
  EXPECT_EQ((*content.info(fresh.digest, {}))->labels.at("k"), "w");
  int seen = 0;
  ASSERT_TRUE(content
                  .list(
                      [&](const content::BlobInfo&) {
                        ++seen;
                        return ok();
                      },
                      {})
                  .ok());
  EXPECT_EQ(seen, 2);
  ClientContent elsewhere(daemon.group(*client), client->id(), "oci:none");
  EXPECT_EQ(elsewhere.open(blob, 0, {}).status().code(), Code::kNotFound);
}

TEST(Calls, StopWhenAsked) {
  Daemon daemon;
  auto client = daemon.connect({});
  std::stop_source stop;
  stop.request_stop();
  EXPECT_TRUE(is_cancelled(secret_asker(daemon.group(*client))->get_secret("x", stop.get_token()).status()));
  std::stop_source later;
  std::jthread stopper([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    later.request_stop();
  });
  EXPECT_TRUE(is_cancelled(daemon.sessions.get("nobody", std::chrono::seconds(60), later.get_token()).status()));
}

}  // namespace
}  // namespace kiln::session
