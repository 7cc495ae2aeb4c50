// Programs that consist of commands, such as `bev_data verify DIR`: a table, help made of it, and one way of saying
// what was wrong.
#pragma once

#include <fmt/core.h>

#include <cxxopts.hpp>
#include <span>
#include <string>
#include <string_view>

#include "tools/common/exit_status.h"

namespace bev {

struct Command {
  const char* name;
  const char* positional;  // what its one argument without a name is called; null: it has none
  const char* summary;
  void (*options)(cxxopts::OptionAdder&);
  void (*run)(const cxxopts::ParseResult&);  // throws Error: its kind is the exit status
};

inline std::string usage_of(const char* program, std::span<const Command> commands) {
  std::string text = fmt::format("usage: {0} COMMAND [options]     ({0} COMMAND --help for its options)\n", program);
  for (const Command& command : commands) text += fmt::format("  {:<10} {}\n", command.name, command.summary);
  return text;
}

/// argv[0] is the command's name. Throws Error(usage) if the arguments are not what it takes.
inline void run_command(const char* program, const Command& command, int argc, char** argv) {
  cxxopts::Options options(fmt::format("{} {}", program, command.name), command.summary);
  auto add = options.add_options();
  add("h,help", "this text");
  command.options(add);
  if (command.positional) {
    add("positional", command.positional, cxxopts::value<std::string>());
    options.parse_positional("positional");
    options.positional_help(command.positional);
  }
  const cxxopts::ParseResult arguments = [&] {
    try {
      return options.parse(argc, argv);
    } catch (const std::exception& error) {  // the library's own type has had several names
      fail(ErrorKind::usage, "{}: {}", command.name, error.what());
    }
  }();
  if (arguments.count("help") > 0) {
    fmt::print("{}", options.help());
    return;
  }
  if (!arguments.unmatched().empty()) {
    fail(ErrorKind::usage, "{}: \"{}\" is one argument too many", command.name, arguments.unmatched()[0]);
  }
  command.run(arguments);
}

/// A program's main: the exit status.
inline int run_commands(const char* program, std::span<const Command> commands, int argc, char** argv) {
  return exit_status_of(program, [&] {
    const std::string_view name = argc > 1 ? argv[1] : "";
    if (name == "-h" || name == "--help") {
      fmt::print("{}", usage_of(program, commands));
      return 0;
    }
    for (const Command& command : commands) {
      if (name != command.name) continue;
      run_command(program, command, argc - 1, argv + 1);
      return 0;
    }
    fmt::print(stderr, "{}", usage_of(program, commands));
    return static_cast<int>(ErrorKind::usage);
  });
}

}  // namespace bev
