#include <pybind11/stl.h>
#include <torch/csrc/utils/pybind.h>

#include <cstdint>
#include <memory>
#include <numeric>
#include <utility>
#include <vector>

#include "bindings.h"
#include "velum/dpsgd/image_views.h"
#include "velum/dpsgd/weight_average.h"
#include "velum/kernels/random/key_source.h"

namespace py = pybind11;

namespace velum::python {
namespace {

using dpsgd::ImageViews;
using dpsgd::WeightAverage;
using NoGil = py::call_guard<py::gil_scoped_release>;

/// Views whose key is their own, and whose steps are counted: no two calls draw the same.
class Views {
 public:
  explicit Views(const ImageViews::Options& options)
      : views_(options, kernels::secure_random_key()) {}

  /// With the GIL, which it releases after it has taken a step for itself.
  at::Tensor operator()(const at::Tensor& images) {
    const std::int64_t step = next_step_++;
    const py::gil_scoped_release released;
    std::vector<std::int64_t> places(
        images.defined() && images.dim() > 0 ? static_cast<std::size_t>(images.size(0)) : 0);
    std::iota(places.begin(), places.end(), 0);
    return views_(images, places, step);
  }
  const ImageViews& views() const { return views_; }
  const ImageViews::Options& options() const { return views_.options(); }

 private:
  ImageViews views_;
  std::int64_t next_step_ = 0;
};

void bind_views(py::module_& module) {
  py::class_<Views>(
      module, "ImageViews",
      "Several random views of each image, shifted and mirrored, whose losses are averaged before "
      "the\nclip: augmentation that costs no privacy, for a sample still has one gradient.\n\n"
      "    engine.make_private(..., views=velum.ImageViews(count=4))    # the loop stays as it "
      "is\n\n"
      "or in a loop of your own, on any batch:\n\n"
      "    views = velum.ImageViews(count=4)\n"
      "    losses = F.cross_entropy(model(views(x)), views.repeat(y), reduction=\"none\")\n"
      "    views.mean(losses).backward()                                # [b]\n\n"
      "Never give the views as losses of their own: a sample in `count` rows would move the sum "
      "by\n"
      "`count` times the clipping norm.\n\n"
      "Paper: Unlocking High-Accuracy Differentially Private Image Classification through Scale\n"
      "(arXiv 2204.13650), section 3, \"augmentation multiplicity\". Every call draws anew, by "
      "ChaCha20\nwith a key of the operating system.\n\n"
      "Args:\n"
      "    count: views of each image, 1 to 1024.\n"
      "    max_shift: each axis moves by -max_shift to max_shift pixels; 0 to 1024.\n"
      "    fill: what moves in at the border.\n"
      "    mirror: left and right change places with probability 1/2.\n\n"
      "Raises:\n"
      "    ValueError: if a number is out of range.")
      .def(py::init([](std::int64_t count, std::int64_t max_shift, double fill, bool mirror) {
             return std::make_unique<Views>(ImageViews::Options{
                 .count = count, .max_shift = max_shift, .fill = fill, .mirror = mirror});
           }),
           py::arg("count") = 4, py::kw_only(), py::arg("max_shift") = 2, py::arg("fill") = 0.0,
           py::arg("mirror") = true)
      .def("__call__", &Views::operator(), py::arg("images"),
           "The views of a batch, those of one image one after another.\n\n"
           "Args:\n"
           "    images: [b, ..., height, width], of any type and device.\n\n"
           "Returns:\n"
           "    [b * count, ..., height, width].\n\n"
           "Raises:\n"
           "    ValueError: if images has less than three dimensions.")
      .def(
          "repeat",
          [](const Views& views, const at::Tensor& targets) {
            return views.views().repeat(targets);
          },
          py::arg("targets"), NoGil(),
          "Targets of the images, [b, ...], as those of the views, [b * count, ...].")
      .def(
          "mean",
          [](const Views& views, const at::Tensor& losses) { return views.views().mean(losses); },
          py::arg("losses"), NoGil(),
          "Losses of the views, [b * count], as losses of the samples, [b]: their means.\n\n"
          "Raises:\n"
          "    ValueError: if losses is no such vector.")
      .def_property_readonly("count", [](const Views& views) { return views.options().count; })
      .def_property_readonly("max_shift",
                             [](const Views& views) { return views.options().max_shift; })
      .def_property_readonly("fill", [](const Views& views) { return views.options().fill; })
      .def_property_readonly("mirror", [](const Views& views) { return views.options().mirror; })
      .def("__repr__", [](const Views& views) {
        const ImageViews::Options& options = views.options();
        return "<" + std::to_string(options.count) + " views of each image, moved by at most " +
               std::to_string(options.max_shift) + (options.mirror ? " and mirrored>" : ">");
      });
}

}  // namespace

void bind_training(py::module_& module) {
  bind_views(module);
  py::class_<WeightAverage>(module, "WeightAverage", "See velum.WeightAverage.")
      .def(py::init<std::vector<at::Tensor>, double>(), py::arg("parameters"), py::arg("decay"))
      .def("update", &WeightAverage::update, NoGil())
      .def("swap", &WeightAverage::swap, NoGil())
      .def_property_readonly("swapped", &WeightAverage::swapped)
      .def_property_readonly("decay", &WeightAverage::decay)
      .def_property_readonly("updates", &WeightAverage::updates)
      .def_property_readonly("values", &WeightAverage::values)
      .def("restore", &WeightAverage::restore, py::arg("values"), py::arg("updates"), NoGil());
}

}  // namespace velum::python
