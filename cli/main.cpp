#include <CLI/CLI.hpp>
#include <cstdio>
#include <exception>

#include "account_command.h"
#include "audit_command.h"
#include "calibrate_command.h"
#include "explain_command.h"
#include "federate_command.h"
#include "ledger_command.h"
#include "train_command.h"
#include "velum/dpsgd/accounting/privacy_statement.h"
#include "velum/dpsgd/accounting/release_guard.h"

namespace {

constexpr int kFailed = 1;
constexpr int kBadUsage = 2;
constexpr int kRefusedByBudget = 3;

}  // namespace

int main(int argc, char** argv) {
  CLI::App program("Private machine learning: models from data that nobody may see.", "velum");
  program.set_version_flag("--version", "velum " + velum::dpsgd::velum_version());
  program.require_subcommand(1);
  program.get_formatter()->column_width(34);
  int exit_code = 0;
  velum::cli::add_train_command(program, &exit_code);
  velum::cli::add_account_command(program, &exit_code);
  velum::cli::add_calibrate_command(program, &exit_code);
  velum::cli::add_explain_command(program, &exit_code);
  velum::cli::add_ledger_command(program, &exit_code);
  velum::cli::add_audit_command(program, &exit_code);
  velum::cli::add_federate_command(program, &exit_code);
  try {
    program.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return program.exit(error) == 0 ? 0 : kBadUsage;
  } catch (const std::invalid_argument& error) {
    std::fprintf(stderr, "velum: %s\n", error.what());
    return kBadUsage;
  } catch (const velum::dpsgd::BudgetExceeded& error) {
    std::fprintf(stderr, "velum: %s\n", error.what());
    return kRefusedByBudget;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "velum: %s\n", error.what());
    return kFailed;
  }
  return exit_code;
}
