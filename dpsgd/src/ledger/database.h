#pragma once

#include <sqlite3.h>

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace velum::dpsgd::detail {

/// A connection to an SQLite file. Errors are `LedgerError`s that name the file.
class Database {
 public:
  enum class Access { kReadOnly, kReadWrite, kCreate };

  Database(const std::filesystem::path& path, Access access, std::chrono::milliseconds patience);
  Database(const Database&) = delete;
  Database& operator=(const Database&) = delete;
  ~Database();

  const std::filesystem::path& path() const { return path_; }
  sqlite3* handle() const { return handle_; }
  /// Refuses to be used in another process than the one that opened it.
  void check_process() const;
  /// Refuses a file that is not at its path any more: what is written to it would be in no ledger.
  void check_in_place() const;

  void execute(const char* sql) const;
  std::int64_t integer(const char* sql) const;
  std::string text(const char* sql) const;

  [[noreturn]] void fail(int code) const;

 private:
  void open(const std::string& name, int flags);

  std::filesystem::path path_;
  std::chrono::milliseconds patience_;
  std::int64_t process_;
  sqlite3* handle_ = nullptr;
};

/// A prepared statement: bind in order, then step.
class Statement {
 public:
  Statement(const Database& database, std::string_view sql);
  Statement(const Statement&) = delete;
  Statement& operator=(const Statement&) = delete;
  ~Statement();

  Statement& bind(std::int64_t value);
  Statement& bind(double value);
  Statement& bind(std::string_view value);
  Statement& bind(const std::optional<std::string>& value);
  Statement& bind(std::span<const std::uint8_t> value);

  /// True if there is a row.
  bool step();
  /// Steps to the end.
  void run();
  void reset();

  std::int64_t integer(int column) const;
  double real(int column) const;
  std::string text(int column) const;
  std::optional<std::string> optional_text(int column) const;
  std::span<const std::uint8_t> blob(int column) const;

 private:
  void check(int code) const;

  const Database& database_;
  sqlite3_stmt* handle_ = nullptr;
  int bound_ = 0;
};

/// Rolled back unless committed.
class Transaction {
 public:
  enum class Kind { kRead, kWrite };
  /// A write transaction takes the lock at once: what it reads stays true until it commits.
  Transaction(const Database& database, Kind kind);
  Transaction(const Transaction&) = delete;
  Transaction& operator=(const Transaction&) = delete;
  ~Transaction();
  void commit();

 private:
  const Database& database_;
  bool open_ = true;
};

}  // namespace velum::dpsgd::detail
