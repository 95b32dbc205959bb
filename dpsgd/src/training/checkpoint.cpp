#include "velum/dpsgd/training/checkpoint.h"

#include <torch/serialize.h>

#include <sstream>
#include <stdexcept>

#include "velum/dpsgd/accounting/atomic_file.h"
#include "velum/dpsgd/training/durable_file.h"

namespace velum::dpsgd {
namespace {

constexpr std::int64_t kFormat = 1;
constexpr const char* kFormatKey = "velum_checkpoint";

std::string to_bytes(torch::serialize::OutputArchive& archive) {
  std::ostringstream bytes;
  archive.save_to(bytes);
  return std::move(bytes).str();
}

/// Runs `read` on the archive in a file and says which file it was if that fails.
template <typename Read>
void read_archive(const std::filesystem::path& path, const Read& read) {
  const std::string bytes = read_file(path);
  try {
    torch::serialize::InputArchive archive;
    archive.load_from(bytes.data(), bytes.size());
    c10::IValue format;
    archive.read(kFormatKey, format);
    if (format.toInt() != kFormat) {
      throw std::runtime_error("format " + std::to_string(format.toInt()) + ", expected 1");
    }
    read(archive);
  } catch (const c10::Error& error) {
    throw std::runtime_error("the checkpoint is damaged: " + path.string() + ": " +
                             error.what_without_backtrace());
  } catch (const std::exception& error) {
    throw std::runtime_error("the checkpoint is damaged: " + path.string() + ": " + error.what());
  }
}

}  // namespace

void save_checkpoint(const std::filesystem::path& path, const Checkpoint& checkpoint,
                     torch::nn::Sequential& model, torch::optim::SGD& optimizer) {
  torch::serialize::OutputArchive archive;
  archive.write(kFormatKey, c10::IValue(kFormat));
  archive.write("step", c10::IValue(checkpoint.step));
  archive.write("releases", c10::IValue(checkpoint.releases));
  archive.write("seconds", c10::IValue(checkpoint.seconds));
  torch::serialize::OutputArchive model_archive(archive.compilation_unit());
  model->save(model_archive);
  archive.write("model", model_archive);
  torch::serialize::OutputArchive optimizer_archive(archive.compilation_unit());
  optimizer.save(optimizer_archive);
  archive.write("optimizer", optimizer_archive);
  archive.write("released_count",
                c10::IValue(static_cast<std::int64_t>(checkpoint.released.size())));
  std::int64_t number = 0;
  for (const auto& [label, value] : checkpoint.released) {
    const std::string key = "released_" + std::to_string(number++);
    archive.write(key + "_label", c10::IValue(label));
    archive.write(key, value, /*is_buffer=*/true);
  }
  if (checkpoint.clipping_norm) {
    archive.write("clipping_norm", c10::IValue(*checkpoint.clipping_norm));
  }
  if (!checkpoint.average.empty()) {
    archive.write("average_count",
                  c10::IValue(static_cast<std::int64_t>(checkpoint.average.size())));
    archive.write("average_updates", c10::IValue(checkpoint.average_updates));
    for (std::size_t i = 0; i < checkpoint.average.size(); ++i) {
      archive.write("average_" + std::to_string(i), checkpoint.average[i], /*is_buffer=*/true);
    }
  }
  write_file_atomically(path, to_bytes(archive));
}

Checkpoint load_checkpoint(const std::filesystem::path& path) {
  Checkpoint checkpoint;
  read_archive(path, [&](torch::serialize::InputArchive& archive) {
    c10::IValue value;
    archive.read("step", value);
    checkpoint.step = value.toInt();
    archive.read("releases", value);
    checkpoint.releases = value.toInt();
    archive.read("seconds", value);
    checkpoint.seconds = value.toDouble();
    archive.read("released_count", value);
    const std::int64_t count = value.toInt();
    for (std::int64_t number = 0; number < count; ++number) {
      const std::string key = "released_" + std::to_string(number);
      at::Tensor tensor;
      archive.read(key + "_label", value);
      archive.read(key, tensor, /*is_buffer=*/true);
      checkpoint.released.emplace(value.toStringRef(), tensor);
    }
    if (archive.try_read("clipping_norm", value)) checkpoint.clipping_norm = value.toDouble();
    if (archive.try_read("average_count", value)) {
      checkpoint.average.resize(static_cast<std::size_t>(value.toInt()));
      archive.read("average_updates", value);
      checkpoint.average_updates = value.toInt();
      for (std::size_t i = 0; i < checkpoint.average.size(); ++i) {
        archive.read("average_" + std::to_string(i), checkpoint.average[i], /*is_buffer=*/true);
      }
    }
    if (checkpoint.step < 0 || checkpoint.releases < checkpoint.step) {
      throw std::runtime_error("fewer releases than steps");
    }
  });
  return checkpoint;
}

void load_checkpoint(const std::filesystem::path& path, torch::nn::Sequential& model,
                     torch::optim::SGD& optimizer) {
  read_archive(path, [&](torch::serialize::InputArchive& archive) {
    torch::serialize::InputArchive part;
    archive.read("model", part);
    model->load(part);
    torch::serialize::InputArchive optimizer_part;
    archive.read("optimizer", optimizer_part);
    optimizer.load(optimizer_part);
  });
}

void save_model(const std::filesystem::path& path, torch::nn::Sequential& model,
                const std::map<std::string, at::Tensor>& constants) {
  torch::serialize::OutputArchive archive;
  model->save(archive);
  for (const auto& [name, value] : constants) archive.write(name, value, /*is_buffer=*/true);
  write_file_atomically(path, to_bytes(archive));
}

}  // namespace velum::dpsgd
