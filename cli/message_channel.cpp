#include "message_channel.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <system_error>
#include <utility>

extern char** environ;

namespace velum::cli {
namespace {

[[noreturn]] void fail(int error, const std::string& what) {
  throw std::system_error(error, std::generic_category(), what);
}

std::array<std::uint8_t, 8> to_little_endian(std::uint64_t value) {
  std::array<std::uint8_t, 8> bytes{};
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    bytes[i] = static_cast<std::uint8_t>(value >> (8 * i));
  }
  return bytes;
}

void write_all(int descriptor, const std::uint8_t* bytes, std::size_t size,
               const std::string& peer) {
  while (size > 0) {
    // MSG_NOSIGNAL: a peer that is gone is an error here and no SIGPIPE.
    const ssize_t written = ::send(descriptor, bytes, size, MSG_NOSIGNAL);
    if (written < 0 && errno == EINTR) continue;
    if (written < 0 && (errno == EPIPE || errno == ECONNRESET)) {
      throw ChannelClosed(peer + " is gone");
    }
    if (written < 0) fail(errno, "sending to " + peer);
    bytes += written;
    size -= static_cast<std::size_t>(written);
  }
}

void read_all(int descriptor, std::uint8_t* bytes, std::size_t size, const std::string& peer) {
  while (size > 0) {
    const ssize_t got = ::recv(descriptor, bytes, size, 0);
    if (got < 0 && errno == EINTR) continue;
    if (got == 0 || (got < 0 && errno == ECONNRESET)) throw ChannelClosed(peer + " is gone");
    if (got < 0) fail(errno, "receiving from " + peer);
    bytes += got;
    size -= static_cast<std::size_t>(got);
  }
}

}  // namespace

MessageChannel::MessageChannel(MessageChannel&& other) noexcept
    : descriptor_(std::exchange(other.descriptor_, -1)),
      peer_(std::move(other.peer_)),
      sent_(other.sent_),
      received_(other.received_) {}

MessageChannel& MessageChannel::operator=(MessageChannel&& other) noexcept {
  std::swap(descriptor_, other.descriptor_);
  std::swap(peer_, other.peer_);
  std::swap(sent_, other.sent_);
  std::swap(received_, other.received_);
  return *this;
}

MessageChannel::~MessageChannel() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

void MessageChannel::send(const std::vector<std::uint8_t>& message) {
  const auto length = to_little_endian(message.size());
  write_all(descriptor_, length.data(), length.size(), peer_);
  write_all(descriptor_, message.data(), message.size(), peer_);
  sent_ += length.size() + message.size();
}

std::vector<std::uint8_t> MessageChannel::receive(std::uint64_t largest) {
  std::array<std::uint8_t, 8> length{};
  read_all(descriptor_, length.data(), length.size(), peer_);
  std::uint64_t size = 0;
  for (std::size_t i = length.size(); i-- > 0;) size = size << 8 | length[i];
  if (size > largest) {
    throw std::runtime_error(peer_ + " sends a message of " + std::to_string(size) +
                             " bytes, expected at most " + std::to_string(largest));
  }
  std::vector<std::uint8_t> message(static_cast<std::size_t>(size));
  read_all(descriptor_, message.data(), message.size(), peer_);
  received_ += length.size() + message.size();
  return message;
}

ChildProcess::ChildProcess(const std::vector<std::string>& arguments, const std::string& name) {
  std::array<int, 2> ends{};
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends.data()) != 0) {
    fail(errno, "socketpair");
  }
  channel_.emplace(ends[0], name);
  const MessageChannel end_of_child(ends[1], name);  // closed here when the child has it
  std::vector<char*> argv;
  std::string program = "velum";
  argv.push_back(program.data());
  std::vector<std::string> copies = arguments;
  for (std::string& argument : copies) argv.push_back(argument.data());
  argv.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  if (const int error = posix_spawn_file_actions_init(&actions); error != 0) {
    fail(error, "posix_spawn_file_actions_init");
  }
  // A descriptor that is duplicated onto itself would keep its close-on-exec flag in some systems.
  int end = ends[1];
  if (end == kChildDescriptor) end = ::fcntl(ends[1], F_DUPFD_CLOEXEC, kChildDescriptor + 1);
  posix_spawn_file_actions_adddup2(&actions, end, kChildDescriptor);
  const int error =
      ::posix_spawn(&process_, "/proc/self/exe", &actions, nullptr, argv.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  if (end != ends[1]) ::close(end);
  if (error != 0) {
    process_ = -1;
    fail(error, "starting " + name);
  }
}

ChildProcess::ChildProcess(ChildProcess&& other) noexcept
    : process_(std::exchange(other.process_, -1)), channel_(std::move(other.channel_)) {
  other.channel_.reset();
}

ChildProcess::~ChildProcess() {
  channel_.reset();
  if (process_ > 0) wait();
}

int ChildProcess::wait() {
  int status = 0;
  while (::waitpid(process_, &status, 0) < 0 && errno == EINTR) {
  }
  process_ = -1;
  return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

}  // namespace velum::cli
