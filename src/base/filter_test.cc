#include "base/filter.h"

#include <gtest/gtest.h>

#include <map>

namespace kiln {
namespace {

bool matches(std::string_view expression, const std::map<std::string, std::string>& fields) {
  auto filter = Filter::parse(expression);
  EXPECT_TRUE(filter.ok()) << filter.status();
  return filter.ok() && filter->matches([&](std::span<const std::string> path) -> std::optional<std::string> {
    std::string name;
    for (const auto& part : path) name += (name.empty() ? "" : "/") + part;
    auto it = fields.find(name);
    return it == fields.end() ? std::nullopt : std::optional(it->second);
  });
}

TEST(Filter, SelectorsOfOneExpressionMustAllMatch) {
  EXPECT_TRUE(matches("type==regular,id~=^ab", {{"type", "regular"}, {"id", "abc"}}));
  EXPECT_FALSE(matches("type==regular,id~=^b", {{"type", "regular"}, {"id", "abc"}}));
  EXPECT_TRUE(matches("labels.\"a.b/c\"==\"x,y\"", {{"labels/a.b/c", "x,y"}}));
  EXPECT_TRUE(matches("", {}));
}

TEST(Filter, AMissingFieldIsUnequalAndNotPresent) {
  EXPECT_TRUE(matches("shared!=true", {}));
  EXPECT_FALSE(matches("shared", {}));
  EXPECT_FALSE(matches("shared", {{"shared", ""}}));
}

TEST(Filter, NonsenseIsRefusedWithItsPlace) {
  for (const char* bad : {"ref+foo", "==x", "a==", "a~=[", "a==\"x", "a,"}) {
    auto filter = Filter::parse(bad);
    EXPECT_FALSE(filter.ok()) << bad;
    EXPECT_NE(message_of(filter.status()).find("parse error"), std::string_view::npos);
  }
}

}  // namespace
}  // namespace kiln
