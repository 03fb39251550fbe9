# The text layer: from bytes to instructions.
set(frontend_text_sources
  dockerfile/directives.cc dockerfile/expand.cc dockerfile/expand_environment.cc dockerfile/expand_pattern.cc
  dockerfile/ignore_file.cc dockerfile/instruction_expand.cc dockerfile/instruction_file.cc
  dockerfile/instruction_flags.cc dockerfile/instruction_keywords.cc dockerfile/instruction_mount.cc
  dockerfile/instruction_parse.cc dockerfile/lint.cc dockerfile/lint_rules.cc dockerfile/location.cc
  dockerfile/source_words.cc dockerfile/statement.cc dockerfile/statement_words.cc)
set(frontend_text_tests dockerfile/expand_test.cc dockerfile/golden_test.cc dockerfile/instructions_test.cc)
