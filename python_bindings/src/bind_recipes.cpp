#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>
#include <pybind11/stl/filesystem.h>

#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "bindings.h"
#include "velum/dpsgd/training/image_data.h"
#include "velum/dpsgd/training/training_plan.h"

namespace py = pybind11;

namespace velum::python {
namespace {

using namespace dpsgd;  // NOLINT(google-build-using-namespace): this file is about its names

/// An array that owns the values; they are not copied.
py::array to_array(std::vector<std::uint8_t>&& values, const std::vector<py::ssize_t>& shape) {
  auto kept = std::make_unique<std::vector<std::uint8_t>>(std::move(values));
  const std::uint8_t* const data = kept->data();
  const py::capsule owner(kept.get(),
                          [](void* held) { delete static_cast<std::vector<std::uint8_t>*>(held); });
  static_cast<void>(kept.release());
  return py::array_t<std::uint8_t>(shape, data, owner);
}

py::tuple to_arrays(LabelledImages&& images) {
  return py::make_tuple(
      to_array(std::move(images.images), {images.count, images.height, images.width}),
      to_array(std::move(images.labels), {images.count}));
}

void bind_plan(py::module_& recipes) {
  py::class_<TrainingPlan>(recipes, "TrainingPlan",
                           "A training with nothing left open; see velum.recipes.plan_training.")
      .def_property_readonly(
          "model", [](const TrainingPlan& plan) { return std::string(to_string(plan.model)); })
      .def_readonly("dataset_size", &TrainingPlan::dataset_size)
      .def_readonly("epsilon", &TrainingPlan::epsilon, "Of the whole plan, at `delta`.")
      .def_readonly("delta", &TrainingPlan::delta)
      .def_property_readonly(
          "preparation",
          [](const TrainingPlan& plan) {
            std::vector<std::pair<std::string, double>> releases;
            for (const PreparatoryRelease& release : plan.preparation) {
              releases.emplace_back(release.label, release.noise_multiplier);
            }
            return releases;
          },
          "Gaussian releases before the training: label and noise multiplier of each.")
      .def_readonly("noise_multiplier", &TrainingPlan::noise_multiplier, "Of a step.")
      .def_readonly("sampling_rate", &TrainingPlan::sampling_rate)
      .def_readonly("steps", &TrainingPlan::steps)
      .def_readonly("steps_per_epoch", &TrainingPlan::steps_per_epoch)
      .def_readonly("clipping", &TrainingPlan::clipping, "A `velum.Clipping`.")
      .def_readonly("learning_rate", &TrainingPlan::learning_rate)
      .def_readonly("momentum", &TrainingPlan::momentum)
      .def_readonly("physical_batch_size", &TrainingPlan::physical_batch_size,
                    "Most samples that are computed at once.")
      .def_readonly("views", &TrainingPlan::views,
                    "Of each image (`velum.ImageViews`); 0: the image itself.")
      .def_readonly("average_decay", &TrainingPlan::average_decay,
                    "Of `velum.WeightAverage`; 0: the last weights.")
      .def_readonly("centre_pixels", &TrainingPlan::centre_pixels,
                    "Whether pixels are in [-1, 1] instead of [0, 1].")
      .def_property_readonly("planned_releases", &TrainingPlan::planned_releases,
                             "All of them, if nothing goes wrong: a Composition.")
      .def("to_json", &TrainingPlan::to_json, "JSON object.")
      .def("__repr__", [](const TrainingPlan& plan) {
        return "<" + std::string(to_string(plan.model)) + ", " + std::to_string(plan.steps) +
               " steps, epsilon " + std::to_string(plan.epsilon) + ">";
      });
}

}  // namespace

void bind_recipes(py::module_& module) {
  py::module_ recipes = module.def_submodule("recipes", "Documented in velum.recipes.");
  py::register_exception<DataError>(recipes, "DataError", PyExc_RuntimeError).doc() =
      "A data file is missing, damaged, or not what its name promises; the text says what to do.";
  bind_plan(recipes);
  recipes.def(
      "plan_training",
      [](const std::string& model, std::int64_t dataset_size, std::optional<double> epsilon,
         std::optional<double> noise_multiplier, double delta, std::optional<double> epochs,
         std::optional<std::int64_t> steps, std::optional<double> sampling_rate,
         std::optional<std::int64_t> batch_size, std::optional<double> clipping_norm,
         std::optional<double> learning_rate, std::optional<double> momentum,
         std::optional<std::int64_t> views, std::optional<double> average_decay,
         std::optional<bool> centre_pixels) {
        TrainingOptions options;
        options.model = model_kind_from_string(model);
        options.epsilon = epsilon;
        options.noise_multiplier = noise_multiplier;
        options.delta = delta;
        options.epochs = epochs;
        options.steps = steps;
        options.sampling_rate = sampling_rate;
        options.batch_size = batch_size;
        options.clipping_norm = clipping_norm;
        options.learning_rate = learning_rate;
        options.momentum = momentum;
        options.views = views;
        options.average_decay = average_decay;
        options.centre_pixels = centre_pixels;
        return make_training_plan(options, dataset_size);
      },
      py::arg("model"), py::arg("dataset_size"), py::arg("epsilon"), py::arg("noise_multiplier"),
      py::arg("delta"), py::arg("epochs"), py::arg("steps"), py::arg("sampling_rate"),
      py::arg("batch_size"), py::arg("clipping_norm"), py::arg("learning_rate"),
      py::arg("momentum"), py::arg("views"), py::arg("average_decay"), py::arg("centre_pixels"),
      py::call_guard<py::gil_scoped_release>());
  recipes.def(
      "load_images",
      [](const std::string& dataset, const std::filesystem::path& directory) {
        ImageData images = [&] {
          const py::gil_scoped_release no_gil;
          return load_image_data(dataset, directory);
        }();
        return py::make_tuple(to_arrays(std::move(images.train)),
                              to_arrays(std::move(images.test)));
      },
      py::arg("dataset"), py::arg("directory"));
}

}  // namespace velum::python
