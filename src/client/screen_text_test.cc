// Text for terminals.
#include "client/internal/screen_text.h"

#include <gtest/gtest.h>

namespace kiln::client {
namespace {

TEST(ScreenText, HasNothingThatMovesTheCursor) {
  EXPECT_EQ(printable("a\tb\x1b[31;1mred\x1b[0m\r\b\a\x7f end"), "a bred end");
  EXPECT_EQ(printable("\x1b[2J\x1b]0;title\x07"), "0;title");
  EXPECT_EQ(printable("\xc2\x9b"
                      "31m"),
            "31m");  // the one-byte form of ESC [, in UTF-8
  EXPECT_EQ(printable("\xff"
                      "a\xe5"),
            "\xef\xbf\xbd"
            "a\xef\xbf\xbd");
  EXPECT_EQ(printable("x\x1b["), "x");
  EXPECT_EQ(printable("x\x1b"), "x");
}

TEST(ScreenText, CountsColumnsAsATerminalDoes) {
  EXPECT_EQ(columns_of("plain"), 5);
  EXPECT_EQ(columns_of("größe"), 5);
  EXPECT_EQ(columns_of("e\u0301"), 1);
  EXPECT_EQ(columns_of("字幅"), 4);
  EXPECT_EQ(columns_of("🙂!"), 3);
}

TEST(ScreenText, IsCutBetweenCharacters) {
  EXPECT_EQ(cut("plain", 3), "pla");
  EXPECT_EQ(cut("plain", 9), "plain");
  EXPECT_EQ(cut("plain", -1), "");
  EXPECT_EQ(cut("字幅の", 3), "字");
  EXPECT_EQ(cut("字幅の", 4), "字幅");
  EXPECT_EQ(cut("größe", 4), "größ");
  EXPECT_EQ(cut("a字", 2), "a");
}

}  // namespace
}  // namespace kiln::client
