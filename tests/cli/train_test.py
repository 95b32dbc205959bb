"""`velum train` from outside: files, messages, exit codes, signals. Standard library only."""

import gzip
import json
import os
import pathlib
import pty
import random
import resource
import select
import signal
import struct
import subprocess
import sys
import tempfile
import time
import unittest

VELUM = os.path.abspath(sys.argv.pop(1))
TRAIN_COUNT = 300
TEST_COUNT = 100


def write_idx(path, shape, values):
    header = struct.pack(">HBB", 0, 8, len(shape)) + b"".join(struct.pack(">I", n) for n in shape)
    opened = gzip.open(path, "wb") if path.suffix == ".gz" else open(path, "wb")
    with opened as file:
        file.write(header + bytes(values))


def write_data(directory):
    """Images of ten classes: a bright bar whose place tells the class, and noise."""
    generator = random.Random(1)
    for prefix, count, suffix in (("train", TRAIN_COUNT, ".gz"), ("t10k", TEST_COUNT, "")):
        labels = [i % 10 for i in range(count)]
        pixels = bytearray()
        for label in labels:
            image = bytearray(generator.randrange(60) for _ in range(28 * 28))
            first = 2 * label + 2
            for row in range(4, 24):
                for column in range(first, first + 4):
                    image[28 * row + column] = 255 - generator.randrange(60)
            pixels += image
        write_idx(directory / f"{prefix}-images-idx3-ubyte{suffix}", (count, 28, 28), pixels)
        write_idx(directory / f"{prefix}-labels-idx1-ubyte{suffix}", (count,), labels)


class TrainTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls._folder = tempfile.TemporaryDirectory(prefix="velum-cli-test-")
        cls.root = pathlib.Path(cls._folder.name)
        cls.data = cls.root / "data"
        cls.data.mkdir()
        write_data(cls.data)

    @classmethod
    def tearDownClass(cls):
        cls._folder.cleanup()

    def setUp(self):
        self.out = self.root / self.id().rsplit(".", 1)[1]

    def command(self, *options, out=None, new=True):
        command = [VELUM, "train", *map(str, options), "--cache", str(self.root / "cache")]
        if new:
            command += ["--dataset", "idx", "--data", str(self.data), "--out", str(out or self.out)]
        return command

    def run_velum(self, *options, expect=0, out=None, new=True, **arguments):
        done = subprocess.run(
            self.command(*options, out=out, new=new),
            text=True,
            capture_output=True,
            timeout=300,
            **arguments,
        )
        self.assertEqual(done.returncode, expect, done.stdout + done.stderr)
        return done

    def resume(self, **arguments):
        return self.run_velum("--resume", self.out, new=False, **arguments)

    def report(self, out=None):
        return json.loads(((out or self.out) / "report.json").read_text())

    def metrics(self, out=None):
        return [
            json.loads(line)
            for line in ((out or self.out) / "metrics.jsonl").read_text().splitlines()
        ]

    def recorded_releases(self):
        """Counts the journal without the program: lines that are no beginning of a session."""
        lines = (self.out / "releases.jsonl").read_text().splitlines()
        return sum("key_epoch" not in json.loads(line) for line in lines)

    # --- what a run leaves -------------------------------------------------------------------

    def check_finished_run(self, steps, preparatory, sampling_rate):
        report = self.report()
        for key in (
            "epsilon",
            "delta",
            "test_accuracy",
            "noise_multiplier",
            "sampling_rate",
            "steps",
            "accountant",
            "neighbouring",
            "clipping_norm",
            "dataset_size",
            "releases",
            "assumptions",
            "versions",
        ):
            self.assertIn(key, report)
        self.assertLessEqual(report["epsilon"], 3.0)
        self.assertGreater(report["epsilon"], 2.9)
        self.assertEqual(report["delta"], 1e-5)
        self.assertEqual(report["steps"], steps)
        self.assertEqual(report["dataset_size"], TRAIN_COUNT)
        self.assertAlmostEqual(report["sampling_rate"], sampling_rate)
        self.assertGreaterEqual(report["test_accuracy"], 0)
        self.assertLessEqual(report["test_accuracy"], 100)
        self.assertIs(report["private"], True)
        self.assertEqual(self.recorded_releases(), steps + preparatory)
        lines = self.metrics()
        self.assertEqual([line["epoch"] for line in lines], list(range(1, len(lines) + 1)))
        self.assertEqual(lines[-1]["step"], steps)
        self.assertEqual(lines[-1]["test_accuracy"], report["test_accuracy"])
        self.assertEqual(lines[-1]["epsilon"], report["epsilon"])
        epsilons = [line["epsilon"] for line in lines]
        self.assertEqual(epsilons, sorted(epsilons))
        self.assertGreater((self.out / "model.pt").stat().st_size, 1000)
        text = (self.out / "report.txt").read_text()
        self.assertIn("epsilon", text)
        self.assertIn("number of training examples is public", " ".join(text.split()))

    def users(self, text=None):
        """A file of 60 users with five images each, or of this text."""
        path = self.root / f"users-{len(list(self.root.iterdir()))}.txt"
        path.write_text(text or "".join(f"{i % 60}\n" for i in range(TRAIN_COUNT)))
        return path

    def test_users_are_what_is_drawn_clipped_and_promised(self):
        done = self.run_velum(
            *("--model", "mlp", "--epsilon", 3, "--steps", 2, "--sampling-rate", 0.2),
            *("--users", self.users(), "--max-samples-per-user", 3),
        )
        text = " ".join(done.stdout.split())
        self.assertIn("every user takes part in a step with probability 0.2", text)
        self.assertIn("One user with all examples is what is protected", text)
        report = json.loads((self.out / "report.json").read_text())
        self.assertEqual(report["unit"], "user")
        self.assertEqual(report["unit_count"], 60)
        self.assertEqual(report["expected_batch_size"], 12)
        self.assertEqual(report["statement"]["unit"], "user")
        self.assertEqual(report["releases"][0]["label"], "training, by user")
        self.assertLessEqual(report["epsilon"], 3)

    def test_users_that_do_not_fit_are_refused(self):
        mlp = ["--model", "mlp", "--epsilon", 3, "--steps", 2]
        for options, text in (
            ([*mlp, "--users", self.users("1\n2\n")], "2 users, expected one for each of the 300"),
            ([*mlp, "--users", self.users("1\nanna\n")], "line 2 is no whole number"),
            ([*mlp, "--users", self.root / "none"], "No such file"),
            ([*mlp, "--max-samples-per-user", 3], "belongs to the training of users"),
            (["--epsilon", 3, "--users", self.users()], "users go with the models cnn and mlp"),
            ([*mlp, "--held-out", 9, "--users", self.users()], "does not go with users"),
            (
                [*mlp, "--physical-batch-size", 4, "--users", self.users()],
                "physical_batch_size = 4, expected at least the most images of a user",
            ),
        ):
            with self.subTest(text=text):
                done = subprocess.run(
                    self.command(*options), text=True, capture_output=True, timeout=300
                )
                self.assertIn(done.returncode, (1, 2), done.stdout + done.stderr)
                self.assertIn(text, done.stderr)
                self.assertFalse(self.out.exists())

    def test_scatter_linear(self):
        done = self.run_velum("--model", "scatter-linear", "--epsilon", 3, "--steps", 5)
        self.check_finished_run(5, 1, 1.0)
        self.assertEqual(
            done.stdout.split("\n\nModel and report")[0].strip(),
            (self.out / "report.txt").read_text().strip(),
        )
        # Not a terminal: lines, nothing that moves a cursor.
        self.assertNotIn("\r", done.stderr)
        self.assertNotIn("\x1b", done.stderr)
        self.assertIn("step 5/5", done.stderr)

    def test_scatter_linear_recipe_k(self):
        self.run_velum("--model", "scatter-linear", "--recipe", "K", "--epsilon", 3, "--steps", 2)
        self.check_finished_run(2, 3, 1.0)

    def test_scatter_linear_sampled(self):
        self.run_velum("--epsilon", 3, "--steps", 4, "--sampling-rate", 0.5)
        self.check_finished_run(4, 1, 0.5)

    def test_cnn(self):
        self.run_velum(
            "--model",
            "cnn",
            "--epsilon",
            3,
            "--epochs",
            2,
            "--batch-size",
            60,
            "--physical-batch-size",
            32,
        )
        self.check_finished_run(10, 0, 0.2)
        self.assertEqual(len(self.metrics()), 2)

    def test_what_no_option_says_is_as_suits_the_model(self):
        def centred(model, *options):
            out = self.root / "-".join(["pixels", model, *options])
            self.run_velum("--model", model, "--epsilon", 3, "--steps", 1, *options, out=out)
            return json.loads((out / "plan.json").read_text()).get("centre_pixels", False)

        self.assertIs(centred("cnn"), True)  # docs/fashion_mnist.md
        self.assertIs(centred("cnn", "--raw-pixels"), False)
        self.assertIs(centred("cnn", "--centre-pixels"), True)
        self.assertIs(centred("mlp"), False)
        self.assertIs(centred("mlp", "--centre-pixels"), True)

    def test_mlp(self):
        self.run_velum("--model", "mlp", "--epsilon", 3, "--epochs", 3, "--batch-size", 30)
        self.check_finished_run(30, 0, 0.1)

    def test_mlp_learns_when_the_noise_is_small(self):
        self.run_velum(
            "--model",
            "mlp",
            "--noise-multiplier",
            0.3,
            "--steps",
            60,
            "--sampling-rate",
            1,
            "--learning-rate",
            4,
        )
        self.assertGreater(self.report()["test_accuracy"], 80)
        self.assertEqual(self.report()["noise_multiplier"], 0.3)

    def test_quiet_says_nothing(self):
        done = self.run_velum("--model", "mlp", "--epsilon", 3, "--steps", 1, "--quiet")
        self.assertEqual(done.stdout + done.stderr, "")

    def test_terminal_gets_a_bar(self):
        leader, follower = pty.openpty()
        process = subprocess.Popen(
            self.command("--model", "mlp", "--epsilon", 3, "--steps", 3, "--sampling-rate", 1),
            stderr=follower,
            stdout=subprocess.DEVNULL,
            env={**os.environ, "TERM": "xterm"},
        )
        os.close(follower)
        shown = b""
        while select.select([leader], [], [], 120)[0]:
            try:
                part = os.read(leader, 4096)
            except OSError:  # the other end is closed
                break
            if not part:
                break
            shown += part
        os.close(leader)
        self.assertEqual(process.wait(timeout=60), 0)
        self.assertIn(b"\r\x1b[K", shown)
        self.assertIn(b"[########################] 3/3", shown)

    # --- reproducible and secret -------------------------------------------------------------

    def test_insecure_seed_reproduces_the_run_and_says_so(self):
        outs = [self.root / f"seed-{number}" for number in range(3)]
        for out, seed in zip(outs, (5, 5, 6)):
            self.run_velum(
                "--model",
                "mlp",
                "--epsilon",
                3,
                "--steps",
                4,
                "--batch-size",
                100,
                "--seed-insecure",
                seed,
                out=out,
            )
        models = [(out / "model.pt").read_bytes() for out in outs]
        self.assertEqual(models[0], models[1])
        self.assertNotEqual(models[0], models[2])
        self.assertIs(self.report(outs[0])["private"], False)
        self.assertIn("NOT PRIVATE", (outs[0] / "report.txt").read_text())

    def test_without_a_seed_runs_differ(self):
        outs = [self.root / f"secret-{number}" for number in range(2)]
        for out in outs:
            self.run_velum("--model", "mlp", "--epsilon", 3, "--steps", 1, out=out)
        self.assertNotEqual(*[(out / "model.pt").read_bytes() for out in outs])

    # --- interruption ------------------------------------------------------------------------

    def start(self, *options, **arguments):
        return subprocess.Popen(
            self.command(*options, **arguments),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )

    def wait_for_steps(self, process, count):
        """Until so many releases are recorded."""
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline:
            self.assertIsNone(process.poll(), "the run ended too early")
            try:
                if self.recorded_releases() >= count:
                    return
            except (FileNotFoundError, json.JSONDecodeError):
                pass
            time.sleep(0.005)
        self.fail("no step within two minutes")

    LONG = ("--model", "mlp", "--epsilon", 3, "--steps", 80, "--sampling-rate", 1)

    def test_interrupt_finishes_the_step_saves_reports_and_resumes(self):
        process = self.start(*self.LONG)
        self.wait_for_steps(process, 3)
        process.send_signal(signal.SIGINT)
        stderr = process.communicate(timeout=60)[1]
        self.assertEqual(process.returncode, 130, stderr)
        self.assertIn(f"--resume {self.out}", stderr)
        report = self.report()
        self.assertEqual(report["steps"], self.recorded_releases())
        self.assertLess(report["steps"], 80)
        self.assertLess(report["epsilon"], 3.0)
        self.assertEqual(self.metrics()[-1]["step"], report["steps"])
        self.resume()
        self.assertEqual(self.report()["steps"], 80)  # nothing was lost, nothing paid twice
        self.assertEqual([line["step"] for line in self.metrics()], list(range(1, 81)))
        self.assertLessEqual(self.report()["epsilon"], 3.0)

    def test_killed_at_random_moments_the_books_are_never_too_small(self):
        generator = random.Random(20240607)
        process = self.start(*self.LONG)
        seen = 0
        for _ in range(5):
            self.wait_for_steps(process, seen + generator.randrange(1, 13))
            time.sleep(generator.random() * 0.02)
            process.send_signal(signal.SIGKILL)
            process.communicate(timeout=60)
            self.assertEqual(process.returncode, -signal.SIGKILL)
            # A line of metrics proves that its step was released.
            proved = self.metrics()[-1]["step"] if (self.out / "metrics.jsonl").exists() else 0
            recorded = self.recorded_releases()
            self.assertGreaterEqual(recorded, proved)
            self.assertGreaterEqual(recorded, seen)  # books never shrink
            seen = recorded
            process = self.start("--resume", self.out, new=False)
        stderr = process.communicate(timeout=300)[1]
        self.assertEqual(process.returncode, 0, stderr)
        report = self.report()
        self.assertEqual(report["steps"], self.recorded_releases())
        self.assertEqual(report["steps"], 80)  # lost steps are paid and not made up for
        self.assertLessEqual(report["epsilon"], 3.0)
        kept = self.metrics()[-1]["step"]
        self.assertLessEqual(kept, 80)
        lines = (self.out / "releases.jsonl").read_text().splitlines()
        epochs = [json.loads(line)["key_epoch"] for line in lines if "key_epoch" in line]
        self.assertEqual(epochs, [0, 1, 2, 3, 4, 5])

    def test_books_that_are_too_short_are_refused(self):
        self.run_velum("--model", "mlp", "--epsilon", 3, "--steps", 4)
        journal = self.out / "releases.jsonl"
        journal.write_text("".join(journal.read_text().splitlines(keepends=True)[:3]))
        done = self.resume(expect=1)
        self.assertIn("records 2 releases, but the checkpoint was made after 4", done.stderr)

    def test_damaged_files_are_refused(self):
        self.run_velum("--model", "mlp", "--epsilon", 3, "--steps", 2)
        checkpoint = self.out / "checkpoint.pt"
        whole = checkpoint.read_bytes()
        checkpoint.write_bytes(whole[: len(whole) // 2])
        self.assertIn("the checkpoint is damaged", self.resume(expect=1).stderr)
        checkpoint.write_bytes(whole)
        journal = self.out / "releases.jsonl"
        lines = journal.read_text().splitlines(keepends=True)
        journal.write_text("".join([lines[0], "{}\n", *lines[1:]]))
        done = self.resume(expect=1)
        self.assertIn("the record of releases is damaged", done.stderr)
        self.assertIn("line 2", done.stderr)

    def test_resuming_a_finished_run_releases_nothing(self):
        self.run_velum("--model", "mlp", "--epsilon", 3, "--steps", 2)
        before = self.report()
        self.resume()
        after = self.report()
        self.assertEqual(self.recorded_releases(), 2)
        for key in ("epsilon", "steps", "test_accuracy"):
            self.assertEqual(before[key], after[key])

    # --- refusals ----------------------------------------------------------------------------

    def test_a_second_process_is_kept_out(self):
        process = self.start(*self.LONG)
        self.wait_for_steps(process, 1)
        done = self.resume(expect=1)
        self.assertIn("another process is training in", done.stderr)
        process.kill()
        process.communicate(timeout=60)

    def test_existing_runs_are_not_overwritten_unless_forced(self):
        options = ("--model", "mlp", "--epsilon", 3, "--steps", 2)
        self.run_velum(*options)
        books = (self.out / "releases.jsonl").read_text()
        done = self.run_velum(*options, expect=1)
        self.assertIn("holds a run already", done.stderr)
        self.run_velum(*options, "--force")
        self.assertEqual((self.out / "releases.1.jsonl").read_text(), books)

    def test_bad_values_are_refused_before_anything_is_made(self):
        cases = {
            ("--epsilon", -1): "epsilon = -1, expected finite and above 0",
            ("--epsilon", "inf"): "epsilon = inf, expected finite and above 0",
            ("--epsilon", 3, "--delta", 0): "delta = 0, expected above 0 and below 1",
            ("--epsilon", 3, "--delta", 1): "delta = 1, expected above 0 and below 1",
            (): "give epsilon or noise_multiplier",
            ("--epsilon", 3, "--noise-multiplier", 1): "say the same thing",
            ("--noise-multiplier", 0): "noise_multiplier = 0, expected finite and above 0",
            ("--epsilon", 3, "--model", "vit"): "model = vit, expected scatter-linear, cnn or mlp",
            ("--epsilon", 3, "--recipe", "Z"): "recipe = Z, expected S or K",
            ("--epsilon", 3, "--model", "cnn", "--recipe", "K"): "not to cnn",
            ("--epsilon", 3, "--steps", 0): "steps = 0, expected at least 1",
            ("--epsilon", 3, "--epochs", -2): "epochs = -2, expected finite and above 0",
            ("--epsilon", 3, "--sampling-rate", 1.5): "sampling_rate = 1.5",
            (
                "--epsilon",
                3,
                "--batch-size",
                301,
            ): "batch_size = 301, expected at most the number of examples",
            ("--epsilon", 3, "--clipping-norm", 0): "clipping_norm = 0",
            ("--epsilon", 3, "--clipping", "none"): "clipping = none, expected flat, per-layer",
            (
                "--epsilon",
                3,
                "--clipping-rate",
                1,
            ): "clipping_rate belongs to the clipping adaptive",
            ("--epsilon", 3, "--learning-rate", "nan"): "learning_rate = nan",
            ("--epsilon", 3, "--momentum", 1): "momentum = 1, expected at least 0 and below 1",
            ("--epsilon", 3, "--physical-batch-size", 0): "physical_batch_size = 0",
            ("--epsilon", 3, "--threads", 0): "threads = 0, expected at least 1",
            ("--epsilon", "three"): "three",
            ("--epsilon", 3, "--no-such-option"): "--no-such-option",
        }
        for options, message in cases.items():
            with self.subTest(options=options):
                done = self.run_velum(*options, expect=2)
                self.assertIn(message, done.stderr)
                self.assertFalse(self.out.exists())

    def test_options_of_a_new_run_do_not_go_with_resume(self):
        done = self.run_velum("--resume", self.out, "--epsilon", 3, new=False, expect=2)
        self.assertIn("--epsilon", done.stderr)

    def test_resume_needs_a_run(self):
        done = self.resume(expect=1)
        self.assertIn("there is no run in", done.stderr)
        self.assertFalse(self.out.exists())

    def test_missing_data_are_named(self):
        empty = self.root / "empty"
        empty.mkdir(exist_ok=True)
        done = subprocess.run(
            [
                VELUM,
                "train",
                "--dataset",
                "idx",
                "--data",
                empty,
                "--epsilon",
                "3",
                "--out",
                self.out,
            ],
            text=True,
            capture_output=True,
        )
        self.assertEqual(done.returncode, 1)
        self.assertIn("train-images-idx3-ubyte", done.stderr)
        self.assertFalse(self.out.exists())

    def test_unwritable_folders_are_found_before_training(self):
        done = self.run_velum("--model", "mlp", "--epsilon", 3, out="/proc/velum", expect=1)
        self.assertIn("/proc/velum", done.stderr)
        self.out.write_text("a file")
        done = self.run_velum("--model", "mlp", "--epsilon", 3, expect=1)
        self.assertIn(str(self.out), done.stderr)

    def test_a_full_disk_is_found_before_training(self):
        def limit():  # writes past 1 MiB fail, as on a full disk
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))

        done = self.run_velum("--model", "mlp", "--epsilon", 3, expect=1, preexec_fn=limit)
        self.assertIn("cannot write", done.stderr)
        self.assertFalse((self.out / "releases.jsonl").exists())
        self.assertFalse((self.out / "space-probe.tmp").exists())

    def test_help_and_version(self):
        for arguments in (["--help"], ["train", "--help"]):
            done = subprocess.run([VELUM, *arguments], text=True, capture_output=True)
            self.assertEqual(done.returncode, 0)
            self.assertIn("train", done.stdout)
        for option in ("--epsilon", "--resume", "--seed-insecure"):
            self.assertIn(option, done.stdout)
        done = subprocess.run([VELUM, "--version"], text=True, capture_output=True)
        self.assertRegex(done.stdout, r"^velum \d+\.\d+\.\d+\n$")
        self.assertEqual(subprocess.run([VELUM], capture_output=True).returncode, 2)


if __name__ == "__main__":
    unittest.main()
