#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <algorithm>
#include <cstdint>
#include <memory>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "bindings.h"
#include "he_objects.h"
#include "key_of_call.h"
#include "velum/dpsgd/features/preconditioner.h"
#include "velum/dpsgd/features/private_moments.h"
#include "velum/dpsgd/features/scattering.h"
#include "velum/kernels/random/random_stream.h"

namespace py = pybind11;

namespace velum::python {
namespace {

using namespace dpsgd;  // NOLINT(google-build-using-namespace): this file is about its names
using kernels::MatrixView;
using kernels::Span;
template <typename T>
using Array = py::array_t<T, py::array::c_style | py::array::forcecast>;

template <typename T>
MatrixView<const T> view_of(const char* function, const char* name, const Array<T>& array) {
  if (array.ndim() != 2) {
    throw std::invalid_argument(std::string(function) + ": " + name + " has " +
                                std::to_string(array.ndim()) + " dimensions, expected 2");
  }
  return {array.data(), array.shape(0), array.shape(1)};
}

MatrixView<float> view_of(py::array_t<float>& array) {
  return {array.mutable_data(), array.shape(0), array.shape(1)};
}

template <typename T>
std::vector<T> vector_of(const Array<T>& array) {
  return {array.data(), array.data() + array.size()};
}

template <typename T>
py::array_t<T> square(const std::vector<T>& values, std::int64_t side) {
  return py::array_t<T>({side, side}, values.data());
}

constexpr kernels::RandomPosition kPosition{.purpose = kernels::Purpose::kPrivateMean};

template <typename T>
py::array_t<float> scattered(const ScatteringTransform& transform, const Array<T>& images,
                             int threads) {
  const MatrixView<const T> rows = view_of("ScatteringTransform", "images", images);
  py::array_t<float> out({rows.rows, transform.output_size()});
  const MatrixView<float> view = view_of(out);
  const kernels::Stream stream = stream_of(threads, "cpu");
  const py::gil_scoped_release no_gil;
  transform.transform(rows, view, stream);
  return out;
}

void bind_scattering(py::module_& module) {
  py::class_<ScatteringTransform>(
      module, "ScatteringTransform",
      "The wavelet scattering transform of grey images, orders 0, 1 and 2 (arXiv 1203.1513). A\n"
      "fixed map of each image: no weight is learnt from data, so it costs no privacy. Filters "
      "and\n"
      "layout are those of kymatio 0.3.")
      .def(py::init([](std::int64_t height, std::int64_t width, int scales, int orientations) {
             return ScatteringTransform({height, width, scales, orientations});
           }),
           py::arg("height") = 28, py::arg("width") = 28, py::arg("scales") = 2,
           py::arg("orientations") = 8,
           "Args:\n"
           "    height, width: of the images, 2**scales to 4096.\n"
           "    scales: J, 1 to 8: the output is averaged over windows of 2**J pixels.\n"
           "    orientations: L, 1 to 64: wavelets per scale.\n\n"
           "Raises:\n"
           "    ValueError: if a value is out of range.")
      .def_property_readonly("channels", &ScatteringTransform::channels)
      .def_property_readonly(
          "positions",
          [](const ScatteringTransform& transform) {
            return transform.output_height() * transform.output_width();
          },
          "Of a channel: height / 2**J times width / 2**J, rounded down each.")
      .def_property_readonly("image_size", &ScatteringTransform::image_size, "height * width.")
      .def_property_readonly("output_size", &ScatteringTransform::output_size,
                             "channels * positions.")
      .def("transform_bytes", &scattered<std::uint8_t>, py::arg("images"), py::arg("threads"))
      .def("transform_floats", &scattered<float>, py::arg("images"), py::arg("threads"));
}

void bind_maps(py::module_& module) {
  module.def(
      "sqrt_to_unit_rows",
      [](const Array<float>& rows, int threads) {
        const MatrixView<const float> from = view_of("sqrt_to_unit_rows", "rows", rows);
        py::array_t<float> out({from.rows, from.cols}, rows.data());
        const MatrixView<float> view = view_of(out);
        const kernels::Stream stream = stream_of(threads, "cpu");
        const py::gil_scoped_release no_gil;
        sqrt_to_unit_rows(view, stream);
        return out;
      },
      py::arg("rows"), py::arg("threads"));
  py::class_<Preconditioner>(module, "Preconditioner",
                             "A linear map of features that are matrices [channels, positions]:\n"
                             "Y -> channel Y spatial, which evens out their scales.")
      .def_property_readonly(
          "channel", [](const Preconditioner& map) { return square(map.channel, map.channels); },
          "[channels, channels] float32.")
      .def_property_readonly(
          "spatial", [](const Preconditioner& map) { return square(map.spatial, map.positions); },
          "[positions, positions] float32.");
  module.def(
      "random_shapes_preconditioner",
      [](const ScatteringTransform& transform, double channel_power, double spatial_power,
         double floor, int threads) {
        const kernels::Stream stream = stream_of(threads, "cpu");
        const py::gil_scoped_release no_gil;
        return random_shapes_preconditioner(transform, {channel_power, spatial_power, floor},
                                            stream);
      },
      py::arg("transform"), py::arg("channel_power"), py::arg("spatial_power"), py::arg("floor"),
      py::arg("threads"));
  module.def(
      "make_preconditioner",
      [](const Array<double>& channel, const Array<double>& spatial, double channel_power,
         double spatial_power, double floor) {
        const SecondMoments moments{
            .channels = view_of("make_preconditioner", "channel", channel).rows,
            .positions = view_of("make_preconditioner", "spatial", spatial).rows,
            .channel = vector_of(channel),
            .spatial = vector_of(spatial)};
        const py::gil_scoped_release no_gil;
        return make_preconditioner(moments, {channel_power, spatial_power, floor});
      },
      py::arg("channel"), py::arg("spatial"), py::arg("channel_power"), py::arg("spatial_power"),
      py::arg("floor"));
  module.def(
      "precondition_rows",
      [](const Array<float>& rows, const Array<float>& mean, const Preconditioner& map, float bias,
         int threads) {
        const MatrixView<const float> from = view_of("precondition_rows", "rows", rows);
        py::array_t<float> out({from.rows, from.cols + 1});
        for (std::int64_t i = 0; i < from.rows; ++i) {
          std::copy(from.data + i * from.cols, from.data + (i + 1) * from.cols,
                    out.mutable_data() + i * (from.cols + 1));
        }
        const MatrixView<float> view = view_of(out);
        const Span<const float> centre(mean.data(), mean.size());
        const kernels::Stream stream = stream_of(threads, "cpu");
        const py::gil_scoped_release no_gil;
        precondition_rows(view, centre, map, bias, stream);
        return out;
      },
      py::arg("rows"), py::arg("mean"), py::arg("preconditioner"), py::arg("bias"),
      py::arg("threads"));
}

void bind_moments(py::module_& module) {
  module.def(
      "private_mean",
      [](const Array<float>& rows, double clipping_norm, double noise_multiplier,
         std::int64_t public_count, int threads) {
        const MatrixView<const float> view = view_of("private_mean", "rows", rows);
        py::array_t<float> mean(view.cols);
        const Span<float> out(mean.mutable_data(), view.cols);
        const kernels::Stream stream = stream_of(threads, "cpu");
        const KeyOfCall key("private_mean", std::nullopt);
        const py::gil_scoped_release no_gil;
        private_mean(view, clipping_norm, noise_multiplier, public_count, key.value, kPosition, out,
                     stream);
        return mean;
      },
      py::arg("rows"), py::arg("clipping_norm"), py::arg("noise_multiplier"),
      py::arg("public_count"), py::arg("threads"));
  module.def(
      "private_second_moments",
      [](const Array<float>& rows, const Array<float>& mean, std::int64_t channels,
         std::int64_t positions, double clipping_norm, double channel_noise_multiplier,
         double spatial_noise_multiplier, int threads) {
        const MatrixView<const float> view = view_of("private_second_moments", "rows", rows);
        if (channels < 1 || positions < 1 || channels > view.cols || positions > view.cols) {
          throw std::invalid_argument(
              "private_second_moments: channels = " + std::to_string(channels) +
              " and positions = " + std::to_string(positions) +
              ", expected both >= 1 with the product rows.shape[1] = " + std::to_string(view.cols));
        }
        const Span<const float> centre(mean.data(), mean.size());
        const kernels::Stream stream = stream_of(threads, "cpu");
        const KeyOfCall key("private_second_moments", std::nullopt);
        SecondMoments moments;
        {
          const py::gil_scoped_release no_gil;
          moments = private_second_moments(
              view, centre, channels, positions,
              {clipping_norm, channel_noise_multiplier, spatial_noise_multiplier}, key.value,
              kPosition, stream);
        }
        return std::pair(square(moments.channel, channels), square(moments.spatial, positions));
      },
      py::arg("rows"), py::arg("mean"), py::arg("channels"), py::arg("positions"),
      py::arg("clipping_norm"), py::arg("channel_noise_multiplier"),
      py::arg("spatial_noise_multiplier"), py::arg("threads"));
}

}  // namespace

void bind_features(py::module_& module) {
  py::module_ features = module.def_submodule("features", "Documented in velum.features.");
  bind_scattering(features);
  bind_maps(features);
  bind_moments(features);
}

}  // namespace velum::python
