#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

namespace velum::cli {

/// The other end is gone.
class ChannelClosed : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// One end of a stream of messages between two processes of this machine: each eight bytes of
/// length, little-endian, and so many bytes. Move-only.
class MessageChannel {
 public:
  /// @param peer  for the texts of errors: "owner 2".
  MessageChannel(int descriptor, std::string peer)
      : descriptor_(descriptor), peer_(std::move(peer)) {}
  MessageChannel(MessageChannel&& other) noexcept;
  MessageChannel& operator=(MessageChannel&& other) noexcept;
  ~MessageChannel();

  /// @throws ChannelClosed; std::system_error.
  void send(const std::vector<std::uint8_t>& message);
  /// @param largest  more bytes than that are refused before they are read.
  /// @throws ChannelClosed; std::system_error; std::runtime_error if the message is larger.
  std::vector<std::uint8_t> receive(std::uint64_t largest = std::uint64_t{1} << 31);

  std::uint64_t bytes_sent() const { return sent_; }
  std::uint64_t bytes_received() const { return received_; }

 private:
  int descriptor_;
  std::string peer_;
  std::uint64_t sent_ = 0;
  std::uint64_t received_ = 0;
};

/// This program started once more, with a channel to it. It ends with its channel: where that is
/// closed, the next message that the process wants to send or receive is a ChannelClosed.
class ChildProcess {
 public:
  /// The descriptor at which the child finds its end.
  static constexpr int kChildDescriptor = 3;

  /// @param arguments  after the program's name.
  /// @throws std::system_error.
  ChildProcess(const std::vector<std::string>& arguments, const std::string& name);
  ChildProcess(ChildProcess&& other) noexcept;
  ChildProcess& operator=(ChildProcess&&) = delete;
  /// Closes the channel and waits for the process.
  ~ChildProcess();

  MessageChannel& channel() { return *channel_; }
  const MessageChannel& channel() const { return *channel_; }
  /// Waits for its end. @return its exit status, or 128 + the signal that ended it.
  int wait();

 private:
  pid_t process_ = -1;
  std::optional<MessageChannel> channel_;
};

}  // namespace velum::cli
