// References parse to what docker makes of them, and refuse what docker refuses in its words.
#include "registry/reference.h"

#include <gtest/gtest.h>

namespace kiln::registry {
namespace {

const std::string kHex(64, 'a');

TEST(Reference, NormalisesFamiliarNames) {
  struct Case {
    std::string text, full, familiar;
  };
  const Case cases[] = {
      {"busybox", "docker.io/library/busybox", "busybox"},
      {"busybox:1.36", "docker.io/library/busybox:1.36", "busybox:1.36"},
      {"moby/buildkit", "docker.io/moby/buildkit", "moby/buildkit"},
      {"index.docker.io/busybox", "docker.io/library/busybox", "busybox"},
      {"docker.io/library/busybox", "docker.io/library/busybox", "busybox"},
      {"localhost/app", "localhost/app", "localhost/app"},
      {"localhost:5000/app:v1", "localhost:5000/app:v1", "localhost:5000/app:v1"},
      {"ghcr.io/a/b-c__d.e", "ghcr.io/a/b-c__d.e", "ghcr.io/a/b-c__d.e"},
      {"[::1]:5000/app", "[::1]:5000/app", "[::1]:5000/app"},
      {"busybox:v1@sha256:" + kHex, "docker.io/library/busybox:v1@sha256:" + kHex, "busybox:v1@sha256:" + kHex},
      {"Uppercase/app", "Uppercase/app", "Uppercase/app"},
  };
  for (const Case& c : cases) {
    Result<Reference> ref = Reference::parse(c.text);
    ASSERT_TRUE(ref.ok()) << c.text << ": " << ref.status();
    EXPECT_EQ(ref->str(), c.full);
    EXPECT_EQ(ref->familiar(), c.familiar);
  }
}

TEST(Reference, RefusesInDockersWords) {
  struct Case {
    std::string text, message;
  };
  const Case cases[] = {
      {"", "invalid reference format"},
      {"busybox:", "invalid reference format"},
      {"-bad", "invalid reference format"},
      {"a..b", "invalid reference format"},
      {"a___b", "invalid reference format"},
      {"app@sha256:123", "invalid reference format"},
      {"Busybox", "invalid reference format: repository name (library/Busybox) must be lowercase"},
      {kHex, "invalid repository name (" + kHex + "), cannot specify 64-byte hexadecimal strings"},
  };
  for (const Case& c : cases) {
    Result<Reference> ref = Reference::parse(c.text);
    ASSERT_FALSE(ref.ok()) << c.text;
    EXPECT_EQ(message_of(ref.status()), c.message);
    EXPECT_EQ(ref.status().code(), Code::kInvalidArgument);
  }
}

TEST(Reference, KnowsLoopbackHosts) {
  for (const char* host : {"localhost", "localhost:5000", "127.0.0.1", "127.9.9.9:80", "[::1]:5000"}) {
    EXPECT_TRUE(is_loopback_host(host)) << host;
  }
  for (const char* host : {"127.example.com", "localhost.io", "10.0.0.1"}) EXPECT_FALSE(is_loopback_host(host)) << host;
}

}  // namespace
}  // namespace kiln::registry
