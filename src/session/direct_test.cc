// The direct way between both ends on one machine: who may use it, what goes through it, and what
// happens when it breaks.
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <atomic>
#include <cstddef>
#include <cstring>
#include <vector>

#include "base/id.h"
#include "host/fs.h"
#include "session/export_target.h"
#include "session/internal/direct_call.h"
#include "session/internal/direct_door.h"
#include "session/internal/file_intake.h"
#include "session/session_fixture.h"

namespace kiln::session::internal {
namespace {

using namespace std::chrono_literals;

host::Fd knock(const std::string& address) {
  std::string name = address.substr(0, address.find(kDirectSeparator));
  host::Fd socket(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_un at{};
  at.sun_family = AF_UNIX;
  std::memcpy(at.sun_path + 1, name.data(), name.size());
  auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + name.size());
  EXPECT_EQ(::connect(socket.get(), reinterpret_cast<sockaddr*>(&at), size), 0);
  return socket;
}

std::string secret_of(const std::string& address) { return address.substr(address.find(kDirectSeparator) + 1); }

bool say(DirectPipe& pipe, std::string text) { return pipe.write(text, {}, MessagePipe::Flush::kNow); }

std::string heard(MessagePipe& pipe) {
  Pieces message;
  return pipe.read(message) ? http2::flat(message) : "(nothing)";
}

TEST(DirectDoor, OpensOnlyToTheOneWhoKnowsTheSecret) {
  std::atomic<int> calls = 0;
  auto door = DirectDoor::open([&](const std::string& method, const DirectDoor::Headers& headers, DirectPipe& pipe) {
    ++calls;
    EXPECT_EQ(method, "/m");
    EXPECT_EQ(headers.find("key")->second, "value");
    EXPECT_EQ(heard(pipe), "hello");
    say(pipe, std::string(1 << 20, 'b'));
    return user_error(Code::kNotFound, "none of that here");
  });
  ASSERT_TRUE(door);
  for (const std::string& secret : {std::string(64, '0'), std::string("x"), std::string(1 << 16, 'f')}) {
    DirectPipe stranger(knock(door->address()));
    say(stranger, secret);
    say(stranger, std::string("/m\0", 3));
    EXPECT_EQ(heard(stranger), "(nothing)");
    EXPECT_FALSE(stranger.ended());
  }
  EXPECT_EQ(calls, 0);
  DirectPipe daemon(knock(door->address()));
  say(daemon, secret_of(door->address()));
  say(daemon, std::string("/m\0key\0value\0", 13));
  say(daemon, "hello");
  EXPECT_EQ(heard(daemon).size(), std::size_t{1 << 20});
  EXPECT_EQ(heard(daemon), "(nothing)");
  ASSERT_TRUE(daemon.ended());
  EXPECT_EQ(daemon.ended()->code(), Code::kNotFound);
  EXPECT_EQ(message_of(*daemon.ended()), "none of that here");
  EXPECT_EQ(calls, 1);
}

TEST(DirectPipe, SendsStretchesOfFilesAsMessages) {
  int ends[2];
  ASSERT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
  DirectPipe here{host::Fd(ends[0])}, there{host::Fd(ends[1])};
  host::TempDir dir = *host::TempDir::make("kiln-direct-test-");
  const std::string bytes = random_bytes(3 << 20);
  host::Fd file = *host::open_file(dir.path() + "/f", O_RDWR | O_CREAT);
  ASSERT_TRUE(host::write_all(file.get(), bytes).ok());
  std::jthread writer([&] {
    say(here, "first");
    EXPECT_TRUE(here.write_from("", {file.get(), 0, 0}));
    EXPECT_TRUE(here.write_from("start", {file.get(), 1000, 1 << 20}));
    say(here, "between");
    EXPECT_TRUE(here.write_from("", {file.get(), 0, bytes.size()}));
    // Longer than the file: the other end must not take what follows for its rest.
    EXPECT_FALSE(here.write_from("", {file.get(), bytes.size() - 10, 11}));
  });
  EXPECT_EQ(heard(there), "first");
  EXPECT_EQ(heard(there), "");
  EXPECT_TRUE(heard(there) == "start" + bytes.substr(1000, 1 << 20));
  EXPECT_EQ(heard(there), "between");
  EXPECT_TRUE(heard(there) == bytes);
  EXPECT_EQ(heard(there), "(nothing)");
  EXPECT_FALSE(there.ended());
}

TEST(DirectDoor, ClosingItEndsWhoIsStillInside) {
  std::atomic<bool> inside = false;
  auto door = DirectDoor::open([&](const std::string&, const DirectDoor::Headers&, DirectPipe& pipe) {
    inside = true;
    EXPECT_EQ(heard(pipe), "(nothing)");
    EXPECT_FALSE(pipe.complete());
    return cancelled();
  });
  DirectPipe daemon(knock(door->address()));
  say(daemon, secret_of(door->address()));
  say(daemon, std::string("/m\0", 3));
  while (!inside) std::this_thread::sleep_for(1ms);
  DirectPipe silent(knock(door->address()));  // never says who it is
  door.reset();
  EXPECT_EQ(heard(daemon), "(nothing)");
}

TEST(DirectDoor, StrangersDoNotKeepTheDaemonOut) {
  std::atomic<int> calls = 0;
  auto door = DirectDoor::open([&](const std::string&, const DirectDoor::Headers&, DirectPipe& pipe) {
    ++calls;
    EXPECT_EQ(heard(pipe), "hello");
    say(pipe, "welcome");
    return ok();
  });
  std::vector<host::Fd> strangers;
  for (int i = 0; i < 300; ++i) strangers.push_back(knock(door->address()));
  DirectPipe first(knock(door->address()));
  say(first, secret_of(door->address()));
  say(first, std::string("/m\0", 3));
  for (int i = 0; i < 300; ++i) strangers.push_back(knock(door->address()));
  DirectPipe second(knock(door->address()));
  say(second, secret_of(door->address()));
  say(second, std::string("/m\0", 3));
  for (DirectPipe* daemon : {&second, &first}) {
    say(*daemon, "hello");
    EXPECT_EQ(heard(*daemon), "welcome");
  }
  EXPECT_EQ(calls, 2);
}

TEST(DirectPipe, FilesComeWithTheMessagesTheyWereSentWith) {
  auto dir = *host::TempDir::make("direct");
  int ends[2];
  ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
  DirectPipe from{host::Fd(ends[0])}, to{host::Fd(ends[1])};
  for (int i = 0; i < 20; ++i) {
    std::string path = fmt::format("{}/{}", dir.path(), i);
    ASSERT_TRUE(host::write_file(path, path).ok());
    auto file = host::open_file(path, O_RDONLY);
    std::string text = fmt::format("with {}", i);
    ASSERT_TRUE(from.write_file(text, file->get()));
    ASSERT_TRUE(say(from, "without"));
  }
  from.end(ok());
  for (int i = 0; i < 20; ++i) {
    EXPECT_EQ(heard(to), fmt::format("with {}", i));
    host::Fd file = to.take_file();
    ASSERT_TRUE(file.valid());
    EXPECT_EQ(*host::read_to_end(file.get(), 1000), fmt::format("{}/{}", dir.path(), i));
    EXPECT_EQ(heard(to), "without");
    EXPECT_FALSE(to.take_file().valid());
  }
  EXPECT_EQ(heard(to), "(nothing)");
  EXPECT_TRUE(to.complete());
}

class PlainHasher final : public ContentHasher {
 public:
  void update(std::string_view bytes) override { hasher_.update(bytes); }
  Digest finish() override { return hasher_.finish(); }

 private:
  Hasher hasher_;
};

TEST(FileIntake, WhatWasHashedIsWhatWasWritten) {
  auto dir = *host::TempDir::make("intake", "/dev/shm");
  for (std::size_t size : {0, 1, 1 << 20, (9 << 20) + 17}) {
    std::string bytes(size, '\0');
    for (std::size_t i = 0; i < size; ++i) bytes[i] = static_cast<char>((i * 2654435761u) >> 13);
    ASSERT_TRUE(host::write_file(dir.path() + "/from", bytes).ok());
    auto from = host::open_file(dir.path() + "/from", O_RDONLY);
    auto to = host::open_file(dir.path() + "/to", O_WRONLY | O_CREAT | O_TRUNC);
    PlainHasher hasher;
    std::int64_t told = 0;
    auto taken = take_contents(from->get(), to->get(), &hasher, [&](std::int64_t moved) { told = moved; }, {});
    ASSERT_TRUE(taken.ok()) << taken.status();
    EXPECT_EQ(*taken, static_cast<std::int64_t>(size));
    EXPECT_EQ(told, static_cast<std::int64_t>(size));
    EXPECT_EQ(hasher.finish(), Digest::of(bytes));
    EXPECT_EQ(*host::read_file(dir.path() + "/to"), bytes);
  }
}

TEST(FileIntake, TakesNothingThatIsNoFile) {
  auto dir = *host::TempDir::make("intake", "/dev/shm");
  auto to = host::open_file(dir.path() + "/to", O_WRONLY | O_CREAT);
  for (const char* path : {"/dev/zero", "/proc/self/status", "/dev/shm"}) {
    auto from = host::open_file(path, O_RDONLY);
    ASSERT_TRUE(from.ok());
    auto taken = take_contents(from->get(), to->get(), nullptr, {}, {});
    EXPECT_EQ(taken.status().code(), Code::kInvalidArgument) << path;
  }
}

TEST(DirectCall, IsUsedWhenThereIsADoorAndTheTunnelElse) {
  Daemon daemon;
  auto dir = *host::TempDir::make("call");
  for (bool direct : {true, false}) {
    Offers offers;
    offers.direct = direct;
    offers.dirs["c"] = *DirTree::at(dir.path());
    auto client = daemon.connect(std::move(offers));
    auto session = daemon.sessions.get(client->id(), 5s, {});
    ASSERT_TRUE(session.ok());
    EXPECT_EQ(!(*session)->door().empty(), direct);
    CallOptions options;
    options.metadata.emplace_back("dir-name", "c");
    EXPECT_EQ(start_call(**session, "/moby.filesync.v1.FileSync/DiffCopy", options)->takes_files(), direct);
  }
}

TEST(DirectCall, NeverKnocksAtOtherSockets) {
  auto door = DirectDoor::open([](const std::string&, const DirectDoor::Headers&, DirectPipe&) { return ok(); });
  std::string name = door->address().substr(0, door->address().find(kDirectSeparator));
  Daemon daemon;
  Offers offers;
  offers.direct = false;
  auto client = daemon.connect(std::move(offers));
  auto attached = daemon.sessions.get(client->id(), 5s, {});
  ASSERT_TRUE(attached.ok());
  for (const std::string& bad :
       {std::string("other-socket"), name + "x", std::string("kiln-direct-") + std::string(31, 'a'),
        std::string("kiln-direct-") + std::string(32, 'b')}) {
    auto hello = parse_hello({{"x-docker-expose-session-uuid", "x"}, {kDirectHeader, bad + ":secret"}});
    ASSERT_TRUE(hello.ok());
    auto session = daemon.sessions.attach(*std::move(hello), http2::Connection::client());
    ASSERT_TRUE(session.ok());
    EXPECT_FALSE(start_call(**session, "/m", {})->takes_files()) << bad;
    (*session)->close();
  }
}

// Small and large writes, and what the kernel takes from a file, arrive in their order.
TEST(DirectCall, AnArchiveArrivesAsItWasWritten) {
  Daemon daemon;
  std::string arrived;
  struct Sink final : ExportSink {
    explicit Sink(std::string& arrived) : arrived_(arrived) {}
    Status write(std::string_view bytes) override {
      arrived_ += bytes;
      return ok();
    }
    Status close() override { return ok(); }
    std::string& arrived_;
  };
  Offers offers;
  offers.outputs[0].open = [&](const std::map<std::string, std::string>&) -> Result<std::unique_ptr<ExportSink>> {
    return std::unique_ptr<ExportSink>(new Sink(arrived));
  };
  auto client = daemon.connect(std::move(offers));
  ExportTarget target(daemon.group(*client), client->id());
  auto sink = target.open_file(0, {}, {});
  ASSERT_TRUE(sink.ok()) << sink.status();
  auto* files = dynamic_cast<host::FileSink*>(sink->get());
  ASSERT_TRUE(files && files->takes_files());
  host::TempDir dir = *host::TempDir::make("kiln-direct-test-");
  const std::string bytes = random_bytes((3 << 20) + 17);
  host::Fd file = *host::open_file(dir.path() + "/f", O_RDWR | O_CREAT);
  ASSERT_TRUE(host::write_all(file.get(), bytes).ok());
  EXPECT_TRUE((*sink)->write("small").ok());
  EXPECT_TRUE(files->write_file({file.get(), 0, bytes.size()}).ok());
  EXPECT_TRUE((*sink)->write(bytes).ok());
  EXPECT_TRUE(files->write_file({file.get(), 5, 0}).ok());
  EXPECT_TRUE(files->write_file({file.get(), 5, 7}).ok());
  EXPECT_TRUE((*sink)->write("end").ok());
  EXPECT_TRUE((*sink)->close().ok());
  EXPECT_TRUE(arrived == "small" + bytes + bytes + bytes.substr(5, 7) + "end");
  client->close();
}

// An output that the daemon gave up is no output.
TEST(DirectCall, AnUnfinishedStreamIsNotTakenForAWholeOne) {
  Daemon daemon;
  for (bool finishes : {true, false}) {
    std::atomic<bool> closed = false;
    struct Sink final : ExportSink {
      explicit Sink(std::atomic<bool>& closed) : closed_(closed) {}
      Status write(std::string_view) override { return ok(); }
      Status close() override {
        closed_ = true;
        return ok();
      }
      std::atomic<bool>& closed_;
    };
    Offers offers;
    offers.outputs[0].open = [&](const std::map<std::string, std::string>&) -> Result<std::unique_ptr<ExportSink>> {
      return std::unique_ptr<ExportSink>(new Sink(closed));
    };
    auto client = daemon.connect(std::move(offers));
    {
      ExportTarget target(daemon.group(*client), client->id());
      auto sink = target.open_file(0, {}, {});
      ASSERT_TRUE(sink.ok()) << sink.status();
      ASSERT_TRUE((*sink)->write(std::string(3 << 20, 'x')).ok());
      if (finishes) {
        EXPECT_TRUE((*sink)->close().ok());
      }
    }
    client->close();
    EXPECT_EQ(closed, finishes);
  }
}

}  // namespace
}  // namespace kiln::session::internal
