#include "ledger/database.h"

#include <unistd.h>

#include <stdexcept>
#include <utility>

#include "velum/dpsgd/ledger/ledger.h"

namespace velum::dpsgd::detail {
namespace {

namespace fs = std::filesystem;

/// A file name as SQLite reads it in a URI.
std::string uri_of(const fs::path& path, std::string_view query) {
  constexpr char kHex[] = "0123456789ABCDEF";
  std::string uri = "file:";
  for (const char c : path.string()) {
    const auto byte = static_cast<unsigned char>(c);
    const bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                       c == '/' || c == '.' || c == '-' || c == '_';
    if (plain) {
      uri += c;
    } else {
      uri += {'%', kHex[byte >> 4], kHex[byte & 15]};
    }
  }
  return uri + "?" + std::string(query);
}

/// True if no writer left anything beside the main file.
bool has_no_log(const fs::path& path) {
  std::error_code error;
  const auto size = fs::file_size(path.string() + "-wal", error);
  return error || size == 0;
}

}  // namespace

Database::Database(const fs::path& path, Access access, std::chrono::milliseconds patience)
    : path_(fs::absolute(path)), patience_(patience), process_(::getpid()) {
  std::error_code error;
  if (access != Access::kCreate && !fs::exists(path_, error)) {
    throw LedgerError("there is no ledger at " + path_.string());
  }
  try {
    open(path_.string(), access == Access::kReadOnly ? SQLITE_OPEN_READONLY
                         : access == Access::kReadWrite
                             ? SQLITE_OPEN_READWRITE
                             : SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE);
    if (access == Access::kReadOnly) {
      // A log needs a file beside it even to be read; where none can be made, and no log is there,
      // nobody writes.
      char* message = nullptr;
      const int code =
          sqlite3_exec(handle_, "SELECT 1 FROM sqlite_schema", nullptr, nullptr, &message);
      sqlite3_free(message);
      if (((code & 0xff) == SQLITE_CANTOPEN || (code & 0xff) == SQLITE_READONLY) &&
          has_no_log(path_)) {
        sqlite3_close_v2(std::exchange(handle_, nullptr));
        open(uri_of(path_, "mode=ro&immutable=1"), SQLITE_OPEN_READONLY | SQLITE_OPEN_URI);
      }
    }
    execute("PRAGMA foreign_keys = ON");
    execute("PRAGMA synchronous = FULL");
    execute("PRAGMA trusted_schema = OFF");
    sqlite3_db_config(handle_, SQLITE_DBCONFIG_DEFENSIVE, 1, nullptr);
  } catch (...) {
    sqlite3_close_v2(handle_);
    throw;
  }
}

Database::~Database() {
  // In a forked child the locks are the parent's: closing would drop them.
  if (::getpid() == process_) sqlite3_close_v2(handle_);
}

void Database::open(const std::string& name, int flags) {
  const int code = sqlite3_open_v2(name.c_str(), &handle_, flags | SQLITE_OPEN_NOMUTEX, nullptr);
  if (code != SQLITE_OK) fail(code);
  sqlite3_extended_result_codes(handle_, 1);
  sqlite3_busy_timeout(handle_, static_cast<int>(patience_.count()));
}

void Database::check_process() const {
  if (::getpid() != process_) {
    throw std::logic_error("Ledger: it was opened before fork(); open it again in this process");
  }
}

void Database::check_in_place() const {
  int moved = 0;
  const int code = sqlite3_file_control(handle_, "main", SQLITE_FCNTL_HAS_MOVED, &moved);
  if (code != SQLITE_OK) fail(code);
  if (moved != 0) {
    throw LedgerError("the ledger " + path_.string() +
                      " was moved, removed or replaced while it was open; open it again");
  }
}

void Database::fail(int code) const {
  const std::string where = path_.string();
  const std::string detail = handle_ != nullptr ? sqlite3_errmsg(handle_) : sqlite3_errstr(code);
  switch (code & 0xff) {
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      throw LedgerError("other processes kept the ledger " + where + " busy for " +
                        std::to_string(patience_.count()) + " ms");
    case SQLITE_NOTADB:
      throw LedgerDamaged(where + " is not a ledger");
    case SQLITE_CORRUPT:
    case SQLITE_ERROR:  // a statement of ours does not fit the tables
      throw LedgerDamaged("the ledger " + where + " is damaged: " + detail);
    case SQLITE_READONLY:
      throw LedgerError("the ledger " + where + " cannot be written: " + detail);
    case SQLITE_FULL:
      throw LedgerError("the ledger " + where + " cannot grow: " + detail);
    case SQLITE_CANTOPEN:
      throw LedgerError("the ledger " + where + " cannot be opened: " + detail);
    default:
      throw LedgerError("the ledger " + where + ": " + detail + " (" + sqlite3_errstr(code) + ")");
  }
}

void Database::execute(const char* sql) const {
  check_process();
  char* message = nullptr;
  const int code = sqlite3_exec(handle_, sql, nullptr, nullptr, &message);
  sqlite3_free(message);
  if (code != SQLITE_OK) fail(code);
}

std::int64_t Database::integer(const char* sql) const {
  Statement statement(*this, sql);
  return statement.step() ? statement.integer(0) : 0;
}

std::string Database::text(const char* sql) const {
  Statement statement(*this, sql);
  return statement.step() ? statement.text(0) : std::string();
}

Statement::Statement(const Database& database, std::string_view sql) : database_(database) {
  database.check_process();
  check(sqlite3_prepare_v2(database.handle(), sql.data(), static_cast<int>(sql.size()), &handle_,
                           nullptr));
}

Statement::~Statement() { sqlite3_finalize(handle_); }

void Statement::check(int code) const {
  if (code != SQLITE_OK) database_.fail(code);
}

Statement& Statement::bind(std::int64_t value) {
  check(sqlite3_bind_int64(handle_, ++bound_, value));
  return *this;
}

Statement& Statement::bind(double value) {
  check(sqlite3_bind_double(handle_, ++bound_, value));
  return *this;
}

Statement& Statement::bind(std::string_view value) {
  // Never null, which a null pointer would bind.
  const char* data = value.empty() ? "" : value.data();
  check(sqlite3_bind_text64(handle_, ++bound_, data, value.size(), SQLITE_TRANSIENT, SQLITE_UTF8));
  return *this;
}

Statement& Statement::bind(const std::optional<std::string>& value) {
  if (value) return bind(std::string_view(*value));
  check(sqlite3_bind_null(handle_, ++bound_));
  return *this;
}

Statement& Statement::bind(std::span<const std::uint8_t> value) {
  check(sqlite3_bind_blob64(handle_, ++bound_, value.data(), value.size(), SQLITE_TRANSIENT));
  return *this;
}

bool Statement::step() {
  const int code = sqlite3_step(handle_);
  if (code == SQLITE_ROW) return true;
  if (code != SQLITE_DONE) database_.fail(code);
  return false;
}

void Statement::run() {
  while (step()) {
  }
}

void Statement::reset() {
  sqlite3_reset(handle_);
  bound_ = 0;
}

std::int64_t Statement::integer(int column) const { return sqlite3_column_int64(handle_, column); }

double Statement::real(int column) const { return sqlite3_column_double(handle_, column); }

std::string Statement::text(int column) const {
  const auto* data = reinterpret_cast<const char*>(sqlite3_column_text(handle_, column));
  if (data == nullptr) return {};
  return {data, static_cast<std::size_t>(sqlite3_column_bytes(handle_, column))};
}

std::optional<std::string> Statement::optional_text(int column) const {
  if (sqlite3_column_type(handle_, column) == SQLITE_NULL) return std::nullopt;
  return text(column);
}

std::span<const std::uint8_t> Statement::blob(int column) const {
  const auto* data = static_cast<const std::uint8_t*>(sqlite3_column_blob(handle_, column));
  if (data == nullptr) return {};
  return {data, static_cast<std::size_t>(sqlite3_column_bytes(handle_, column))};
}

Transaction::Transaction(const Database& database, Kind kind) : database_(database) {
  database.execute(kind == Kind::kWrite ? "BEGIN IMMEDIATE" : "BEGIN DEFERRED");
  try {
    database.check_in_place();
  } catch (...) {
    sqlite3_exec(database.handle(), "ROLLBACK", nullptr, nullptr, nullptr);
    throw;
  }
}

Transaction::~Transaction() {
  // After some failures SQLite has rolled back already.
  if (open_ && sqlite3_get_autocommit(database_.handle()) == 0) {
    sqlite3_exec(database_.handle(), "ROLLBACK", nullptr, nullptr, nullptr);
  }
}

void Transaction::commit() {
  database_.execute("COMMIT");
  open_ = false;
}

}  // namespace velum::dpsgd::detail
