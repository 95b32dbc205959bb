// A logistic regression that answers on images which it never sees: pullover or not?
//
// The model's owner trains in the clear on Fashion-MNIST, on features that are means of 4 x 4
// pixels. Whoever has images encrypts their features; the model computes scores and probabilities
// on the ciphertexts; only the key's holder reads them.

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <memory>
#include <vector>

#include "velum/dpsgd/data/fashion_mnist.h"
#include "velum/he/ckks/encoder.h"
#include "velum/he/ckks/evaluator.h"
#include "velum/he/ckks/polynomial.h"
#include "velum/he/decryptor.h"
#include "velum/he/encryptor.h"
#include "velum/he/key_generator.h"

namespace {

constexpr std::int64_t kBlock = 4, kSide = 28 / kBlock;
/// 49 means and zeros: a power of two, so that a sum over an image's slots is a few rotations.
constexpr std::int64_t kFeatures = 64;
constexpr int kPullover = 2, kTrousers = 1;
/// The model's scores are held to this magnitude; the sigmoid is approximated on it.
constexpr double kScoreBound = 8.0;

double sigmoid(double x) { return 1.0 / (1.0 + std::exp(-x)); }

/// Features in [0, 1] and labels of the images of two classes, at most `most` of them.
struct Examples {
  std::vector<double> features;  // [count, kFeatures]
  std::vector<double> labels;    // [count]
  std::int64_t count() const { return static_cast<std::int64_t>(labels.size()); }
};

Examples examples_of(const velum::dpsgd::LabelledImages& images, std::int64_t most) {
  Examples out;
  for (std::int64_t i = 0; i < images.count && out.count() < most; ++i) {
    const int label = images.labels[static_cast<std::size_t>(i)];
    if (label != kPullover && label != kTrousers) continue;
    std::vector<double> features(kFeatures);
    for (std::int64_t row = 0; row < 28; ++row) {
      for (std::int64_t col = 0; col < 28; ++col) {
        features[static_cast<std::size_t>(row / kBlock * kSide + col / kBlock)] +=
            images.images[static_cast<std::size_t>((i * 28 + row) * 28 + col)] /
            (255.0 * kBlock * kBlock);
      }
    }
    out.features.insert(out.features.end(), features.begin(), features.end());
    out.labels.push_back(label == kPullover ? 1.0 : 0.0);
  }
  return out;
}

struct Model {
  std::vector<double> weights = std::vector<double>(kFeatures);
  double bias = 0.0;
  double score(const double* features) const {
    double sum = bias;
    for (std::int64_t k = 0; k < kFeatures; ++k)
      sum += weights[static_cast<std::size_t>(k)] * features[k];
    return sum;
  }
};

/// Plain gradient descent with weight decay, so that scores stay small.
Model train(const Examples& data) {
  Model model;
  for (int step = 0; step < 300; ++step) {
    std::vector<double> gradient(kFeatures);
    double bias_gradient = 0.0;
    for (std::int64_t i = 0; i < data.count(); ++i) {
      const double* const x = data.features.data() + i * kFeatures;
      const double error = sigmoid(model.score(x)) - data.labels[static_cast<std::size_t>(i)];
      for (std::int64_t k = 0; k < kFeatures; ++k)
        gradient[static_cast<std::size_t>(k)] += error * x[k];
      bias_gradient += error;
    }
    const auto n = static_cast<double>(data.count());
    for (std::int64_t k = 0; k < kFeatures; ++k) {
      double& weight = model.weights[static_cast<std::size_t>(k)];
      weight -= 0.5 * (gradient[static_cast<std::size_t>(k)] / n + 0.02 * weight);
    }
    model.bias -= 0.5 * bias_gradient / n;
  }
  return model;
}

}  // namespace

int main() {
  using namespace velum::he;
  const Stream stream = Stream::cpu(2);
  const velum::dpsgd::FashionMnist data =
      velum::dpsgd::load_fashion_mnist(velum::dpsgd::find_fashion_mnist());
  const Model model = train(examples_of(data.train, 2000));

  // Product, sigmoid of degree 15 on [-8, 8]: 1 + 5 levels.
  const Polynomial probability = Polynomial::chebyshev(sigmoid, kScoreBound, 15);
  const auto context =
      Context::create(Parameters::for_depth(1 + polynomial_depth(probability), 20), stream);
  const Parameters& parameters = context->parameters();
  std::printf("%s\n", parameters.to_string().c_str());
  const std::int64_t images = parameters.max_slots() / kFeatures;  // of one ciphertext
  const Examples test = examples_of(data.test, images);

  // Whoever has the images.
  KeyGenerator generator(context);
  const auto secret = std::make_shared<const SecretKey>(generator.secret_key(stream));
  const auto public_key = std::make_shared<const PublicKey>(generator.public_key(*secret, stream));
  const RelinearizationKey relinearization = generator.relinearization_key(*secret, stream);
  const GaloisKeys rotations = generator.galois_keys(*secret, {1, 2, 4, 8, 16, 32}, false, stream);
  const Encoder encoder(context);
  const Ciphertext features =
      Encryptor(public_key)
          .encrypt(encoder.encode(Span<const double>(test.features), stream), stream);

  // Whoever has the model: weights beside every image, one product, six rotations; slot 64 i is the
  // score of image i.
  const Evaluator evaluator(context);
  double largest_weight = 0.0;
  for (const double weight : model.weights)
    largest_weight = std::max(largest_weight, std::abs(weight));
  std::vector<double> weights;
  for (std::int64_t i = 0; i < images; ++i)
    weights.insert(weights.end(), model.weights.begin(), model.weights.end());
  const Plaintext encoded_weights = encoder.encode(
      Span<const double>(weights), stream,
      {.scale = parameters.level_modulus(features.level()), .message_bound = largest_weight});
  const Ciphertext products =
      evaluator.rescale(evaluator.multiply_plain(features, encoded_weights, stream), stream);
  Ciphertext scores = evaluator.add_constant(
      evaluator.sum_slots(products, kFeatures, rotations, stream), model.bias, stream);
  // By its slots alone the sum could be 64 times the largest product; that this model's scores stay
  // within 8 is what its owner knows and declares.
  scores.declare_message_bound(kScoreBound);
  const Ciphertext answers = evaluate(evaluator, scores, probability, relinearization, stream);

  // Whoever has the images reads the answers.
  std::vector<double> decoded(static_cast<std::size_t>(parameters.max_slots()));
  encoder.decode(Decryptor(secret).decrypt_for_owner(answers, stream), Span<double>(decoded),
                 stream);
  double largest = 0.0;
  int right = 0;
  for (std::int64_t i = 0; i < test.count(); ++i) {
    const double expected = probability(model.score(test.features.data() + i * kFeatures));
    const double answer = decoded[static_cast<std::size_t>(i * kFeatures)];
    largest = std::max(largest, std::abs(answer - expected));
    right += (answer > 0.5) == (test.labels[static_cast<std::size_t>(i)] > 0.5) ? 1 : 0;
  }
  const double accuracy = 100.0 * right / static_cast<double>(test.count());
  std::printf(
      "%lld encrypted images: %.1f %% right; largest difference from the model in the clear "
      "2^%.1f\n",
      static_cast<long long>(test.count()), accuracy, std::log2(largest));
  return largest < 0x1p-12 && accuracy > 90.0 ? 0 : 1;
}
