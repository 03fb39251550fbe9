# From instructions to graphs, and the front door.
set(frontend_lower_sources
  parallel.cc
  dockerfile/archive_time.cc dockerfile/build_platforms.cc dockerfile/contexts_main.cc dockerfile/contexts_named.cc
  dockerfile/forward.cc dockerfile/frontend.cc dockerfile/image_path.cc dockerfile/places.cc dockerfile/request.cc
  dockerfile/request_values.cc dockerfile/resolve_cache.cc sbom_scanner.cc
  dockerfile/lower/add.cc dockerfile/lower/arg.cc dockerfile/lower/bases.cc dockerfile/lower/checks.cc
  dockerfile/lower/cmd.cc dockerfile/lower/copy.cc dockerfile/lower/copy_files.cc dockerfile/lower/entrypoint.cc
  dockerfile/lower/env.cc dockerfile/lower/epoch.cc dockerfile/lower/expose.cc dockerfile/lower/file_mode.cc
  dockerfile/lower/global_args.cc dockerfile/lower/healthcheck.cc dockerfile/lower/label.cc
  dockerfile/lower/lowering.cc dockerfile/lower/maintainer.cc dockerfile/lower/naming.cc dockerfile/lower/onbuild.cc
  dockerfile/lower/paths.cc dockerfile/lower/remote_add.cc dockerfile/lower/run.cc dockerfile/lower/run_mounts.cc
  dockerfile/lower/shell.cc dockerfile/lower/stages.cc dockerfile/lower/steps.cc dockerfile/lower/stop_signal.cc
  dockerfile/lower/user.cc dockerfile/lower/volume.cc dockerfile/lower/words.cc dockerfile/lower/workdir.cc
  dockerfile/check/findings.cc dockerfile/check/fix.cc dockerfile/check/fix_words.cc
  dockerfile/plan/plan.cc dockerfile/plan/plan_build.cc
  dockerfile/subrequests/answer.cc dockerfile/subrequests/convert_llb.cc dockerfile/subrequests/json.cc
  dockerfile/subrequests/lint_report.cc dockerfile/subrequests/outline.cc dockerfile/subrequests/table.cc
  dockerfile/subrequests/targets.cc)
set(frontend_lower_external PkgConfig::archive)
set(frontend_lower_tests dockerfile/lower_golden_test.cc)
