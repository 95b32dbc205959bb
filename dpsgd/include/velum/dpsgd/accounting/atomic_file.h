#pragma once

#include <filesystem>
#include <string_view>

namespace velum::dpsgd {

/// Writes the file so that a crash at any moment leaves either the old contents or the new ones,
/// whole: a temporary file beside it, fsync, rename, fsync of the folder. The folder must exist.
/// A file that was there keeps its permissions; a new one gets those of the process's umask.
/// @throws std::system_error naming the path; the temporary file is removed.
void write_file_atomically(const std::filesystem::path& path, std::string_view contents);

}  // namespace velum::dpsgd
