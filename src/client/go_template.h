// The part of Go's text/template that --format takes: {{.Field.Field}}, {{json X}}, {{len X}},
// {{index X key}}, {{range X}}…{{else}}…{{end}}, {{range $i, $e := X}}, {{if X}}…{{else if Y}}…{{else}}…{{end}},
// {{with X}}…{{end}}, {{$x := Y}}, {{printf "…" X}}, {{println X}}, eq ne lt le gt ge and or not, (parentheses),
// "strings", `raw strings`, $ and the trims {{- and -}}.
//
//   KILN_ASSIGN_OR_RETURN(GoTemplate format, GoTemplate::parse("{{range .}}{{.ID}}\n{{end}}"));
//   KILN_ASSIGN_OR_RETURN(std::string text, format.render(json_text));
//
// Data is given as JSON text; a field is found by its name as written, or without regard to case,
// so that Go's {{.ID}} finds "id". The format "json" stands for {{json .}}. Immutable; any thread.
//
// An object may carry an object under kSilentFields: fields that are found by their name before all others but
// are not printed with the object. So a message's unset fields are empty rather than unknown, and an enum's
// field is its name.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "base/status.h"

namespace kiln::client {

inline constexpr std::string_view kSilentFields = "\x01";

class GoTemplate {
 public:
  // InvalidArgument that names the wrong part.
  static Result<GoTemplate> parse(std::string_view text);
  // InvalidArgument for a field that the data does not have, or a function used wrongly.
  Result<std::string> render(std::string_view json) const;

  struct Node;
  ~GoTemplate();
  GoTemplate(GoTemplate&&) noexcept;
  GoTemplate& operator=(GoTemplate&&) noexcept;

 private:
  explicit GoTemplate(std::unique_ptr<Node> root);
  std::unique_ptr<Node> root_;
};

}  // namespace kiln::client
